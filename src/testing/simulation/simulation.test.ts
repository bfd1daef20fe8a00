/** The simulator is deterministic, finds nothing in the code as it is, and finds a few of the bugs that can be planted. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { MutantName } from "../../raft/mutants.ts";
import { parseOptions, printSeeds } from "./campaign.ts";
import { EventQueue } from "./event-queue.ts";
import { Random } from "./random.ts";
import { simulate } from "./simulate.ts";
import { isExplainedByLog } from "./witness.ts";

setDefaultTimeout(60_000);
const root = join(import.meta.dir, "..", "..", "..");

test("the same seed gives the same trace, in this process and in another", () => {
	const hashes = [1, 2].map(() => simulate({ seed: 7, ms: 8000 }).traceHash);
	const other = Bun.spawnSync(
		[process.execPath, "src/scripts/simulate.ts", "--seeds", "7..7", "--hours", String(8 / 3600)],
		{
			cwd: root,
		},
	);
	expect(hashes[1]).toBe(hashes[0] as string);
	expect(other.stdout.toString()).toContain(`seed 7: nothing found, trace ${hashes[0]}`);
	expect(simulate({ seed: 8, ms: 8000 }).traceHash).not.toBe(hashes[0] as string);
});

for (const stack of ["driver", "core"] as const)
	test(`nothing is found on a few seeds (${stack}), and much happens in them`, () => {
		const results = [11, 12, 13, 14].map((seed) => simulate({ seed, ms: 20_000, stack }));
		expect(results.map(({ failure }) => failure)).toEqual([null, null, null, null]);
		const sum = (of: (result: (typeof results)[number]) => number): number =>
			results.reduce((total, result) => total + of(result), 0);
		expect(sum(({ completed }) => completed)).toBeGreaterThan(2000);
		expect(sum(({ terms }) => terms)).toBeGreaterThan(8);
		expect(sum(({ faults }) => [...faults.values()].reduce((all, count) => all + count, 0))).toBeGreaterThan(30);
	});

test("the daemon's store on SQLite: the same trace each time, and nothing is found", () => {
	const [first, second] = [1, 2].map(() => simulate({ seed: 5, ms: 3000, stack: "store" }));
	expect(first?.failure).toBeNull();
	expect(first?.completed).toBeGreaterThan(50);
	expect(second?.traceHash).toBe(first?.traceHash as string);
});

const found: MutantName[] = [
	"vote-not-durable",
	"commits-without-quorum",
	"read-without-round",
	"no-truncation",
	"log-not-synced",
	"damaged-vote-forgotten",
];
for (const mutant of found)
	test(`finds ${mutant}`, () => {
		const seeds = Array.from({ length: 20 }, (_, at) => 2000 + at);
		expect(seeds.some((seed) => simulate({ seed, ms: 20_000, mutant }).failure !== null)).toBe(true);
	});

test("a failing seed is printed with its reason, its trace and how to replay it", () => {
	const lines: string[] = [];
	const options = parseOptions({
		seeds: "1..1",
		hours: "0.002",
		mutant: "acks-before-durable",
		"all-faults": false,
		trace: false,
		mutants: false,
	});
	expect(printSeeds(options, (line) => lines.push(line))).toBe(1);
	expect(lines[0]).toMatch(
		/^seed 1: safety at step \d+ \(\d+ ms\), trace [0-9a-f]{16}: durability: .*\n {2}replay: npm run sim -- --seeds 1\.\.1 --hours 0\.002 --mutant acks-before-durable --trace$/,
	);
	expect(() => parseOptions({ seeds: "9..1", "all-faults": false, trace: false, mutants: false })).toThrow("A ≤ B");
});

test("a disk is only put back as an old one when its leader can tell that it is", () => {
	// Of a leader that had cut its log a disk that lacked nothing was taken for an old one, and the other one, with less, came back.
	expect(simulate({ seed: 930142, ms: 12_000, kind: "all", stack: "light" }).failure).toBeNull();
});

test("events run in the order of their times, and of their coming at the same time", () => {
	const queue = new EventQueue();
	const ran: string[] = [];
	for (const [delay, name] of [
		[9000, "far"],
		[5, "b"],
		[0, "a"],
		[5, "c"],
		[4100, "middle"],
	] as const)
		queue.after(delay, () => ran.push(`${queue.nowMs} ${name}`));
	queue.after(4905, () => queue.after(4095, () => ran.push(`${queue.nowMs} far, later`)));
	while (queue.step(10_000));
	expect(ran).toEqual(["0 a", "5 b", "5 c", "4100 middle", "9000 far", "9000 far, later"]);
});

test("random numbers follow from the seed", () => {
	const numbers = (seed: number): number[] => {
		const random = new Random(seed);
		return [random.word(), random.below(1000), random.between(5, 9)];
	};
	expect(numbers(1)).toEqual(numbers(1));
	expect(numbers(1)).not.toEqual(numbers(2));
});

test("the order of the log explains a history, or does not", () => {
	const base = { process: 1, key: "k" };
	const write = { ...base, kind: "write" as const, value: 1, invokedAt: 1, completedAt: 4 };
	const read = { ...base, kind: "read" as const, value: 1, invokedAt: 5, completedAt: 6 };
	expect(
		isExplainedByLog([
			{ operation: read, point: 10 },
			{ operation: write, point: 10 },
		]),
	).toBe(true);
	// It was over before the write that it is placed after began.
	expect(
		isExplainedByLog([
			{ operation: { ...write, invokedAt: 7, completedAt: 9 }, point: 10 },
			{ operation: read, point: 10 },
		]),
	).toBe(false);
	expect(
		isExplainedByLog([
			{ operation: { ...read, value: null }, point: 10 },
			{ operation: write, point: 10 },
		]),
	).toBe(false);
	// Acknowledged, and nowhere in the log.
	expect(isExplainedByLog([{ operation: write, point: null }])).toBe(false);
});
