/** Snapshots of files with real qemu-img: what they hold, what they cost, and what a running QEMU forbids. */
import { expect, test } from "bun:test";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { KiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { type HeldDisk, holdOpen } from "../../testing/lab/held-disk.ts";
import { diskContent, expectSame, fails, hostileIds, makeImage, newId, pattern, readAll } from "../conformance.ts";
import type { CreateSource } from "../driver.ts";
import { openLocal, poolId, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

const empty: CreateSource = { kind: "empty" };
const part = 64 * KiB;
const stopped = { running: false };

async function setUp(format: "qcow2" | "raw" = "qcow2", source = empty) {
	const folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const id = newId();
	await driver.createVolume(id, { format, sizeBytes: MiB, source });
	const write = (seed: number, at = 0) => writeDisk(driver, id, at, pattern(part, seed));
	const holds = async (volume: string, seed: number, at = 0) =>
		expectSame((await diskContent(driver, volume)).subarray(at, at + part), pattern(part, seed));
	const copyOf = async (snapshotId: string, fullCopy: boolean) => {
		const copy = newId();
		const from: CreateSource = { kind: "snapshot", id, snapshotId, fullCopy };
		await driver.createVolume(copy, { format: "qcow2", sizeBytes: MiB, source: from });
		return copy;
	};
	const files = async () => (await readdir(join(root, "volumes", id))).sort();
	return {
		...{ folder, root, driver, id, write, holds, copyOf, files },
		[Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
	};
}

for (const format of ["qcow2", "raw"] as const) {
	test(`a ${format} volume goes back and forth between its snapshots`, async () => {
		await using setting = await setUp(format);
		const { driver, id, write, holds } = setting;
		const { snapshots } = driver;
		const [first, second, third] = [newId(), newId(), newId()];
		await write(1);
		expect(await snapshots.take(id, first, stopped)).toEqual({ id: first, sizeBytes: MiB, parentId: null });
		expect((await driver.getVolume(id))?.format).toBe("qcow2");
		await write(2);
		expect(await snapshots.take(id, second, stopped)).toMatchObject({ parentId: first });
		expect(await snapshots.take(id, second, stopped)).toMatchObject({ parentId: first });
		await driver.resizeVolume(id, 2 * MiB);
		await write(3);
		await holds(id, 3);
		expect(await snapshots.revert(id, first)).toMatchObject({ sizeBytes: MiB });
		await holds(id, 1);
		await write(4);
		expect(await snapshots.take(id, third, stopped)).toMatchObject({ parentId: first });
		await snapshots.revert(id, second);
		await holds(id, 2);
		await snapshots.revert(id, third);
		await holds(id, 4);
		expect((await snapshots.list(id)).map((one) => one.id)).toEqual([first, second, third]);
		const reopened = await openLocal(setting.root);
		expect(await reopened.snapshots.list(id)).toEqual(await snapshots.list(id));
		await snapshots.delete(id, first, {});
		expect(await snapshots.list(id)).toEqual([
			{ id: second, sizeBytes: MiB, parentId: null },
			{ id: third, sizeBytes: MiB, parentId: null },
		]);
		await holds(id, 4);
		await snapshots.revert(id, second);
		await holds(id, 2);
		await snapshots.delete(id, third, {});
		await snapshots.delete(id, second, {});
		await snapshots.delete(id, second, {});
		await holds(id, 2);
		expect(await setting.files()).toHaveLength(2);
		expect((await driver.getVolume(id))?.format).toBe(format);
		expect(await driver.checkVolume(id, { repair: false })).toEqual({ errors: 0, leakedBytes: 0, repaired: 0 });
	});
}

test("the oldest of many goes while newer ones stay, again and again", async () => {
	await using setting = await setUp();
	const { driver, id, write, holds } = setting;
	const kept: string[] = [];
	for (let round = 1; round <= 8; round++) {
		await write(round);
		await write(100 + round, part * round);
		const snapshot = newId();
		await driver.snapshots.take(id, snapshot, stopped);
		kept.push(snapshot);
		if (kept.length > 3) await driver.snapshots.delete(id, kept.shift() ?? "", {});
	}
	expect(await setting.files()).toHaveLength(5);
	for (const [at, snapshot] of kept.entries()) {
		const copy = await setting.copyOf(snapshot, true);
		await holds(copy, 6 + at);
		await holds(copy, 101, part);
		await driver.deleteVolume(copy);
	}
	await holds(id, 8);
	// What is written down about the names of files is right for a new process too.
	await diskContent(await openLocal(setting.root), id);
});

test("copies of a snapshot", async () => {
	await using setting = await setUp();
	const { driver, id, write, holds, copyOf } = setting;
	const snapshot = newId();
	await write(1);
	await driver.snapshots.take(id, snapshot, stopped);
	await write(2);
	const [whole, light] = [await copyOf(snapshot, true), await copyOf(snapshot, false)];
	expect((await driver.getVolume(whole))?.backing).toEqual([]);
	expect((await driver.getVolume(light))?.backing).toMatchObject([{ kind: "volume", id }]);
	for (const copy of [whole, light]) await holds(copy, 1);
	expect(await fails("in-use", driver.snapshots.delete(id, snapshot, {}))).toContain(light);
	expect(await fails("in-use", driver.deleteVolume(id))).toContain(light);
	await writeDisk(driver, light, 0, pattern(part, 7));
	await driver.snapshots.revert(id, snapshot);
	await holds(id, 1);
	await holds(light, 7);
	await driver.deleteVolume(light);
	await driver.snapshots.delete(id, snapshot, {});
	expect(await setting.files()).toEqual(["disk-1.qcow2", "record.json"]);
	const missing: CreateSource = { kind: "snapshot", id, snapshotId: snapshot, fullCopy: true };
	await fails("not-found", driver.createVolume(newId(), { format: "raw", sizeBytes: MiB, source: missing }));
});

test("a copy of the volume keeps a layer whose snapshot goes; an image stays below", async () => {
	await using folder = await temporaryFolder();
	const driver = await openLocal(join(folder.path, "pool"));
	const image = await makeImage(driver, pattern(MiB));
	const [id, copy, snapshot, later] = [newId(), newId(), newId(), newId()];
	const make = (volume: string, source: CreateSource) =>
		driver.createVolume(volume, { format: "qcow2", sizeBytes: MiB, source });
	await make(id, { kind: "image", id: image, fullCopy: false });
	await writeDisk(driver, id, 0, pattern(part, 2));
	await driver.snapshots.take(id, snapshot, stopped);
	await make(copy, { kind: "volume", id, fullCopy: false });
	await driver.snapshots.delete(id, snapshot, {});
	const wanted = pattern(MiB);
	wanted.set(pattern(part, 2));
	for (const volume of [id, copy]) expectSame(await diskContent(driver, volume), wanted);
	await driver.deleteVolume(copy);
	// What was kept for the copy goes with the next snapshot that goes.
	await driver.snapshots.take(id, later, stopped);
	await driver.snapshots.delete(id, later, {});
	expect((await driver.attachInfo(id)).backing).toEqual([{ source: await driver.imageSource(image), format: "raw" }]);
	expectSame(await diskContent(driver, id), wanted);
});

test("a raw volume is qcow2 under its snapshots, and is given out as it is asked for", async () => {
	await using setting = await setUp("raw");
	const { driver, id, write, holds } = setting;
	await write(1);
	await driver.snapshots.take(id, newId(), stopped);
	await write(2, part);
	const wanted = new Uint8Array(MiB);
	wanted.set(pattern(part, 1));
	wanted.set(pattern(part, 2), part);
	const raw = await driver.exportVolume(id, "raw", {});
	expect(raw.sizeBytes).toBe(MiB);
	expectSame(await readAll(raw.stream), wanted);
	const source: CreateSource = { kind: "volume", id, fullCopy: true };
	for (const format of ["raw", "qcow2"] as const) {
		const copy = newId();
		expect(await driver.createVolume(copy, { format, sizeBytes: MiB, source })).toMatchObject({ format, backing: [] });
		expectSame(await diskContent(driver, copy), wanted);
	}
	// Copies elsewhere go by what the pool says of it.
	await using folder = await temporaryFolder();
	const other = await openLocal(join(folder.path, "other"), { poolId: newId() });
	const content = await driver.readVolume(id, {});
	expect(content.format).toBe("qcow2");
	await other.receiveVolume(id, content, {});
	expectSame(await diskContent(other, id), wanted);
	await holds(id, 1);
});

test("refusals", async () => {
	await using setting = await setUp();
	const { driver, id } = setting;
	for (const bad of hostileIds) {
		await fails("invalid", driver.snapshots.take(bad, newId(), stopped));
		await fails("invalid", driver.snapshots.take(id, bad, stopped));
		await fails("invalid", driver.snapshots.revert(id, bad));
		await fails("invalid", driver.snapshots.delete(id, bad, {}));
		await fails("invalid", driver.snapshots.list(bad));
	}
	await fails("not-found", driver.snapshots.take(newId(), newId(), stopped));
	await fails("not-found", driver.snapshots.revert(id, newId()));
	await driver.snapshots.delete(newId(), newId(), {});
	expect(await driver.snapshots.list(newId())).toEqual([]);
	for (let count = 1; count < 32; count++) {
		await setting.write(count);
		await driver.snapshots.take(id, newId(), stopped);
	}
	await setting.write(99);
	expect(await fails("invalid", driver.snapshots.take(id, newId(), stopped))).toContain("too long");
	await setting.holds(id, 99);
	// It makes a chain as long as chains may be.
}, 20_000);

test("of a disk that QEMU has open, a snapshot is taken; nothing else is done", async () => {
	await using setting = await setUp();
	const { driver, id, write, holds, root } = setting;
	const [first, second] = [newId(), newId()];
	await write(1);
	const before = sourceName((await driver.attachInfo(id)).source);
	await using _qemu: HeldDisk = await holdOpen(before, "qcow2");
	await fails("in-use", driver.snapshots.take(id, first, stopped));
	expect(await driver.snapshots.take(id, first, { running: true })).toMatchObject({ sizeBytes: MiB });
	const attached = await driver.attachInfo(id);
	expect(sourceName(attached.source)).not.toBe(before);
	expect(attached.backing.map(({ source }) => sourceName(source))).toEqual([before]);

	// The daemon ended before QEMU went over: the next one puts the volume back to what QEMU has open.
	const next = await openLocal(root);
	expect((await next.attachInfo(id)).backing).toHaveLength(1);
	await next.snapshots.undoTake(id, first);
	await next.snapshots.undoTake(id, first);
	expect(await next.attachInfo(id)).toMatchObject({ source: { path: before }, backing: [] });
	expect(await next.snapshots.list(id)).toEqual([]);
	expect(await setting.files()).toEqual(["disk-1.qcow2", "record.json"]);
	await fails("in-use", next.snapshots.take(id, second, stopped));
	await _qemu[Symbol.asyncDispose]();

	// What was gone over to is not undone.
	await next.snapshots.take(id, second, stopped);
	await writeDisk(next, id, 0, pattern(part, 2));
	expect(await fails("wrong-state", next.snapshots.undoTake(id, second))).toContain("written");
	await using _again = await holdOpen(sourceName((await next.attachInfo(id)).source), "qcow2");
	await fails("in-use", next.snapshots.revert(id, second));
	await fails("in-use", next.snapshots.delete(id, second, {}));
	expect(await next.snapshots.list(id)).toHaveLength(1);
	await _again[Symbol.asyncDispose]();
	await next.snapshots.revert(id, second);
	await holds(id, 1);
});

test("a header that was changed behind our back is not followed", async () => {
	await using setting = await setUp();
	const { driver, id } = setting;
	const snapshot = newId();
	await setting.write(1);
	await driver.snapshots.take(id, snapshot, stopped);
	await setting.write(2);
	const secret = join(setting.folder.path, "secret");
	await writeFile(secret, pattern(MiB));
	const disk = sourceName((await driver.attachInfo(id)).source);
	await run("qemu-img", ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", secret, "--", disk], { timeoutMs: 10_000 });
	await fails("corrupt", driver.snapshots.delete(id, snapshot, {}));
	await fails("corrupt", driver.snapshots.revert(id, snapshot));
	await fails("corrupt", driver.snapshots.take(id, newId(), stopped));
	expectSame(new Uint8Array(await readFile(secret)), pattern(MiB));
	expect(poolId).toHaveLength(36);
});
