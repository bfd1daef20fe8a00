/** House rules that a machine can see (docs/style.md): banned calls, names, sizes, types switched off. */
import { expect, test } from "bun:test";
import { isTest, type SourceFile, sourceFiles } from "./source-files.ts";

type Rule = {
	what: string;
	pattern: RegExp;
	/** Files that the rule is about. */
	where: (path: string) => boolean;
};

const product = (path: string): boolean => !isTest(path) && !path.startsWith("src/scripts/");
const pure = (path: string): boolean =>
	product(path) &&
	(path.startsWith("src/raft/") ||
		path.startsWith("src/store/apply/") ||
		path.startsWith("src/model/") ||
		/^src\/(control|node)\/.*plan.*\.ts$/.test(path));

const rules: Rule[] = [
	{
		what: "host programs run only through lib/run.ts and what belongs to it",
		pattern: /\b(Bun\.spawn|Bun\.spawnSync|Bun\.\$|node:child_process|from "execa")/,
		where: (path) => product(path) && !["src/lib/run.ts", "src/lib/run-for-output.ts"].includes(path),
	},
	{
		what: "no shell",
		pattern: /\bshell:\s*true|\bexecSync\b|["']-c["']\s*,\s*[`"'].*\$\{/,
		where: product,
	},
	{
		what: "decisions read no clock and no randomness",
		pattern:
			/\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(|\bsetTimeout\(|\bcrypto\.(randomUUID|getRandomValues)/,
		where: pure,
	},
	{
		what: "no randomness that can be guessed",
		pattern: /\bMath\.random\(/,
		where: product,
	},
	{
		what: "no HTML from strings, no code from strings",
		pattern: /\b(innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML)\b|\beval\(|\bnew Function\(/,
		where: product,
	},
	{
		what: "output goes through the logger",
		pattern: /\bconsole\.(log|error|warn|info|debug)\(/,
		where: (path) => product(path) && !path.startsWith("src/cli/") && !path.startsWith("ui/") && path !== "src/main.ts",
	},
	{
		what: "types stay on",
		pattern: /\bas any\b|:\s*any\s*([;,=)>|\]]|$)|@ts-ignore|@ts-nocheck/,
		where: (path) => path !== "src/testing/rules/house-rules.test.ts",
	},
	{
		what: "no test runs alone",
		pattern: /\b(test|it|describe)\.only\(/,
		where: (path) => path !== "src/testing/rules/house-rules.test.ts",
	},
];

/** Line by line, comments left out. */
function findings(rule: Rule, files: readonly SourceFile[]): string[] {
	return files
		.filter((file) => rule.where(file.path))
		.flatMap((file) =>
			file.lines
				.map((line, at) => ({ line, at }))
				.filter(({ line }) => !/^\s*(\/\/|\*|\/\*)/.test(line) && rule.pattern.test(line))
				.map(({ line, at }) => `${file.path}:${at + 1}: ${line.trim()}`),
		);
}

for (const rule of rules) test(rule.what, () => expect(findings(rule, sourceFiles())).toEqual([]));

test("each rule finds what it is about", () => {
	const examples: [string, string][] = [
		["src/node/a.ts", 'import { spawn } from "node:child_process";'],
		["src/node/a.ts", "spawn(program, { shell: true });"],
		["src/store/apply/a.ts", "const now = Date.now();"],
		["src/node/a.ts", "Math.random();"],
		["ui/pages/a.tsx", "element.innerHTML = name;"],
		["src/node/a.ts", "console.log(1);"],
		["src/node/a.ts", "const x = y as any;"],
		["src/node/a.test.ts", 'test.only("x", f);'],
	];
	rules.forEach((rule, at) => {
		const [path, line] = examples[at] ?? ["", ""];
		expect(findings(rule, [{ path, text: line, lines: [line] }])).toHaveLength(1);
	});
});

test("files are named in kebab-case, components in PascalCase", () => {
	const wrong = sourceFiles()
		.map((file) => file.path)
		.filter((path) => {
			const name = path.split("/").at(-1) ?? "";
			const stem = name.replace(/(\.(lab|e2e|long))?(\.test)?(\.d)?\.(tsx?|mjs)$/, "");
			return name.endsWith(".tsx") && !isTest(path)
				? !/^([A-Z][A-Za-z0-9]*|[a-z0-9]+(-[a-z0-9]+)*)$/.test(stem)
				: !/^[a-z0-9]+([-.][a-z0-9]+)*$/.test(stem);
		});
	expect(wrong).toEqual([]);
});

test("no file is longer than 400 lines", () => {
	const long = sourceFiles()
		.filter((file) => file.lines.length > 401)
		.map((file) => `${file.path}: ${file.lines.length} lines`);
	expect(long).toEqual([]);
});
