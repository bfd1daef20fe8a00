/** Operations in a thin pool on a real target that were cut short, in the storage lab VM. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { type LabLuns, labLuns, limit, nodeId } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { newId } from "../conformance.ts";
import { type CutPool, endedAt } from "./testing/interrupted.ts";
import { interruptedOperations } from "./testing/interrupted-operations.ts";

const limitMs = 900_000;
const mostSteps = 20;
let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [GiB] });
}, 60_000);
afterAll(() => lab.close(), 60_000);

async function open(): Promise<CutPool> {
	const poolId = newId();
	const config = { layout: "thin", hostIds: { [nodeId]: 1 } } as const;
	return {
		driver: ({ onStep, ...more } = {}) => lab.driver(poolId, { ...config, ...more }, onStep ? { onStep } : {}),
		lvNames: () => lab.lvNames(poolId),
		[Symbol.asyncDispose]: () => lab.clear(poolId),
	};
}

interruptedOperations({ layout: "thin", open, limitMs });

test(
	"the pool is made and removed",
	async () => {
		await using pool = await open();
		/** What is in it keeps a pool's group. */
		const used = async () => {
			const [driver, id] = [pool.driver(), newId()];
			await driver.activate();
			await driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
			expect((await driver.listVolumes()).map((volume) => volume.id)).toEqual([id]);
			await driver.deleteVolume(id);
			return driver;
		};
		const isEmpty = async () => {
			const args = ["--no-act", "--noheadings", "--output", "TYPE", "--", lab.disks[0]?.device ?? ""];
			return (await run("wipefs", args, limit)).stdout.trim() === "";
		};
		for (let at = 1, done = false; !done; at++) {
			expect(at).toBeLessThan(mostSteps);
			done = await endedAt(pool, at, (driver) => driver.activate(), { whole: true });
			await (await used()).remove();
			expect(await isEmpty()).toBe(true);
		}
		for (let at = 1, done = false; !done; at++) {
			expect(at).toBeLessThan(mostSteps);
			await (await used()).deactivate();
			done = await endedAt(pool, at, (driver) => driver.remove(), { whole: true });
			await pool.driver().remove();
			expect(await isEmpty()).toBe(true);
		}
	},
	limitMs,
);
