/** docs/cli.md, made of the commander tree. The same on every machine. */
import type { Command, Option } from "commander";
import { environmentVariables, globalOptions } from "./global-options.ts";
import { nouns } from "./nouns.ts";
import { commandOfOperation } from "./operations.ts";
import { commanderOptions } from "./options.ts";
import { buildTree, ownOptions, programName, verbCommands } from "./tree.ts";

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``;

export function cliReference(): string {
	const program = buildTree({ invoke: async () => {}, writeHelp: () => {}, columns: 80 });
	const verbs = verbCommands(program);
	const parts = [introduction()];
	for (const noun of nouns) {
		const own = verbs.filter(({ path }) => path.startsWith(`${noun.name} `));
		parts.push(`## ${noun.name}\n\n${capital(noun.summary)}.\n`, ...own.map(section));
	}
	parts.push("## More commands\n", ...verbs.filter(({ path }) => !path.includes(" ")).map(section), operations());
	return `${parts.join("\n").trimEnd()}\n`;
}

const capital = (text: string): string => text.replace(/^./, (letter) => letter.toUpperCase());

function introduction(): string {
	const global = Object.values(globalOptions).flatMap(commanderOptions);
	return `<!-- Generated from the commands by src/scripts/generate-cli-docs.ts. Do not edit. -->
# Command line

\`${programName} NOUN VERB [options]\`, also installed as \`lqx\`. On a node, root uses it without signing in: it talks to the
node's socket. For another node give \`--server\` and a token, or sign in once with \`${programName} login\`.

Names may be given wherever ids are; a name that several objects have is refused with a list of their ids. Commands that
start work wait until it is done (\`--no-wait\` does not); Ctrl-C ends the waiting, not the work. Results go to standard
output, everything else to standard error.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed |
| 2 | used wrongly: no such command, or a value that is not acceptable, whether the command or the node says so |
| 3 | no quorum, or the node cannot be reached |
| 130 | interrupted with Ctrl-C |

With \`--output json\` an error is a problem object (RFC 9457) on standard error. With \`--quiet\` only ids are printed: of
what is listed, made or changed; with \`--no-wait\`, of the task.

## Options of every command

${optionTable(global)}
| environment variable | meaning |
| --- | --- |
${environmentVariables.map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`).join("\n")}

A server whose certificate nobody vouches for is refused, and its fingerprint printed. Compare that with the node's own
and give it with \`--fingerprint\`; \`login\` remembers it. No password and no token is sent before the certificate was
compared.
`;
}

function optionTable(options: readonly Option[]): string {
	if (options.length === 0) return "";
	const rows = options.map((option) => `| ${code(option.flags)} | ${cell(option.description)} |`);
	return `| option | meaning |\n| --- | --- |\n${rows.join("\n")}\n`;
}

function section({ path, command }: { path: string; command: Command }): string {
	const verb = verbCommands(command.parent ?? command).find((one) => one.command === command)?.verb;
	const words = command.registeredArguments.map((argument) => {
		const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
		return argument.required ? `<${name}>` : `[${name}]`;
	});
	const usage = [programName, path, ...words, "[options]"].join(" ");
	const aliases = command.aliases().length > 0 ? `Also: \`${command.aliases().join("`, `")}\`.\n\n` : "";
	const about = command.description().split("\n\n").map(cell).join("\n\n");
	const given = command.registeredArguments.map((one) => `- \`${one.name()}\`: ${cell(one.description)}`).join("\n");
	const examples = (verb?.examples ?? []).join("\n");
	return [
		`### ${path}\n`,
		`${about}\n`,
		`${aliases}\`\`\`\n${usage}\n\`\`\`\n`,
		given === "" ? "" : `${given}\n`,
		optionTable(ownOptions(command)),
		`\`\`\`sh\n${examples}\n\`\`\`\n`,
	]
		.filter((part) => part !== "")
		.join("\n");
}

function operations(): string {
	const rows = Object.entries(commandOfOperation).map(([operation, command]) =>
		typeof command === "string"
			? `| \`${operation}\` | \`${programName} ${command}\` |`
			: `| \`${operation}\` | none: ${cell(command.none)} |`,
	);
	return `## Operations of the API and their commands\n\n| operation | command |\n| --- | --- |\n${rows.join("\n")}\n`;
}
