/** Snapshots of a thin volume ended at each of their steps: either all of one is there afterwards or nothing, and the tree is right. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { GiB, MiB } from "../../lib/units.ts";
import { type LabLuns, labLuns, nodeId } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { newId } from "../conformance.ts";
import type { IscsiLvmDriver } from "./driver.ts";

const poolId = newId();
let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [GiB] });
}, 60_000);
afterAll(() => lab.close(), 60_000);

const open = async (onStep: (name: string) => void | Promise<void> = () => {}): Promise<IscsiLvmDriver> => {
	const driver = lab.driver(poolId, { layout: "thin", hostIds: { [nodeId]: 1 } }, { onStep });
	await driver.activate();
	return driver;
};

/** True when `work` was done before it came to step `at`, at which it never goes on. */
async function endedAt(at: number, work: (driver: IscsiLvmDriver) => Promise<unknown>): Promise<boolean> {
	const ended = Promise.withResolvers<false>();
	let steps = Number.NEGATIVE_INFINITY;
	const driver = await open(() => {
		steps += 1;
		if (steps !== at) return;
		ended.resolve(false);
		return new Promise<void>(() => {});
	});
	steps = 0;
	return Promise.race([work(driver).then(() => true as const), ended.promise]);
}

test("taken, and taken again: the next one comes after it", async () => {
	const id = newId();
	const first = await open();
	await first.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
	for (let at = 1; at < 10; at++) {
		const [s1, s2] = [newId(), newId()];
		const done = await endedAt(at, (driver) => driver.snapshots.take(id, s1, { running: false }));
		const driver = await open();
		await driver.snapshots.take(id, s1, { running: false });
		await driver.snapshots.take(id, s2, { running: false });
		const tree = (await driver.snapshots.list(id)).map((one) => [one.id, one.parentId]);
		expect(tree).toEqual([
			[s1, null],
			[s2, s1],
		]);
		// Gone back to the first, the next one comes after that; a deleted one is left out.
		await driver.snapshots.revert(id, s1);
		const s3 = newId();
		await driver.snapshots.take(id, s3, { running: false });
		expect((await driver.snapshots.list(id)).find((one) => one.id === s3)?.parentId).toBe(s1);
		await driver.snapshots.delete(id, s1, {});
		const left = (await driver.snapshots.list(id)).map((one) => [one.id, one.parentId]);
		expect(left).toEqual([
			[s2, null],
			[s3, null],
		]);
		for (const snapshot of [s2, s3]) await driver.snapshots.delete(id, snapshot, {});
		if (done) {
			await driver.deleteVolume(id);
			await driver.remove();
			return;
		}
	}
	throw new Error("more than 10 steps");
}, 300_000);
