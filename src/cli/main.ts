/**
 * The command line: `limiquantix NOUN VERB`. Nouns and verbs are in nouns/, one file a noun; tree.ts makes commander
 * commands of them. Callers give arguments (without the program's name), environment and streams, and end the process
 * with the exit code that they get (failure.ts says what it means). Nothing here ends the process or reads globals.
 */
import { type Command, CommanderError } from "commander";
import { type Cli, createCli } from "./cli.ts";
import { describeFailure, exitCode, exitCodeOf, isUsageError, usageError } from "./failure.ts";
import { type CliIo, type OfflineWork, processIo } from "./io.ts";
import { type OutputFormat, outputFormats } from "./output.ts";
import { buildTree, type Invocation, programName } from "./tree.ts";

/** For the entry point: on the streams of this process. */
export const main = (
	argv: readonly string[],
	environment: Record<string, string | undefined>,
	offline: OfflineWork,
): Promise<number> => runCli(argv, environment, processIo(offline));

export async function runCli(
	argv: readonly string[],
	environment: Record<string, string | undefined>,
	io: CliIo,
): Promise<number> {
	let help = "";
	let answer: number = exitCode.ok;
	const program = buildTree({
		columns: io.stdout.isTTY ? io.stdout.columns : 100,
		writeHelp(text) {
			help += text;
		},
		async invoke(invocation) {
			answer = await carryOut(io, environment, invocation);
		},
	});
	try {
		await program.parseAsync([...argv], { from: "user" });
		return answer;
	} catch (error) {
		if (error instanceof CommanderError && error.exitCode === 0) {
			await io.stdout.write(help);
			return exitCode.ok;
		}
		const format = formatOf(argv);
		if (error instanceof CommanderError && error.code === "commander.help" && format === "table") {
			await io.stderr.write(help);
			return exitCode.usage;
		}
		const failure = error instanceof CommanderError ? asUsageError(error) : error;
		await io.stderr.write(describeFailure(failure, format));
		if (isUsageError(failure) && format === "table")
			await io.stderr.write(`See: ${[programName, ...commandWords(program, argv)].join(" ")} --help\n`);
		return exitCodeOf(failure);
	}
}

async function carryOut(
	io: CliIo,
	environment: Record<string, string | undefined>,
	{ verb, given, options, globals }: Invocation,
): Promise<number> {
	const interrupt = new AbortController();
	const forget = io.onInterrupt(() => interrupt.abort(new Error("interrupted")));
	try {
		const cli: Cli = createCli(io, environment, globals, interrupt.signal);
		return (await verb.run(cli, given, options)) ?? exitCode.ok;
	} finally {
		forget();
	}
}

/** Commander's message, as ours begin and end. */
function asUsageError(error: CommanderError): Error {
	if (error.code === "commander.help") return usageError("It is not said what is to be done.");
	return usageError(
		error.message
			.replace(/^error: /, "")
			.replaceAll("\n", " ")
			.replace(/^./, (letter) => letter.toUpperCase()),
	);
}

/** How far the arguments name a command: ["vm", "create"]. */
function commandWords(program: Command, argv: readonly string[]): string[] {
	const words: string[] = [];
	let at: Command = program;
	for (const word of argv) {
		const next = at.commands.find((command) => command.name() === word || command.aliases().includes(word));
		if (!next) continue;
		words.push(next.name());
		at = next;
	}
	return words;
}

/** Also when the arguments could not be understood: what they say about the output. */
function formatOf(argv: readonly string[]): OutputFormat {
	let format: OutputFormat = "table";
	for (const [at, argument] of argv.entries()) {
		if (argument === "--") break;
		const value =
			/^(?:--output=|-o=?)(.+)$/.exec(argument)?.[1] ?? (/^(-o|--output)$/.test(argument) ? argv[at + 1] : "");
		format = outputFormats.find((one) => one === value) ?? format;
	}
	return format;
}
