/** What a test has to say to people when it passes, too: the runner shows these lines of it (scripts/test-suites.ts). */
export const noteMark = "note: ";

export function note(line: string): void {
	console.log(`${noteMark}${line}`);
}

/** The notes in what a test run has printed. */
export const notesIn = (output: string): string[] =>
	output
		.split("\n")
		.filter((line) => line.startsWith(noteMark))
		.map((line) => line.slice(noteMark.length));
