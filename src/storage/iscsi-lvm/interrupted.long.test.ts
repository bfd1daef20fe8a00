/**
 * Every operation ended at each of its steps: the process that did it never goes on, and a new driver finds what it left. Either all of
 * it is there afterwards or nothing, and it can be done again.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, newId, pattern, upload } from "../conformance.ts";
import type { CreateSource } from "../driver.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { type LoopPool, loopPool } from "./testing/loop-pool.ts";

const block = 65_536;
const write = async (driver: IscsiLvmDriver, id: string, at: number, seed: number) => {
	await driver.openVolume(id);
	await writeDisk(driver, id, at * block, pattern(block, seed));
	await driver.closeVolume(id);
};
const holds = async (driver: IscsiLvmDriver, id: string, seeds: number[]) => {
	const found = await diskContent(driver, id);
	for (const [at, seed] of seeds.entries())
		expectSame(found.subarray(at * block, (at + 1) * block), seed === 0 ? new Uint8Array(block) : pattern(block, seed));
};

/** Runs `work` on a driver that never goes on at step `at`; true when it was done before that. */
async function endedAt(
	pool: LoopPool,
	at: number,
	work: (driver: IscsiLvmDriver) => Promise<unknown>,
	more: { wipeOnDelete?: boolean } = {},
): Promise<boolean> {
	const ended = Promise.withResolvers<false>();
	let steps = Number.NEGATIVE_INFINITY;
	const driver = pool.driver({
		...more,
		onStep: () => {
			steps += 1;
			if (steps !== at) return;
			ended.resolve(false);
			return new Promise<void>(() => {});
		},
	});
	await driver.activate();
	steps = 0;
	return Promise.race([work(driver).then(() => true as const), ended.promise]);
}

async function everyStep(
	pool: LoopPool,
	work: (driver: IscsiLvmDriver) => Promise<unknown>,
	afterwards: (driver: IscsiLvmDriver) => Promise<void>,
): Promise<number> {
	for (let at = 1; at < 40; at++) {
		const done = await endedAt(pool, at, work);
		const driver = pool.driver();
		await driver.activate();
		// As a node does that has just started, and has no VMs.
		for (const id of await driver.openVolumes()) await driver.closeVolume(id);
		await afterwards(driver);
		expect(await driver.openVolumes()).toEqual([]);
		if (done) return at;
	}
	throw new Error("more than 40 steps");
}

const make = (driver: IscsiLvmDriver, id: string, source: CreateSource, format: "qcow2" | "raw" = "qcow2") =>
	driver.createVolume(id, { format, sizeBytes: 4 * MiB, source });
const empty: CreateSource = { kind: "empty" };

test("making, copying and deleting volumes", async () => {
	await using pool = await loopPool();
	const [base, one] = [newId(), newId()];
	const first = pool.driver();
	await first.activate();
	await make(first, base, empty);
	await write(first, base, 0, 1);
	const lvs = await pool.lvNames();
	for (const format of ["qcow2", "raw"] as const) {
		await everyStep(
			pool,
			(driver) => make(driver, one, empty, format),
			async (driver) => {
				await make(driver, one, empty, format);
				await holds(driver, one, [0]);
				await driver.deleteVolume(one);
				expect(await pool.lvNames()).toEqual(lvs);
			},
		);
	}
	await everyStep(
		pool,
		(driver) => make(driver, one, { kind: "volume", id: base, fullCopy: false }),
		async (driver) => {
			await holds(driver, base, [1]);
			await make(driver, one, { kind: "volume", id: base, fullCopy: false });
			await holds(driver, one, [1]);
			await driver.deleteVolume(one);
			await write(driver, base, 1, 2);
			await holds(driver, base, [1, 2]);
		},
	);
	await everyStep(
		pool,
		async (driver) => {
			await make(driver, one, empty);
			await driver.deleteVolume(one);
		},
		async (driver) => {
			await driver.deleteVolume(one);
			expect((await driver.listVolumes()).map(({ id }) => id)).toEqual([base]);
		},
	);
}, 300_000);

test("snapshots: taken, gone back to, deleted", async () => {
	await using pool = await loopPool();
	const id = newId();
	const [s1, s2] = [newId(), newId()];
	const first = pool.driver();
	await first.activate();
	await make(first, id, empty);
	await write(first, id, 0, 1);
	const alone = (await pool.lvNames()).length;
	await everyStep(
		pool,
		(driver) => driver.snapshots.take(id, s1, { running: false }),
		async (driver) => {
			await driver.snapshots.take(id, s1, { running: false });
			expect((await driver.snapshots.list(id)).map((snapshot) => snapshot.id)).toEqual([s1]);
			await holds(driver, id, [1]);
			await driver.snapshots.delete(id, s1, {});
			expect(await pool.lvNames()).toHaveLength(alone);
		},
	);
	const driver = pool.driver();
	await driver.activate();
	await driver.snapshots.take(id, s1, { running: false });
	await write(driver, id, 0, 2);
	await driver.snapshots.take(id, s2, { running: false });
	await write(driver, id, 1, 3);
	await everyStep(
		pool,
		(of) => of.snapshots.revert(id, s1),
		async (of) => {
			expect((await of.snapshots.list(id)).map((snapshot) => snapshot.id)).toEqual([s1, s2]);
			await of.snapshots.revert(id, s1);
			await holds(of, id, [1, 0]);
			await of.snapshots.revert(id, s2);
			await holds(of, id, [2, 0]);
		},
	);
	const [s3, s4] = [newId(), newId()];
	const withTwo = (await pool.lvNames()).length;
	await everyStep(
		pool,
		async (of) => {
			await of.snapshots.take(id, s3, { running: false });
			await of.snapshots.delete(id, s3, {});
		},
		async (of) => {
			await of.snapshots.delete(id, s3, {});
			expect((await of.snapshots.list(id)).map((snapshot) => snapshot.id)).toEqual([s1, s2]);
			await of.snapshots.take(id, s4, { running: false });
			await of.snapshots.delete(id, s4, {});
			await holds(of, id, [2, 0]);
			expect(await pool.lvNames()).toHaveLength(withTwo);
		},
	);
}, 300_000);

test("a copy is made to stand alone", async () => {
	await using pool = await loopPool();
	const base = newId();
	const first = pool.driver();
	await first.activate();
	await make(first, base, empty);
	await write(first, base, 0, 1);
	const snapshot = newId();
	let id = newId();
	const prepare = async (driver: IscsiLvmDriver) => {
		await make(driver, id, { kind: "volume", id: base, fullCopy: false });
		await write(driver, id, 1, 2);
		await driver.snapshots.take(id, snapshot, { running: false });
		await write(driver, id, 2, 3);
	};
	await prepare(first);
	const steps = await everyStep(
		pool,
		(driver) => driver.flattenVolume(id, {}),
		async (driver) => {
			await holds(driver, id, [1, 2, 3]);
			await driver.flattenVolume(id, {});
			expect((await driver.getVolume(id))?.backing).toEqual([]);
			await holds(driver, id, [1, 2, 3]);
			await driver.snapshots.revert(id, snapshot);
			await holds(driver, id, [1, 2, 0]);
			await driver.deleteVolume(id);
			id = newId();
			await prepare(driver);
		},
	);
	expect(steps).toBeGreaterThan(3);
	const driver = pool.driver();
	await driver.activate();
	await driver.flattenVolume(id, {});
	await driver.deleteVolume(base);
	await holds(driver, id, [1, 2, 3]);
}, 300_000);

test("growing a raw disk shows nothing that others left", async () => {
	await using pool = await loopPool();
	const [old, id] = [newId(), newId()];
	const first = pool.driver();
	await first.activate();
	await make(first, id, empty, "raw");
	await first.createVolume(old, { format: "raw", sizeBytes: 64 * MiB, source: empty });
	for (let at = 0; at < 1024; at += 16) await write(first, old, at, 7);
	await first.deleteVolume(old);
	let sizeBytes = 4 * MiB;
	await everyStep(
		pool,
		(driver) => driver.resizeVolume(id, sizeBytes + 4 * MiB),
		async (driver) => {
			sizeBytes = (await driver.getVolume(id))?.sizeBytes ?? 0;
			expect((await diskContent(driver, id)).every((byte) => byte === 0)).toBe(true);
		},
	);
}, 300_000);

test("images", async () => {
	await using pool = await loopPool();
	const id = newId();
	const bytes = pattern(2 * MiB);
	const first = pool.driver();
	await first.activate();
	await upload(first, id, bytes);
	await everyStep(
		pool,
		(driver) => driver.finishImage(id, { format: "raw", sha256: null }),
		async (driver) => {
			await driver.finishImage(id, { format: "raw", sha256: null });
			const made = newId();
			await make(driver, made, { kind: "image", id, fullCopy: true });
			expectSame((await diskContent(driver, made)).subarray(0, bytes.length), bytes);
			await driver.deleteVolume(made);
			await driver.deleteImage(id);
			expect(await pool.lvNames()).toEqual([]);
			await upload(driver, id, bytes);
		},
	);
}, 300_000);

test("what was deleted is overwritten, however often that is cut short", async () => {
	await using pool = await loopPool();
	const id = newId();
	const marker = Buffer.from(pattern(64, 99));
	const isThere = async () => {
		for await (const chunk of Bun.file(join(pool.folder, "lun")).stream())
			if (Buffer.from(chunk).includes(marker)) return true;
		return false;
	};
	const driver = () => pool.driver({ wipeOnDelete: true });
	for (let at = 1; at < 10; at++) {
		const first = driver();
		await first.activate();
		await make(first, id, empty, "raw");
		await write(first, id, 3, 99);
		expect(await isThere()).toBe(true);
		const done = await endedAt(pool, at, (of) => of.deleteVolume(id), { wipeOnDelete: true });
		const again = driver();
		await again.activate();
		for (const open of await again.openVolumes()) await again.closeVolume(open);
		await again.deleteVolume(id);
		expect(await again.listVolumes()).toEqual([]);
		expect(await isThere()).toBe(false);
		if (done) return;
	}
	throw new Error("more than 10 steps");
}, 300_000);
