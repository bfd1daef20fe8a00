/**
 * Completion scripts, made of the commander tree. They know nouns, verbs, options and the choices of options; names of
 * objects they do not, since asking the node at each Tab would be slow and need its credentials.
 */
import type { Command, Option } from "commander";
import { settings } from "../../config.ts";
import { specOf } from "../options.ts";
import { buildTree, programName } from "../tree.ts";
import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { zshScript } from "./zsh.ts";

export type Shell = "bash" | "zsh" | "fish";

export type CompletedOption = {
	/** "--output" and, when there is one, "-o". */
	flags: string[];
	description: string;
	takesValue: boolean;
	choices: string[];
	/** File names make sense as its value. */
	files: boolean;
};
/** A place in a command line: [] the program, ["vm"] a noun, ["vm", "create"] a verb. */
export type CompletedCommand = {
	words: string[];
	description: string;
	/** What may follow as the next word. */
	next: { word: string; description: string }[];
	options: CompletedOption[];
	/** File names make sense as its arguments. */
	files: boolean;
};

/** Names under which the program is installed. */
export const programs = [programName, "lqx"];

export function completionScript(shell: Shell): string {
	const commands = completedCommands();
	if (shell === "bash") return bashScript(commands);
	return shell === "zsh" ? zshScript(commands) : fishScript(commands);
}

export function completedCommands(): CompletedCommand[] {
	const program = buildTree({ invoke: async () => {}, writeHelp: () => {}, columns: 80 });
	const found: CompletedCommand[] = [];
	const visit = (command: Command, words: string[]) => {
		const next = command.commands.map((child) => ({ word: child.name(), description: summaryOf(child) }));
		if (words.length === 0) next.push({ word: "serve", description: "run this node" });
		const names = [words];
		const last = words.at(-1);
		if (last !== undefined) for (const alias of command.aliases()) names.push([...words.slice(0, -1), alias]);
		for (const name of names)
			found.push({
				words: name,
				description: summaryOf(command),
				next,
				options: command.options.map(completedOption),
				files: command.registeredArguments.some((argument) => /file/.test(argument.name())),
			});
		for (const child of command.commands) visit(child, [...words, child.name()]);
	};
	visit(program, []);
	found.push(serveCommand());
	return found;
}

const summaryOf = (command: Command): string => command.summary() || command.description();

function completedOption(option: Option): CompletedOption {
	const spec = specOf(option);
	return {
		flags: [option.long, option.short].filter((flag) => flag !== undefined && flag !== null),
		description: option.description,
		takesValue: option.required || option.optional,
		choices: [...(spec?.choices ?? [])],
		files: spec?.completes !== undefined,
	};
}

/** `serve` is started before the tree is made; its options are the daemon's settings. */
function serveCommand(): CompletedCommand {
	const shown = Object.values(settings).filter((setting) => !("hidden" in setting));
	const options = shown.map((setting) => ({
		flags: [`--${setting.flag}`],
		description: setting.description,
		takesValue: !("boolean" in setting),
		choices: [],
		files: /folder|image/.test(setting.description),
	}));
	return { words: ["serve"], description: "run this node", next: [], options, files: false };
}
