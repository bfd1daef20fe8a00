/**
 * What a command is. Nouns and verbs are data: the commander tree (tree.ts), the help, docs/cli.md, the completion
 * scripts and the tests all come from them. `verb()` types what `run` gets from the arguments and options given.
 */
import type { Cli } from "./cli.ts";
import type { ExitCode } from "./failure.ts";
import type { OptionSpecs, OptionValues } from "./options.ts";

/** "<vm>" is needed, "[file]" may be left out, "<vm...>" takes one or more. */
export type ArgumentSpecs = Record<string, string>;

type ArgumentName<S> = S extends `<${infer N}...>`
	? N
	: S extends `[${infer N}...]`
		? N
		: S extends `<${infer N}>`
			? N
			: S extends `[${infer N}]`
				? N
				: never;
type ArgumentValue<S> = S extends `<${string}...>` | `[${string}...]`
	? string[]
	: S extends `<${string}>`
		? string
		: string | undefined;
export type ArgumentValues<A extends ArgumentSpecs> = { [K in keyof A as ArgumentName<K>]: ArgumentValue<K> };

type VerbParts = {
	/** One word, or two when the noun has things of its own: "token create" of cluster. Such verbs stand together. */
	readonly name: string;
	readonly aliases?: readonly string[];
	/** One line, imperative, without a full stop. */
	readonly summary: string;
	/** More, for the help of the verb itself. */
	readonly description?: string;
	/** Whole command lines; the first shows the usual case. */
	readonly examples: readonly [string, ...string[]];
	/** Carried out when only the noun is given. */
	readonly isDefault?: boolean;
};

export type VerbDefinition<A extends ArgumentSpecs, O extends OptionSpecs> = VerbParts & {
	/** What the verb works on, each with its description. */
	readonly arguments?: A;
	readonly options?: O;
	/** Fails with AppError. The answer is the exit code when it is another than 0. */
	run(cli: Cli, given: ArgumentValues<A>, options: OptionValues<O>): Promise<ExitCode> | Promise<void>;
};

/** A verb without its types, as the tree sees it. */
export type Verb = VerbParts & {
	readonly arguments: ArgumentSpecs;
	readonly options: OptionSpecs;
	run(cli: Cli, given: Record<string, unknown>, options: Record<string, unknown>): Promise<ExitCode> | Promise<void>;
};

export type Noun = {
	readonly name: string;
	readonly summary: string;
	/** First words of verbs of two words, with what they are. */
	readonly groups?: Readonly<Record<string, string>>;
	readonly verbs: readonly Verb[];
};

export function verb<
	const A extends ArgumentSpecs = Record<never, string>,
	O extends OptionSpecs = Record<never, never>,
>(definition: VerbDefinition<A, O>): Verb {
	// The tree calls `run` only with what the arguments and options above have read.
	return { arguments: {}, options: {}, ...definition } as unknown as Verb;
}
