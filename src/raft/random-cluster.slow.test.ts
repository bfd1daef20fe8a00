/** The core under random faults. A failing seed is replayed by its number: SEED=123 bun test src/raft/random-cluster. */
import { expect, test } from "bun:test";
import { RandomCluster } from "./test-random.ts";

const only = process.env.SEED;
const seeds =
	only === undefined ? Array.from({ length: Number(process.env.SEEDS ?? 150) }, (_, at) => at + 1) : [Number(only)];
const steps = 3000;

test(`${seeds.length} clusters with faults stay safe, and recover`, () => {
	let committed = 0;
	let changes = 0;
	let recoveries = 0;
	for (const seed of seeds) {
		const run = new RandomCluster({ seed });
		try {
			run.run(steps);
			run.heal();
		} catch (error) {
			throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
		}
		committed += run.result.committed;
		changes += run.result.changes;
		recoveries += run.result.recoveries;
	}
	// The faults must not have kept everything from happening.
	if (only === undefined) {
		expect(committed).toBeGreaterThan(seeds.length * 20);
		expect(changes).toBeGreaterThan(seeds.length / 2);
		expect(recoveries).toBeGreaterThan(5);
	}
}, 60_000);
