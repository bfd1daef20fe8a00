/** Runs the command line in this process against a fake API. */
import { runCli } from "../../cli/main.ts";
import { assert } from "../../lib/assert.ts";
import { type FakeIo, fakeIo } from "./fake-io.ts";

export type CliRun = { code: number; out: string; err: string; io: FakeIo };

/** One command line: words, or a string that is split at spaces. */
export async function cli(
	words: string | readonly string[],
	options: { io?: FakeIo; environment?: Record<string, string> } = {},
): Promise<CliRun> {
	const io = options.io ?? fakeIo();
	const argv = typeof words === "string" ? words.split(" ") : words;
	const code = await runCli(argv, options.environment ?? {}, io);
	// What waits for input is let go in the turns of the event loop that follow; then nothing may be left.
	for (let turn = 0; turn < 10 && io.readers > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
	assert(io.readers === 0, `"${argv.join(" ")}" ended and still reads standard input`);
	return { code, out: io.out, err: io.err, io };
}

/** Words of a command line as a shell splits them: quotes, no expansion; up to a redirection or pipe. */
export function shellWords(line: string): string[] {
	const words: string[] = [];
	for (const match of line.matchAll(/(?:'([^']*)'|"((?:\\.|[^"])*)"|(\S+))/g)) {
		const [, single, double, plain] = match;
		if (plain !== undefined && /^[|<>]/.test(plain)) break;
		words.push(single ?? double?.replace(/\\(.)/g, "$1") ?? plain ?? "");
	}
	return words;
}
