/**
 * The daemon is ended while qemu-img moves a disk to rest on another layer, or on nothing. The program lives on, and changes the disk's header
 * when the next daemon has looked at it already: the record follows all the same, and no disk is refused. The same when LVM fails right
 * after that change.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { requireNotOpen } from "../qemu-img.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { type LoopPool, loopPool } from "./testing/loop-pool.ts";

setDefaultTimeout(180_000);
const sizeBytes = 48 * MiB;
const content = pattern(sizeBytes, 3);

async function written(driver: IscsiLvmDriver, bytes = content): Promise<string> {
	const id = newId();
	await driver.createVolume(id, { format: "qcow2", sizeBytes, source: { kind: "empty" } });
	await driver.openVolume(id);
	await writeDisk(driver, id, 0, bytes);
	await driver.closeVolume(id);
	return id;
}

async function baseAndCopy(pool: LoopPool) {
	const driver = pool.driver();
	await driver.activate();
	const base = await written(driver);
	const copy = newId();
	await driver.createVolume(copy, {
		format: "qcow2",
		sizeBytes,
		source: { kind: "volume", id: base, fullCopy: false },
	});
	return { base, copy };
}

/** The `qemu-img rebase` that this process has started, with its disk. */
async function ownRebase(): Promise<{ pid: number; path: string } | null> {
	for (const name of await readdir("/proc")) {
		const of = (file: string) => readFile(`/proc/${name}/${file}`, "utf8").catch(() => "");
		const parent = /^\d+ \(qemu-img\) \S (\d+) /.exec(await of("stat"))?.[1];
		const [, command, ...args] = (await of("cmdline")).split("\0").slice(0, -1);
		if (Number(parent) === process.pid && command === "rebase") return { pid: Number(name), path: args.at(-1) ?? "" };
	}
	return null;
}

/** Stands still with the disk open to write to. */
async function stopRebase(): Promise<number> {
	return waitUntil("qemu-img to have the disk open", 60_000, async () => {
		const found = await ownRebase();
		if (found === null) return undefined;
		process.kill(found.pid, "SIGSTOP");
		const isOpen = await requireNotOpen(found.path, "qcow2").then(
			() => false,
			(error) => isAppError(error, "in-use"),
		);
		if (isOpen) return found.pid;
		process.kill(found.pid, "SIGCONT");
		return undefined;
	});
}

const recordsItsEnd = (step: string) => /^record that a disk (stands alone|has moved)$/.test(step);

/** `work` on a driver that is heard of no more: its qemu-img stands still in the middle. */
async function orphaned(pool: LoopPool, work: (driver: IscsiLvmDriver) => Promise<unknown>) {
	const ended = Promise.withResolvers<void>();
	const failed = Promise.withResolvers<never>();
	const driver = pool.driver({
		onStep(step) {
			if (!recordsItsEnd(step)) return;
			ended.resolve();
			return new Promise<void>(() => {});
		},
	});
	await driver.activate();
	work(driver).catch(failed.reject);
	const pid = await Promise.race([stopRebase(), failed.promise]);
	let stands = true;
	return {
		async goOn() {
			stands = false;
			process.kill(pid, "SIGCONT");
			await ended.promise;
		},
		[Symbol.dispose]() {
			if (stands) process.kill(pid, "SIGKILL");
		},
	};
}

/** As a node does that has just started, and has no VMs. */
async function started(pool: LoopPool): Promise<{ driver: IscsiLvmDriver; left: string[] }> {
	const driver = pool.driver();
	await driver.activate();
	const left: string[] = [];
	for (const id of await driver.openVolumes())
		await driver.closeVolume(id).catch((error) => {
			if (!isAppError(error, "in-use")) throw error;
			left.push(id);
		});
	return { driver, left };
}

const hasContent = async (driver: IscsiLvmDriver, id: string) => expectSame(await diskContent(driver, id), content);

for (const next of ["closes it", "starts"] as const)
	test(`a copy is made to stand alone by an orphan: settled by whoever ${next}`, async () => {
		await using pool = await loopPool();
		const { base, copy } = await baseAndCopy(pool);
		using orphan = await orphaned(pool, (of) => of.flattenVolume(copy, {}));
		const { driver, left } = await started(pool);
		expect(left).toEqual([copy]);
		await fails("in-use", driver.flattenVolume(copy, {}));
		await fails("in-use", driver.closeVolume(copy));
		await orphan.goOn();
		let now = driver;
		if (next === "closes it") await driver.closeVolume(copy);
		else ({ driver: now } = await started(pool));
		expect((await now.getVolume(copy))?.backing).toEqual([]);
		await now.deleteVolume(base);
		await hasContent(now, copy);
		await now.openVolume(copy);
		await now.closeVolume(copy);
	});

test("a VM starts from a disk that an orphan has moved while the node took it for open", async () => {
	await using pool = await loopPool();
	const { base, copy } = await baseAndCopy(pool);
	using orphan = await orphaned(pool, (of) => of.flattenVolume(copy, {}));
	const { driver } = await started(pool);
	await orphan.goOn();
	await driver.openVolume(copy);
	await fails("in-use", driver.deleteVolume(base));
	await driver.closeVolume(copy);
	await driver.deleteVolume(base);
	await hasContent(driver, copy);
});

test("a layer goes up by an orphan after its snapshot was deleted", async () => {
	await using pool = await loopPool();
	const first = pool.driver();
	await first.activate();
	const id = await written(first);
	const alone = await pool.lvNames();
	const snapshot = newId();
	await first.snapshots.take(id, snapshot, { running: false });
	using orphan = await orphaned(pool, (of) => of.snapshots.delete(id, snapshot, {}));
	const { driver, left } = await started(pool);
	expect(left).toEqual([id]);
	await fails("in-use", driver.closeVolume(id));
	await orphan.goOn();
	await driver.closeVolume(id);
	await hasContent(driver, id);
	await driver.snapshots.delete(id, snapshot, {});
	expect(await pool.lvNames()).toHaveLength(alone.length);
	await hasContent(driver, id);
});

test("LVM fails after the header has changed: the disk is used as before, and the record follows later", async () => {
	await using pool = await loopPool();
	const { base, copy } = await baseAndCopy(pool);
	const failing = pool.driver({
		onStep(step) {
			if (recordsItsEnd(step)) pool.failChanges(true);
		},
	});
	await failing.activate();
	await fails("storage", failing.flattenVolume(copy, {}));
	pool.failChanges(false);
	expect((await failing.getVolume(copy))?.backing).toEqual([{ kind: "volume", id: base, format: "qcow2" }]);
	// Whatever follows the chain believes the header.
	await hasContent(failing, copy);
	const third = newId();
	await failing.createVolume(third, {
		format: "qcow2",
		sizeBytes,
		source: { kind: "volume", id: copy, fullCopy: false },
	});
	await hasContent(failing, third);
	await failing.deleteVolume(third);
	expect((await failing.flattenVolume(copy, {})).backing).toEqual([]);
	await failing.deleteVolume(base);
	await hasContent(failing, copy);
});
