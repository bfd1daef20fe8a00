/** `npm run check`: types, lint, unit tests and the house rules, in under a minute. */
import { join } from "node:path";
import { run } from "../lib/run.ts";
import { root } from "./root.ts";
import { type Counts, findTests, runInHalves } from "./test-suites.ts";

type Step = { name: string; passed: boolean; output: string };

async function tool(name: string, program: string, args: string[]): Promise<Step> {
	const result = await run(join(root, "node_modules", ".bin", program), args, {
		timeoutMs: 300_000,
		cwd: root,
		okExitCodes: [0, 1, 2],
		maxOutputBytes: 32 * 1024 * 1024,
	});
	return { name, passed: result.exitCode === 0, output: `${result.stdout}${result.stderr}` };
}

export async function check(): Promise<Counts> {
	const steps = [
		await tool("types", "tsc", ["-p", "."]),
		await tool("lint", "biome", ["ci", "--max-diagnostics=50", "."]),
	];
	for (const step of steps) {
		console.log(`${step.passed ? "ok    " : "FAILED"} ${step.name}`);
		if (!step.passed) console.log(step.output);
	}
	const unit = await runInHalves("unit tests", findTests("unit"));
	return {
		passed: unit.passed + steps.filter((step) => step.passed).length,
		failed: unit.failed + steps.filter((step) => !step.passed).length,
		skipped: unit.skipped,
		failures: [...steps.filter(({ passed }) => !passed).map(({ name }) => name), ...unit.failures],
	};
}

if (import.meta.main) {
	const { passed, failed, skipped } = await check();
	console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
	process.exit(failed > 0 ? 1 : 0);
}
