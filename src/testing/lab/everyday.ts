/**
 * What people do with a pool all day, once, on any driver: an image, a copy-on-write copy of it, growth, a snapshot, a whole copy, a
 * return to the snapshot, an export, and everything away again. The content is compared at each step, and so are the figures.
 */
import { expect } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, makeImage, newId, pattern } from "../../storage/conformance.ts";
import type { StorageDriver } from "../../storage/driver.ts";
import { writeDisk } from "../../storage/local/testing/local-pool.ts";
import { stopwatch } from "./stopwatch.ts";

/** Of what a file system or a group keeps for itself while things come and go. */
const slackBytes = 4 * MiB;
const imageBytes = MiB;
const largerBytes = 2 * MiB;
const written = 65_536;

export type Everyday = {
	/** Who writes to disks, where that is not root. */
	user?: { uid: number; gid: number } | null;
};

/** The pool is empty before and after. How long each step took, for people. */
export async function everyday(driver: StorageDriver, { user = null }: Everyday = {}): Promise<string> {
	const { timed, took } = stopwatch();
	const write = async (id: string, seed: number) => {
		await driver.openVolume(id);
		await writeDisk(driver, id, 0, pattern(written, seed), user);
		await driver.closeVolume(id);
	};
	const before = await driver.check();
	const bytes = pattern(imageBytes);
	const image = await timed("image", () => makeImage(driver, bytes));
	const [id, copy] = [newId(), newId()];
	const qcow2 = { format: "qcow2", sizeBytes: largerBytes } as const;
	const fromImage = { kind: "image", id: image, fullCopy: false } as const;
	await timed("clone", () => driver.createVolume(id, { ...qcow2, sizeBytes: imageBytes, source: fromImage }));
	expect((await timed("grow", () => driver.resizeVolume(id, largerBytes))).sizeBytes).toBe(largerBytes);
	const { snapshots } = driver;
	if (snapshots === null) throw new Error("a pool of every day has snapshots");
	const snapshot = newId();
	await timed("snapshot", () => snapshots.take(id, snapshot, { running: false }));
	await write(id, 2);
	const source = { kind: "volume", id, fullCopy: true } as const;
	await timed("copy", () => driver.createVolume(copy, { ...qcow2, source }));
	const content = await timed("export", () => diskContent(driver, copy));
	expectSame(content.subarray(0, written), pattern(written, 2));
	expectSame(content.subarray(written, imageBytes), bytes.subarray(written));

	const listed = await driver.listVolumes();
	expect(listed.map((volume) => volume.id).sort()).toEqual([id, copy].sort());
	expect(listed.every(({ sizeBytes }) => sizeBytes === largerBytes)).toBe(true);
	expect((await driver.snapshots?.list(id))?.map((one) => one.id)).toEqual([snapshot]);
	expect((await driver.checkVolume(id, { repair: false })).errors).toBe(0);
	const during = await driver.check();
	expect(during.totalBytes).toBe(before.totalBytes);
	expect(during.usedBytes).toBeGreaterThan(before.usedBytes);

	await timed("revert", () => snapshots.revert(id, snapshot));
	expectSame((await diskContent(driver, id)).subarray(0, imageBytes), bytes);
	await timed("delete", async () => {
		await snapshots.delete(id, snapshot, {});
		for (const volume of [id, copy]) await driver.deleteVolume(volume);
		await driver.deleteImage(image);
	});
	expect(await driver.listVolumes()).toEqual([]);
	expect(await driver.listImages()).toEqual([]);
	expect(Math.abs((await driver.check()).usedBytes - before.usedBytes)).toBeLessThan(slackBytes);
	return took();
}
