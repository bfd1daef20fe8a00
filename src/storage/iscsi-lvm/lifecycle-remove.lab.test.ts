/**
 * Removing the volume group, ended at each of its steps, on LVM's real metadata (testing/loop-pool.ts): the LUN is empty in the end, and what
 * somebody else has put there meanwhile stays.
 */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { type LoopPool, loopPool } from "./testing/loop-pool.ts";

const steps = ["take the volume group away", "overwrite what LVM has left", "take the device from LVM"] as const;

/** A pool with a volume that has been deleted, as a pool is that may go. */
async function made(pool: LoopPool): Promise<void> {
	const driver = pool.driver();
	await driver.activate();
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
	await driver.deleteVolume(id);
}

/** It goes to that step, and never on. */
async function endedAt(pool: LoopPool, step: (typeof steps)[number]): Promise<void> {
	await made(pool);
	const ended = Promise.withResolvers<void>();
	const driver = pool.driver({
		onStep: (name) => {
			if (name !== step) return;
			ended.resolve();
			return new Promise<void>(() => {});
		},
	});
	const whole = driver.remove().then(() => {
		throw new Error(`it did not stop at "${step}"`);
	});
	await Promise.race([ended.promise, whole]);
}

/** A driver of another node, which never goes on at that step. */
async function anotherEndsAt(
	pool: LoopPool,
	step: string,
	work: (driver: IscsiLvmDriver) => Promise<unknown>,
): Promise<void> {
	const ended = Promise.withResolvers<void>();
	const other = pool.driver({
		...{ nodeId: newId(), mayInitialize: false, stagingFolder: join(pool.folder, "staging of another") },
		wipeOnDelete: true,
		onStep: (name) => {
			if (name !== step) return;
			ended.resolve();
			return new Promise<void>(() => {});
		},
	});
	await other.activate();
	const whole = work(other).then(() => {
		throw new Error(`it did not stop at "${step}"`);
	});
	await Promise.race([ended.promise, whole]);
}

const signatures = async (pool: LoopPool) =>
	(await run("wipefs", ["--no-act", "--noheadings", "--output", "TYPE", pool.device], { timeoutMs: 10_000 })).stdout
		.trim()
		.split("\n");
const contentOf = async (pool: LoopPool): Promise<Buffer> => readFile(join(pool.folder, "lun"));
/** Fails for a LUN on which something is. */
const isEmpty = async (pool: LoopPool) => (await pool.driver().probe()).usedBytes === 0;

test("removed, the LUN is empty, and removing it once more changes nothing", async () => {
	await using pool = await loopPool();
	await made(pool);
	const driver = pool.driver();
	await driver.remove();
	expect(await isEmpty(pool)).toBe(true);
	await driver.remove();
	await pool.driver().remove();
	expect(await isEmpty(pool)).toBe(true);
}, 60_000);

for (const step of steps)
	test(`ended at "${step}", it is done the next time`, async () => {
		await using pool = await loopPool();
		await endedAt(pool, step);
		await pool.driver().remove();
		expect(await signatures(pool)).toEqual([""]);
		expect(await isEmpty(pool)).toBe(true);
	}, 60_000);

for (const step of steps.slice(1))
	test(`ended at "${step}": a file system, or data, that was put there since stays`, async () => {
		await using pool = await loopPool();
		await endedAt(pool, step);
		await run("mke2fs", ["-q", "-F", "-t", "ext4", pool.device], { timeoutMs: 30_000 });
		await pool.driver().remove();
		expect(await signatures(pool)).toEqual(["ext4"]);
	}, 60_000);

test("data of somebody else, of no kind that is known, stay", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "overwrite what LVM has left");
	await run("dd", ["if=/dev/urandom", `of=${pool.device}`, "bs=1M", "count=2", "status=none"], { timeoutMs: 30_000 });
	await pool.driver().remove();
	await expect(isEmpty(pool)).rejects.toMatchObject({ context: { found: ["data"] } });
}, 60_000);

for (const wipeOnDelete of [false, true])
	test(`what another node has left half made, or half deleted, goes along, overwritten where that is wanted: ${wipeOnDelete}`, async () => {
		await using pool = await loopPool();
		await pool.driver().activate();
		const [deleted, unfinished] = [newId(), newId()];
		const make = (driver: IscsiLvmDriver, id: string) =>
			driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
		await anotherEndsAt(pool, "overwrite a disk", async (other) => {
			await make(other, deleted);
			await other.openVolume(deleted);
			await writeDisk(other, deleted, 0, pattern(4 * MiB));
			await other.closeVolume(deleted);
			await other.deleteVolume(deleted);
		});
		await anotherEndsAt(pool, "finish a disk", (other) => make(other, unfinished));
		expect(await pool.lvNames()).toHaveLength(2);
		const before = await contentOf(pool);
		const did: string[] = [];
		await pool.driver({ wipeOnDelete, onStep: (name) => void did.push(name) }).remove();
		expect(await isEmpty(pool)).toBe(true);
		expect(did.filter((name) => name === "overwrite a disk")).toHaveLength(wipeOnDelete ? 2 : 0);
		// LVM discards what it takes away, which the file of this LUN heeds: here it is gone in either case.
		const secret = Buffer.from(pattern(4096));
		expect([before.includes(secret), (await contentOf(pool)).includes(secret)]).toEqual([true, false]);
	}, 120_000);

test("volumes that nobody has deleted stay, in a group that is nobody's", async () => {
	await using pool = await loopPool();
	const driver = pool.driver();
	await driver.activate();
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
	await anotherEndsAt(pool, "finish a disk", (other) =>
		other.createVolume(newId(), { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } }),
	);
	await pool.driver({ wipeOnDelete: true }).remove();
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
	expect(await pool.lvNames()).toContain(`v-${id}-1`);
}, 60_000);

const bareDevice = async (device: string) => {
	await run("wipefs", ["--all", "--quiet", device], { timeoutMs: 10_000 });
	const config = ["--devices", device, "--config", 'devices/global_filter=["a|.*|"]', "--driverloaded", "n"];
	const environment = { LVM_SUPPRESS_FD_WARNINGS: "1" };
	await run("lvm", ["pvcreate", ...config, "--yes", device], { timeoutMs: 30_000, environment });
};

test("a device of LVM that this node did not leave there stays", async () => {
	await using pool = await loopPool();
	await bareDevice(pool.device);
	await pool.driver().remove();
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
}, 60_000);

for (const step of steps.slice(1))
	test(`ended at "${step}": a bare device of LVM that somebody has made there since stays`, async () => {
		await using pool = await loopPool();
		await endedAt(pool, step);
		await bareDevice(pool.device);
		await pool.driver().remove();
		expect(await signatures(pool)).toEqual(["LVM2_member"]);
	}, 60_000);

test("a device that has become another LUN meanwhile is not overwritten", async () => {
	await using pool = await loopPool();
	await using another = await loopPool();
	await made(pool);
	await bareDevice(another.device);
	let { device } = pool;
	const lun = async () => ({ device, sizeBytes: 600 * MiB });
	const driver = pool.driver({
		connection: {
			connect: async () => ({ ...(await lun()), undo: async () => {} }),
			current: lun,
			trouble: async () => ({ dead: null, weak: null }),
			rescan: lun,
			disconnect: async () => {},
		},
		onStep: (step) => {
			if (step === "overwrite what LVM has left") device = another.device;
		},
	});
	await expect(driver.remove()).rejects.toMatchObject({ code: "storage" });
	expect([await signatures(another), await signatures(pool)]).toEqual([["LVM2_member"], ["LVM2_member"]]);
}, 60_000);
