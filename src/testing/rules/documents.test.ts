/** What documents say about themselves and each other. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./source-files.ts";

const read = (path: string): string => readFileSync(join(root, path), "utf8");

test("CONTRIBUTING names every command and every kind of test", () => {
	const text = read("CONTRIBUTING.md");
	const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
	const commands = Object.keys(scripts).map((name) => (["start", "test"].includes(name) ? name : `run ${name}`));
	const kinds = /export type SuiteKind = (.*);/.exec(read("src/scripts/test-suites.ts"))?.[1]?.match(/\w+/g) ?? [];
	expect(kinds).toContain("long");
	const wanted = [
		...commands.map((command) => `| \`npm ${command}\` |`),
		...kinds.map((kind) => (kind === "unit" ? "`x.test.ts`" : `\`x.${kind}.test.ts\``)),
	];
	expect(wanted.filter((one) => !text.includes(one))).toEqual([]);
});

test("each decision has a number of its own, and a title that begins with it", () => {
	const names = readdirSync(join(root, "docs", "decisions"));
	const numbers = names.map((name) => Number(/^(\d{4})-[a-z0-9-]+\.md$/.exec(name)?.[1]));
	expect(new Set(numbers).size).toBe(names.length);
	const titles = names.map((name) => read(`docs/decisions/${name}`).split("\n", 1)[0] ?? "");
	expect(titles.filter((title, at) => !title.startsWith(`# ${numbers[at]}. `))).toEqual([]);
});

test("README puts the executable where the service looks for it", () => {
	const executable = /^ExecStart=(\S+) serve$/m.exec(read("systemd/limiquantix.service"))?.[1];
	expect(executable).toStartWith("/");
	expect(read("README.md")).toContain(`\`${executable}\``);
});
