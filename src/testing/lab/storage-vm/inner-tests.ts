/**
 * Tests that run inside the storage lab VM (`x.vm.test.ts`), and a test file outside that has each of them as a test of its own:
 *
 *     await testInStorageVm(["src/storage/nfs/nfs.vm.test.ts"], { cacheDir, limitMs: 120_000 });
 *
 * at the top of an `x.lab.test.ts`. The machine runs while the file is loaded; what its tests say is known when they begin.
 */
import { describe, test } from "bun:test";
import { toAppError } from "../../../lib/errors.ts";
import { note, notesIn } from "../../note.ts";
import { readJunit, type TestResult } from "./junit-report.ts";
import { type StorageVm, type StorageVmOptions, startStorageVm } from "./storage-vm.ts";

export type InnerTestOptions = {
	/** Of all tests together. */
	limitMs: number;
	/** Of a test that says nothing else itself. */
	eachLimitMs?: number;
	/** Only those whose name, after those of its groups, contains this. */
	named?: string | RegExp;
	environment?: Readonly<Record<string, string>>;
};

export type InnerRun = {
	results: TestResult[];
	/** What `bun test` printed, and what went wrong beside the tests: "" when nothing did. */
	output: string;
	broken: string;
};

const usualLimitMs = 60_000;
const endOfOutput = 6000;

/** `paths` are relative to the project. Fails only with the machine; a failed test is in the results. */
export async function runInnerTests(
	vm: StorageVm,
	paths: readonly string[],
	options: InnerTestOptions,
): Promise<InnerRun> {
	const report = `/run/lab/report-${crypto.randomUUID()}.xml`;
	const flags = [
		`--timeout=${options.eachLimitMs ?? usualLimitMs}`,
		"--reporter=junit",
		`--reporter-outfile=${report}`,
	];
	const { named } = options;
	if (named !== undefined)
		flags.push(`--test-name-pattern=${named instanceof RegExp ? named.source : RegExp.escape(named)}`);
	const environment = Object.entries(options.environment ?? {}).map(
		([name, value]) => `export ${name}=${quoted(value)}`,
	);
	const files = paths.map((path) => quoted(`./${path}`));
	const command = ["bun", "test", "--preload=/tools/guest-bin/preload.ts", ...flags.map(quoted), ...files].join(" ");
	// Whatever ends it, there is output; the end of a test run that failed is in its report.
	const output = await vm.shell(
		[
			...environment,
			"cd /repo",
			`timeout -k 5 ${options.limitMs / 1000} ${command}`,
			"code=$?; echo; echo ended with $code",
		].join("\n"),
		options.limitMs + 10_000,
	);
	const results = readJunit((await vm.getFile(report).catch(() => Buffer.alloc(0))).toString("utf8"));
	const exitCode = Number(/ended with (\d+)$/.exec(output)?.[1]);
	const failed = results?.some(({ outcome }) => outcome === "failed") ?? false;
	let broken = "";
	if (exitCode === 124 || exitCode === 137) broken = `not done within ${options.limitMs} ms`;
	else if (results === null) broken = `ended with ${exitCode} and without a report`;
	else if (exitCode !== 0 && !failed) broken = `ended with ${exitCode} although no test failed`;
	else if (results.length === 0) broken = "no test ran";
	return { results: results ?? [], output, broken };
}

/** Boots a machine, runs the tests in it, ends it, and makes a test here of each of them. */
export async function testInStorageVm(
	paths: readonly string[],
	options: StorageVmOptions & InnerTestOptions,
): Promise<void> {
	let inner: InnerRun;
	const { limitMs, lifetimeMs = limitMs + 120_000 } = options;
	try {
		await using vm = await startStorageVm({ ...options, lifetimeMs });
		inner = await runInnerTests(vm, paths, options);
		if (inner.broken !== "") inner.output += `\n${vm.console().slice(-endOfOutput)}`;
	} catch (error) {
		inner = { results: [], output: toAppError(error).message, broken: "the machine failed" };
	}
	const { results, output, broken } = inner;
	for (const line of notesIn(output)) note(line);
	describe("in the storage lab VM", () => {
		for (const { name, outcome, failure, seconds } of results) {
			const title = `${name} (${seconds.toFixed(1)} s inside)`;
			if (outcome === "skipped") test.skip(title, () => undefined);
			else
				test(title, () => {
					if (outcome === "failed") throw new Error(`${failure}\n${output.slice(-endOfOutput)}`);
				});
		}
		if (broken !== "")
			test(`${paths.join(", ")}: the run`, () => {
				throw new Error(`${broken}\n${output.slice(-endOfOutput)}`);
			});
	});
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
