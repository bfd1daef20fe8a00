/** Runs the command line in this process against a fake API. */
import { runCli } from "../../cli/main.ts";
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
