/** The commander tree of all nouns and verbs. `invoke` carries a verb out; tests and generators give one of their own. */
import { type Argument, Command, type Option } from "commander";
import { assert, present } from "../lib/assert.ts";
import { version } from "../version.ts";
import { type GlobalOptions, globalOptions } from "./global-options.ts";
import { nouns, topLevelVerbs } from "./nouns.ts";
import { commanderOptions, type OptionSpecs } from "./options.ts";
import type { Noun, Verb } from "./verb.ts";

export type Invocation = {
	verb: Verb;
	/** "vm create" */
	path: string;
	given: Record<string, unknown>;
	options: Record<string, unknown>;
	globals: GlobalOptions;
};
export type TreeOptions = {
	invoke(invocation: Invocation): Promise<void>;
	/** Help and version; also the help that a noun without a verb gives. */
	writeHelp(text: string): void;
	columns: number;
};

const verbs = new WeakMap<Command, Verb>();
/** The verb that a command of the tree is; undefined for nouns. */
export const verbOf = (command: Command): Verb | undefined => verbs.get(command);
export const globalHelpGroup = "Global options:";

export const programName = "limiquantix";

export function buildTree(options: TreeOptions): Command {
	const program = new Command(programName)
		.description("Runs virtual machines on this node, or on another one with --server.")
		.usage("NOUN VERB [options]")
		.enablePositionalOptions()
		.exitOverride()
		.configureHelp({
			helpWidth: options.columns,
			subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map(argumentTerm)].join(" "),
		})
		.configureOutput({
			writeOut: options.writeHelp,
			writeErr: options.writeHelp,
			// What went wrong is in the error that is thrown; runCli says it.
			outputError: () => {},
			getOutHelpWidth: () => options.columns,
			getErrHelpWidth: () => options.columns,
			getOutHasColors: () => false,
		});
	program.version(version, "-V, --version", "print the version");
	addOptions(program, globalOptions, "");
	program.addHelpText(
		"after",
		`\nEach command explains itself: ${programName} vm create --help\nThe node itself is started with: ${programName} serve (see ${programName} serve --help)`,
	);
	for (const noun of nouns) addNoun(program, noun, options);
	program.commandsGroup("More commands:");
	for (const verb of topLevelVerbs) addVerb(program, verb, verb.name, options);
	return program;
}

const argumentTerm = (argument: Argument): string => {
	const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
	return argument.required ? `<${name}>` : `[${name}]`;
};

function addNoun(program: Command, noun: Noun, options: TreeOptions): void {
	const command = new Command(noun.name).description(noun.summary).usage("VERB [options]");
	command.copyInheritedSettings(program);
	addHiddenGlobals(command);
	for (const verb of noun.verbs) addVerb(groupOf(command, noun, verb), verb, `${noun.name} ${verb.name}`, options);
	program.addCommand(command);
}

/** The noun itself, or for a verb of two words ("token create") the command of the first. */
function groupOf(command: Command, noun: Noun, verb: Verb): Command {
	const [first = "", second] = verb.name.split(" ");
	if (second === undefined) return command;
	const known = command.commands.find((child) => child.name() === first);
	if (known) return known;
	const group = new Command(first).description(present(noun.groups?.[first], `what ${noun.name} ${first} is`));
	group.usage("VERB [options]").copyInheritedSettings(command);
	addHiddenGlobals(group);
	command.addCommand(group);
	return group;
}

function addHiddenGlobals(command: Command): void {
	command.enablePositionalOptions();
	for (const spec of Object.values(globalOptions))
		for (const option of commanderOptions(spec)) command.addOption(option.hideHelp());
}

function addVerb(parent: Command, verb: Verb, path: string, { invoke }: TreeOptions): void {
	const command = new Command(verb.name.split(" ").at(-1)).summary(verb.summary);
	command.description(verb.description ? `${verb.summary}.\n\n${verb.description}` : `${verb.summary}.`);
	command.copyInheritedSettings(parent);
	for (const alias of verb.aliases ?? []) command.alias(alias);
	for (const [argument, description] of Object.entries(verb.arguments)) command.argument(argument, description);
	addOptions(command, verb.options, "");
	addOptions(command, globalsOf(verb), globalHelpGroup);
	command.addHelpText("after", `\nExamples:\n${verb.examples.map((example) => `  ${example}`).join("\n")}`);
	command.action(async (...values: unknown[]) => {
		const given: Record<string, unknown> = {};
		for (const [at, argument] of command.registeredArguments.entries()) given[argument.name()] = values[at];
		const raw = command.opts();
		await invoke({ verb, path, given, options: readOptions(verb.options, raw), globals: readGlobals(command, verb) });
	});
	verbs.set(command, verb);
	parent.addCommand(command, { isDefault: verb.isDefault === true });
}

function addOptions(command: Command, specs: OptionSpecs, group: string): void {
	for (const [member, spec] of Object.entries(specs))
		for (const option of commanderOptions(spec)) {
			assert(option.attributeName() === member, `the option ${spec.flags} must be called ${option.attributeName()}`);
			if (group !== "") option.helpGroup(group);
			command.addOption(option);
		}
}

/** A verb may have an option of its own under the name of a global one: `cluster join --token` is no API token. */
const globalsOf = (verb: Verb): OptionSpecs =>
	Object.fromEntries(Object.entries(globalOptions).filter(([member]) => !(member in verb.options)));

function readOptions(specs: OptionSpecs, raw: Record<string, unknown>): Record<string, unknown> {
	return Object.fromEntries(Object.entries(specs).map(([member, spec]) => [member, spec.read(raw[member])]));
}

/** The same option may stand before the noun, before the verb and behind it; the one further right wins. */
function readGlobals(command: Command, verb: Verb): GlobalOptions {
	const merged: Record<string, unknown> = {};
	const chain: Command[] = [];
	for (let at: Command | null = command; at !== null; at = at.parent) chain.unshift(at);
	for (const each of chain)
		for (const [member, value] of Object.entries(each.opts()))
			if (member in (each === command ? globalsOf(verb) : globalOptions) && value !== undefined) merged[member] = value;
	return readOptions(globalOptions, merged) as GlobalOptions;
}

/** All verbs of the tree with their paths ("vm create"), in its order. */
export function verbCommands(program: Command): { path: string; command: Command; verb: Verb }[] {
	return program.commands.flatMap((command) => {
		const own = verbOf(command);
		if (own) return [{ path: command.name(), command, verb: own }];
		return verbCommands(command).map((found) => ({ ...found, path: `${command.name()} ${found.path}` }));
	});
}

/** The options of a command that are its own, not those that all have. */
export const ownOptions = (command: Command): Option[] =>
	command.options.filter((option) => !option.hidden && option.helpGroupHeading !== globalHelpGroup);
