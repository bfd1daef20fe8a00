/** The commands themselves: each operation has one, each explains itself, and each example is a command that exists. */
import { expect, test } from "bun:test";
import { permissions } from "../model/permissions.ts";
import { shellWords } from "../testing/cli/run-cli.ts";
import { cliReference } from "./docs.ts";
import { nouns, topLevelVerbs } from "./nouns.ts";
import { commandOfOperation } from "./operations.ts";
import { buildTree, type Invocation, verbCommands } from "./tree.ts";

const tree = () => buildTree({ invoke: async () => {}, writeHelp: () => {}, columns: 100 });

test("every operation of the API has a command, and every command named exists", () => {
	expect(Object.keys(commandOfOperation).sort()).toEqual(Object.keys(permissions).sort());
	const paths = verbCommands(tree()).map(({ path }) => path);
	const commands = Object.values(commandOfOperation).flatMap((command) => (typeof command === "string" ? command : []));
	expect(commands.filter((command) => !paths.includes(command))).toEqual([]);
	for (const command of Object.values(commandOfOperation))
		if (typeof command !== "string") expect(command.none.length).toBeGreaterThan(20);
});

test("the tree has all verbs, each once", () => {
	const all = [
		...nouns.flatMap((noun) => noun.verbs.map((verb) => `${noun.name} ${verb.name}`)),
		...topLevelVerbs.map((verb) => verb.name),
	];
	expect(verbCommands(tree()).map(({ path }) => path)).toEqual(all);
	expect(new Set(all).size).toBe(all.length);
});

for (const { path, command, verb } of verbCommands(tree())) {
	test(`${path} explains itself, and its examples are such commands`, async () => {
		expect(command.helpInformation()).toContain(`limiquantix ${path}`);
		expect(verb.summary).toMatch(/^[A-Z].*[^.]$/);
		expect(verb.examples.length).toBeGreaterThan(0);
		for (const option of command.options) expect(option.description).not.toBe("");
		for (const example of verb.examples) {
			const own =
				example
					.split("|")
					.map((part) => part.trim())
					.find((part) => part.startsWith("limiquantix ")) ?? "";
			const [program, ...words] = shellWords(own);
			expect(program).toBe("limiquantix");
			let seen: Invocation | undefined;
			const program_ = buildTree({
				invoke: async (invocation) => {
					seen = invocation;
				},
				writeHelp: () => {},
				columns: 100,
			});
			await program_.parseAsync(words, { from: "user" });
			expect(seen?.path).toBe(path);
		}
	});
}

test("the reference names every command and option", () => {
	const reference = cliReference();
	for (const { path, command } of verbCommands(tree())) {
		expect(reference).toContain(`### ${path}\n`);
		for (const option of command.options) expect(reference).toContain(option.flags.replaceAll("|", "\\|"));
	}
});
