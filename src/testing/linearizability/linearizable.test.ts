/** `npm run linearizable`, the program: output, exit codes, folders. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "..", "..");
let folder = "";

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "linearizable-"));
	mkdirSync(join(folder, "sub"));
	const event = (type: string, value?: number): string =>
		`${JSON.stringify({ process: 1, type, operation: "read", key: "x", value, time: 1 })}\n`;
	writeFileSync(join(folder, "bad.jsonl"), `${event("invoke")}${event("ok", 1)}`);
	writeFileSync(
		join(folder, "sub", "good.log"),
		"INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:read\tnil\n",
	);
	writeFileSync(join(folder, "broken.jsonl"), `${event("invoke")}{"process":\n`);
	writeFileSync(join(folder, "binary.jsonl"), Buffer.from([0x7b, 0x0a, 0xff, 0xfe]));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As npm does it: at the project's root, with the caller's folder in INIT_CWD. */
function run(...args: string[]): { out: string; err: string; code: number } {
	const child = Bun.spawnSync([process.execPath, join(root, "src", "scripts", "linearizable.ts"), ...args], {
		cwd: root,
		env: { ...process.env, INIT_CWD: folder },
	});
	return { out: child.stdout.toString(), err: child.stderr.toString(), code: child.exitCode };
}

test("a line a file in the order given, 0 whatever the verdicts", () => {
	const { out, err, code } = run("bad.jsonl", "sub/good.log", join(folder, "bad.jsonl"));
	expect(out).toBe(
		`bad.jsonl not-linearizable\nsub/good.log linearizable\n${join(folder, "bad.jsonl")} not-linearizable\n`,
	);
	expect(err).toBe("");
	expect(code).toBe(0);
});

test("--explain says why, on standard error", () => {
	const { out, err, code } = run("--explain", "bad.jsonl");
	expect(out).toBe("bad.jsonl not-linearizable\n");
	expect(err).toContain("process 1: read → 1 (1 to 2)");
	expect(code).toBe(0);
});

test("what cannot be judged is named with its line and makes it 2; the others are judged", () => {
	const { out, err, code } = run("broken.jsonl", "missing.log", "sub", "binary.jsonl", "sub/good.log");
	expect(out).toBe("sub/good.log linearizable\n");
	expect(err.trim().split("\n")).toEqual([
		"broken.jsonl: line 2: not JSON",
		"missing.log: there is no such file",
		"sub: not a regular file",
		"binary.jsonl: line 2: not UTF-8 text",
	]);
	expect(code).toBe(2);
});

test("a wrong command line is 2", () => {
	for (const args of [[], ["--nonsense", "bad.jsonl"], ["--memory-limit-mib", "none", "bad.jsonl"]]) {
		const { out, err, code } = run(...args);
		expect([out, code]).toEqual(["", 2]);
		expect(err).toContain("usage: npm run linearizable");
	}
});
