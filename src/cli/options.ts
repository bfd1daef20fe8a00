/**
 * Options of verbs as values: each knows its flags, its line in the help, and how to read what was typed. A verb's
 * `options` are an object of these; `run` gets an object with the same members and the values. The member's name is
 * commander's: `--max-cpus` is `maxCpus`.
 */
import { Option } from "commander";
import { parseBytes, parseDuration } from "../lib/units.ts";
import { usageError } from "./failure.ts";

export type OptionSpec<T> = {
	/** As commander writes them: "-n, --name <name>". */
	readonly flags: string;
	readonly description: string;
	/** flag: given or not. value: once. list: any number of times. off: `--no-x`. switch: `--x` and `--no-x`. */
	readonly kind: "flag" | "value" | "list" | "off" | "switch";
	/** Description of a switch's `--no-x`. */
	readonly opposite?: string;
	readonly choices?: readonly string[];
	/** What a shell completes behind it. */
	readonly completes?: "file" | "folder";
	/** What commander has read → the value. */
	readonly read: (raw: unknown) => T;
};
export type OptionSpecs = Record<string, OptionSpec<unknown>>;
export type OptionValues<O extends OptionSpecs> = { [K in keyof O]: O[K] extends OptionSpec<infer T> ? T : never };

const longFlag = (flags: string): string => /--[a-z0-9-]+/.exec(flags)?.[0] ?? flags;

/** Errors of parsers name the option. */
function parsedBy<T>(flags: string, parse: (text: string) => T, text: string): T {
	try {
		return parse(text);
	} catch (error) {
		throw usageError(`${longFlag(flags)}: ${error instanceof Error ? error.message : String(error)}`);
	}
}

export const flag = (flags: string, description: string): OptionSpec<boolean> => ({
	flags,
	description,
	kind: "flag",
	read: (raw) => raw === true,
});

/** `--no-x`: true unless it is given. The member is called `x`. */
export const off = (flags: string, description: string): OptionSpec<boolean> => ({
	flags,
	description,
	kind: "off",
	read: (raw) => raw !== false,
});

/** `--x` and `--no-x`; undefined when neither is given. */
export const onOff = (flags: string, description: string, opposite: string): OptionSpec<boolean | undefined> => ({
	flags,
	description,
	opposite,
	kind: "switch",
	read: (raw) => (typeof raw === "boolean" ? raw : undefined),
});

/** As onOff, where "on" is what happens anyway. */
export const onUnlessOff = (flags: string, description: string, opposite: string): OptionSpec<boolean> => ({
	...onOff(flags, description, opposite),
	read: (raw) => raw !== false,
});

export function parsed<T>(flags: string, description: string, parse: (text: string) => T): OptionSpec<T | undefined> {
	return {
		flags,
		description,
		kind: "value",
		read: (raw) => (typeof raw === "string" ? parsedBy(flags, parse, raw) : undefined),
	};
}

export const text = (flags: string, description: string): OptionSpec<string | undefined> =>
	parsed(flags, description, (given) => given);

export const file = (flags: string, description: string): OptionSpec<string | undefined> => ({
	...text(flags, description),
	completes: "file",
});

export const size = (flags: string, description: string): OptionSpec<number | undefined> =>
	parsed(flags, description, parseBytes);

export const duration = (flags: string, description: string): OptionSpec<number | undefined> =>
	parsed(flags, description, parseDuration);

export function integer(
	flags: string,
	description: string,
	{ min, max }: { min: number; max: number },
): OptionSpec<number | undefined> {
	return parsed(flags, description, (given) => {
		const number = Number(given);
		if (!/^-?\d+$/.test(given) || !Number.isSafeInteger(number) || number < min || number > max)
			throw new Error(`"${given}" is not a whole number from ${min} to ${max}.`);
		return number;
	});
}

export function choice<const C extends readonly string[]>(
	flags: string,
	choices: C,
	description: string,
): OptionSpec<C[number] | undefined> {
	return { ...parsed(flags, description, (given) => oneOf(choices, given)), choices };
}

export function list<T>(flags: string, description: string, parse: (text: string) => T): OptionSpec<T[]> {
	return {
		flags,
		description,
		kind: "list",
		read: (raw) => (Array.isArray(raw) ? raw.map((one) => parsedBy(flags, parse, String(one))) : []),
	};
}

export const texts = (flags: string, description: string): OptionSpec<string[]> =>
	list(flags, description, (given) => given);

export function choices<const C extends readonly string[]>(
	flags: string,
	allowed: C,
	description: string,
): OptionSpec<C[number][]> {
	return { ...list(flags, description, (given) => oneOf(allowed, given)), choices: allowed };
}

function oneOf<const C extends readonly string[]>(allowed: C, given: string): C[number] {
	const found = allowed.find((one) => one === given);
	if (found === undefined) throw new Error(`"${given}" is not one of ${allowed.join(", ")}.`);
	return found;
}

const specs = new WeakMap<Option, OptionSpec<unknown>>();
/** What an option of the tree was made of; undefined for commander's own (--help). */
export const specOf = (option: Option): OptionSpec<unknown> | undefined => specs.get(option);

/** The same option as commander's; two of them for a switch. */
export function commanderOptions(spec: OptionSpec<unknown>): Option[] {
	const choicesNote = spec.choices ? ` (${spec.choices.join(", ")})` : "";
	const option = new Option(spec.flags, spec.description + choicesNote);
	specs.set(option, spec);
	if (spec.kind === "list") {
		const collect = (value: string, before: unknown) => [...(Array.isArray(before) ? before : []), value];
		option.argParser(collect);
	}
	if (spec.kind !== "switch") return [option];
	return [option, new Option(longFlag(spec.flags).replace("--", "--no-"), spec.opposite)];
}
