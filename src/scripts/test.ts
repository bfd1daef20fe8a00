/**
 * `npm test`: build, check, the slow unit tests, then lab and browser tests in two lanes (test-suites.ts); the last line is `N passed, N failed, N skipped`. `npm run test:lab` adds the long ones. `-- NAME…` runs only the suites whose path
 * contains one of the names; `-- --resume` leaves out those that passed since the last full run.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.ts";
import { check } from "./check.ts";
import { root } from "./root.ts";
import { add, type Counts, findTests, needsMachine, none, runInHalves, runTests } from "./test-suites.ts";

const args = process.argv.slice(2);
const lab = args.includes("--lab");
const resume = args.includes("--resume");
const names = args.filter((argument) => !argument.startsWith("--"));
const wanted = (path: string): boolean => names.length === 0 || names.some((name) => path.includes(name));

const progressPath = join(root, ".cache", "test-lab-passed.json");
const passedBefore = new Set<string>(
	resume && existsSync(progressPath) ? (JSON.parse(readFileSync(progressPath, "utf8")) as string[]) : [],
);

let total: Counts = none;
try {
	await build();
} catch (error) {
	console.error(error);
	console.log("\n0 passed, 1 failed, 0 skipped");
	process.exit(1);
}
if (names.length === 0 && !passedBefore.has("check")) {
	const counts = await check();
	total = add(total, counts);
	remember("check", counts);
}
if (names.length === 0 && !passedBefore.has("slow")) {
	const counts = await runInHalves("slow tests", findTests("slow"));
	total = add(total, counts);
	remember("slow", counts);
}
// By name, any file that is asked for; else those above ran all together.
const together = names.length === 0 ? [] : [...findTests("unit"), ...findTests("slow")];
await runFiles([...together, ...findTests("lab"), ...findTests("e2e"), ...(lab ? findTests("long") : [])]);
// Again, since there is much between them and the end.
if (total.failures.length > 0) console.log("\n── what failed");
for (const failure of total.failures) console.log(`\n${failure}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);

/**
 * Each file in a process of its own. One lane has the tests that need the machine for themselves, the other one those that can run beside
 * anything; who is done with its own takes from the rest of those.
 */
async function runFiles(files: readonly string[]): Promise<void> {
	const left = files.filter((file) => wanted(file) && !passedBefore.has(file));
	const [alone, beside] = [left.filter(needsMachine), left.filter((file) => !needsMachine(file))];
	const lane = async (next: () => string | undefined): Promise<void> => {
		for (let file = next(); file !== undefined; file = next()) {
			const counts = await runTests(file, [file], { timeoutMs: lab ? 3_600_000 : 900_000 });
			total = add(total, counts);
			remember(file, counts);
		}
	};
	await Promise.all([lane(() => alone.shift() ?? beside.shift()), lane(() => beside.shift())]);
}

function remember(suite: string, counts: Counts): void {
	if (!lab || counts.failed > 0) return;
	passedBefore.add(suite);
	mkdirSync(join(root, ".cache"), { recursive: true });
	writeFileSync(progressPath, JSON.stringify([...passedBefore]));
}
