/**
 * Which tests there are, and how they are run and counted. By name: `x.test.ts` unit (fast, no root), `x.slow.test.ts`
 * the same but exhaustive or random, for seconds each (not in `npm run check`), `x.lab.test.ts` the real thing (libvirt,
 * QEMU, disks), `x.e2e.test.ts` the browser, `x.long.test.ts` only in `npm run test:lab`.
 * `x.vm.test.ts` runs only inside the storage lab VM, started by a lab or long test (testing/lab/storage-vm).
 * Lab and browser tests run each file in a process of its own. Those that share the machine (libvirt, networks, disks) run one at a
 * time; beside them, one at a time, too, those that do not: pages on a server of their own, and what is inside of the storage lab VM.
 * What a test has to say when it passes, too, it says through testing/note.ts.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { notesIn } from "../testing/note.ts";
import { root } from "./root.ts";

export type SuiteKind = "unit" | "slow" | "lab" | "e2e" | "long" | "vm";
/** `failures`: of each what is said again at the end, where it is found. */
export type Counts = { passed: number; failed: number; skipped: number; failures: readonly string[] };
export const none: Counts = { passed: 0, failed: 0, skipped: 0, failures: [] };

const results = join(root, ".cache", "test-results");

export function findTests(kind: SuiteKind): string[] {
	const all = ["src", "ui", "guest"]
		.filter((folder) => existsSync(join(root, folder)))
		.flatMap((folder) => [...new Glob(`${folder}/**/*.test.{ts,tsx}`).scanSync({ cwd: root })]);
	return all.filter((path) => kindOf(path) === kind).sort();
}

export function kindOf(path: string): SuiteKind {
	if (path.startsWith("ui/e2e/")) return path.endsWith(".long.test.ts") ? "long" : "e2e";
	const match = /\.(slow|lab|e2e|long|vm)\.test\.tsx?$/.exec(path);
	return (match?.[1] as SuiteKind | undefined) ?? "unit";
}

/** Whether it shares something of this machine with others that do: not pages on a mock server, nor what is inside of a machine of its own. */
export function needsMachine(path: string): boolean {
	const text = readFileSync(join(root, path), "utf8");
	if (path.startsWith("ui/")) return text.includes("src/testing/");
	return !/\b(?:testInStorageVm|startStorageVm)\(/.test(text);
}

/** Two processes, every other file each: the work is computing, and there are two cores at least. */
export async function runInHalves(name: string, files: readonly string[]): Promise<Counts> {
	const halves = [0, 1].map((half) => files.filter((_, at) => at % 2 === half));
	const counts = await Promise.all(halves.map((half, at) => runTests(`${name} ${at + 1} of 2`, half)));
	return counts.reduce(add);
}

/**
 * Runs the files in one `bun test` process and counts from its JUnit report. A process that dies without a report, or
 * that ends with an error although no test failed, counts as one failure.
 */
export async function runTests(
	name: string,
	files: readonly string[],
	options: { timeoutMs?: number } = {},
): Promise<Counts> {
	if (files.length === 0) return none;
	mkdirSync(results, { recursive: true });
	const report = join(results, `${name.replaceAll(/[^A-Za-z0-9]+/g, "-")}.xml`);
	rmSync(report, { force: true });
	const started = performance.now();
	console.log(`\n── ${name}`);
	const child = Bun.spawn(
		[
			process.execPath,
			"test",
			"--timeout=60000",
			"--max-concurrency=2",
			"--reporter=junit",
			`--reporter-outfile=${report}`,
			...files.map((file) => `./${file}`),
		],
		{
			cwd: root,
			stdin: "ignore",
			stdout: "pipe",
			stderr: "pipe",
			env: { ...process.env, NO_COLOR: "1" },
			timeout: options.timeoutMs ?? 900_000,
		},
	);
	const [output, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
	const exitCode = await child.exited;
	const counts = readReport(report);
	const broken = counts === null || (exitCode !== 0 && counts.failed === 0);
	const seen = counts ?? none;
	const total = { ...seen, failed: seen.failed + (broken ? 1 : 0), failures: failuresOf(name, errors) };
	if (total.failed > 0) console.log(trim(`${output}\n${errors}`));
	if (broken)
		total.failures.push(`${name}: the process ended with ${exitCode}${counts ? "" : " and without a report"}`);
	for (const line of new Set(skips(errors))) console.log(line);
	for (const line of notesIn(output)) console.log(`   ${line}`);
	const seconds = ((performance.now() - started) / 1000).toFixed(1);
	console.log(
		`${total.failed > 0 ? "FAILED" : "ok    "} ${name}: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped (${seconds} s)`,
	);
	return total;
}

/** The totals of a JUnit file; null when it is missing or cut off. */
function readReport(path: string): Counts | null {
	if (!existsSync(path)) return null;
	const text = readFileSync(path, "utf8");
	const head = /<testsuites\b[^>]*>/.exec(text)?.[0];
	if (!head || !text.includes("</testsuites>")) return null;
	const number = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
	const failed = number("failures") + number("errors");
	const skipped = number("skipped");
	return { passed: number("tests") - failed - skipped, failed, skipped, failures: [] };
}

const linesOfFailure = 30;

/** Of each failed test the lines that end with its name; of `bun test`'s standard error. */
export function failuresOf(name: string, errors: string): string[] {
	const lines = errors.split("\n");
	const found: string[] = [];
	let from = 0;
	for (const [at, line] of lines.entries()) {
		if (!/^\((pass|skip|todo|fail)\)/.test(line)) continue;
		if (line.startsWith("(fail)"))
			found.push([name, ...lines.slice(Math.max(from, at - linesOfFailure), at + 1)].join("\n"));
		from = at + 1;
	}
	return found;
}

const skips = (text: string): string[] =>
	text.split("\n").filter((line) => line.startsWith("(skip)") || line.startsWith("(todo)"));

/** Long output: the failures and the end are what matters. */
function trim(text: string): string {
	const lines = text.split("\n").filter((line) => !line.startsWith("(pass)"));
	return lines.length <= 400
		? lines.join("\n")
		: [...lines.slice(0, 150), `… ${lines.length - 400} lines …`, ...lines.slice(-250)].join("\n");
}

export const add = (a: Counts, b: Counts): Counts => ({
	passed: a.passed + b.passed,
	failed: a.failed + b.failed,
	skipped: a.skipped + b.skipped,
	failures: [...a.failures, ...b.failures],
});
