/** Completion scripts: shells read them, and bash completes with its own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import { buildTree, verbCommands } from "../tree.ts";

let folder: string;
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	for (const shell of ["bash", "zsh", "fish"]) {
		const { code, out } = await cli(`completion ${shell}`);
		expect(code).toBe(0);
		writeFileSync(join(folder, shell), out);
	}
	const words = [
		'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); _limiquantix',
		`for reply in "\${COMPREPLY[@]}"; do echo "$reply"; done`,
	].join("\n");
	writeFileSync(join(folder, "complete"), words);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

for (const [shell, args] of [
	["bash", ["-n"]],
	["zsh", ["-n"]],
	["fish", ["--no-execute"]],
] as const)
	test.skipIf(Bun.which(shell) === null)(
		`${shell} understands its script (skipped where this shell is not installed)`,
		async () => {
			const { stderr } = await run(shell, [...args, join(folder, shell)], { timeoutMs: 10_000 });
			expect(stderr).toBe("");
		},
	);

async function completed(...words: string[]): Promise<string[]> {
	const { stdout, stderr } = await run("bash", [join(folder, "complete"), join(folder, "bash"), ...words], {
		timeoutMs: 10_000,
		cwd: folder,
	});
	expect(stderr).toBe("");
	return stdout.split("\n").filter((line) => line !== "");
}

test("bash completes nouns, verbs, options, choices and files", async () => {
	expect(await completed("limiquantix", "vo")).toEqual(["volume"]);
	expect(await completed("lqx", "vm", "st")).toEqual(["start", "stop"]);
	expect(await completed("limiquantix", "-o", "json", "vm", "start", "--no")).toEqual(["--no-wait"]);
	expect(await completed("limiquantix", "vm", "set", "web", "--mem")).toEqual(["--memory"]);
	expect(await completed("limiquantix", "vm", "list", "--output", "")).toEqual(["table", "json", "yaml"]);
	expect(await completed("limiquantix", "image", "upload", "fi")).toEqual(["fish"]);
	expect(await completed("limiquantix", "serve", "--libv")).toEqual(["--libvirt"]);
	expect(await completed("limiquantix", "vm", "list", "--search", "")).toEqual([]);
});

test("each script names every verb and its options", async () => {
	const commands = verbCommands(buildTree({ invoke: async () => {}, writeHelp: () => {}, columns: 80 }));
	for (const shell of ["bash", "zsh", "fish"]) {
		const script = await Bun.file(join(folder, shell)).text();
		for (const { path, command } of commands) {
			expect(script).toContain(path);
			for (const option of command.options) expect(script).toContain((option.long ?? "").slice(2));
		}
	}
});
