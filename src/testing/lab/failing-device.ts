/**
 * Every verb of a driver on a pool whose device fails, and what must be there afterwards: for pools whose device a test can break.
 * prepared → (it breaks) → everythingIsRefused → (it works again) → unharmed.
 */
import { expect } from "bun:test";
import { isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, makeImage, newId, pattern, readAll, upload } from "../../storage/conformance.ts";
import type { StorageDriver } from "../../storage/driver.ts";
import { writeDisk } from "../../storage/local/testing/local-pool.ts";

export type Prepared = {
	image: string;
	/** qcow2, of the image, with a snapshot, and written to since. */
	id: string;
	snapshot: string;
	raw: string;
	/** Received in part. */
	uploading: string;
	content: Uint8Array;
};

const imageBytes = 2 * MiB;
const partBytes = MiB;

export async function prepare(driver: StorageDriver): Promise<Prepared> {
	const image = await makeImage(driver, pattern(imageBytes));
	const [id, raw, uploading, snapshot] = [newId(), newId(), newId(), newId()];
	const source = { kind: "image", id: image, fullCopy: false } as const;
	await driver.createVolume(id, { format: "qcow2", sizeBytes: 4 * MiB, source });
	await driver.createVolume(raw, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
	await driver.snapshots?.take(id, snapshot, { running: false });
	for (const [volume, seed] of [
		[id, 2],
		[raw, 3],
	] as const) {
		await driver.openVolume(volume);
		await writeDisk(driver, volume, 65_536, pattern(65_536, seed));
		await driver.closeVolume(volume);
	}
	const file = await driver.openUpload(uploading, imageBytes);
	await file.write(pattern(partBytes));
	await file.close();
	return { image, id, snapshot, raw, uploading, content: await diskContent(driver, id) };
}

type Verb = { name: string; work: () => Promise<unknown>; reads?: true };

/** `reads`: what only reads. What is already so (a volume that is there) is none of these. */
function verbs(driver: StorageDriver, { image, id, snapshot, raw }: Prepared): Verb[] {
	const make = (format: "raw" | "qcow2", source: Parameters<StorageDriver["createVolume"]>[1]["source"]) => () =>
		driver.createVolume(newId(), { format, sizeBytes: 4 * MiB, source });
	const { snapshots } = driver;
	return [
		{ name: "create raw", work: make("raw", { kind: "empty" }) },
		{ name: "create qcow2", work: make("qcow2", { kind: "empty" }) },
		{ name: "clone an image", work: make("qcow2", { kind: "image", id: image, fullCopy: false }) },
		{ name: "copy an image", work: make("raw", { kind: "image", id: image, fullCopy: true }) },
		{ name: "clone a volume", work: make("qcow2", { kind: "volume", id, fullCopy: false }) },
		{ name: "copy a volume", work: make("qcow2", { kind: "volume", id, fullCopy: true }) },
		{ name: "copy a snapshot", work: make("qcow2", { kind: "snapshot", id, snapshotId: snapshot, fullCopy: true }) },
		{ name: "grow", work: () => driver.resizeVolume(id, 8 * MiB) },
		{ name: "grow raw", work: () => driver.resizeVolume(raw, 8 * MiB) },
		{ name: "snapshot", work: async () => snapshots?.take(id, newId(), { running: false }) },
		{ name: "revert", work: async () => snapshots?.revert(id, snapshot) },
		{ name: "delete a snapshot", work: async () => snapshots?.delete(id, snapshot, {}) },
		{ name: "export", reads: true, work: async () => readAll((await driver.exportVolume(id, "raw", {})).stream) },
		{ name: "read", reads: true, work: async () => readAll((await driver.readVolume(raw, {})).stream) },
		{ name: "receive", work: () => receive(driver) },
		{ name: "import an image", work: () => makeImage(driver, pattern(MiB, 9)) },
		{ name: "image of a volume", work: () => imageOf(driver, raw) },
		{ name: "read an image", reads: true, work: async () => readAll((await driver.openImage(image)).stream) },
		{ name: "delete", work: () => driver.deleteVolume(raw) },
	];
}

async function receive(driver: StorageDriver): Promise<void> {
	const bytes = pattern(MiB, 4);
	const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
	await driver.receiveVolume(newId(), { format: "raw", sizeBytes: bytes.length, stream }, {});
}

async function imageOf(driver: StorageDriver, volumeId: string): Promise<void> {
	const id = newId();
	await driver.imageFromVolume(id, volumeId, { format: "raw" });
	await driver.finishImage(id, { format: "raw", sha256: null });
}

/** "changes": where what is read may be in memory. */
export type Verbs = "all" | "reads" | "changes";

/**
 * Each verb fails, with an error that says so to people. What each said, in a line for people. The order is fixed: what deletes
 * comes last.
 */
export async function everythingIsRefused(
	driver: StorageDriver,
	prepared: Prepared,
	{ only = "all" }: { only?: Verbs } = {},
): Promise<string[]> {
	const said: string[] = [];
	for (const { name, work, reads } of verbs(driver, prepared)) {
		if (only !== "all" && (only === "reads") !== (reads === true)) continue;
		const error = await work().then(
			() => null,
			(failure: unknown) => failure,
		);
		said.push(`${name}: ${isAppError(error) ? `${error.code}, ${error.message}` : String(error)}`);
	}
	// All of them first: one that is wrong is seen beside the others.
	expect(said.filter((line) => !/^[^:]+: (storage|timeout|unavailable), .{12,}$/s.test(line))).toEqual([]);
	return said;
}

/** Everything that was there is, as it was; nothing else is. The pool is active; afterwards it is empty. */
export async function unharmed(driver: StorageDriver, prepared: Prepared): Promise<void> {
	const { image, id, snapshot, raw, uploading, content } = prepared;
	// A deletion is of one of two minds: refused, or done.
	const volumes = (await driver.listVolumes()).map((volume) => volume.id);
	expect(volumes.filter((one) => one !== raw)).toEqual([id]);
	expect(await driver.listImages()).toEqual([image]);
	expect((await driver.damagedVolumes(volumes)).map(({ error }) => error.message)).toEqual([]);
	expect((await driver.snapshots?.list(id))?.map((one) => one.id)).toEqual([snapshot]);
	expectSame((await diskContent(driver, id)).subarray(0, content.length), content);
	expect((await driver.checkVolume(id, { repair: false })).errors).toBe(0);
	expectSame(await readAll((await driver.openImage(image)).stream), pattern(imageBytes));
	if (volumes.includes(raw)) expectSame((await diskContent(driver, raw)).subarray(65_536, 131_072), pattern(65_536, 3));
	// What was flushed of an upload goes on.
	expect((await driver.getUpload(uploading))?.receivedBytes).toBe(partBytes);
	await driver.deleteImage(uploading);
	const again = newId();
	await upload(driver, again, pattern(imageBytes, 5));
	await driver.finishImage(again, { format: "raw", sha256: null });
	await driver.deleteImage(again);
	await driver.snapshots?.revert(id, snapshot);
	expectSame((await diskContent(driver, id)).subarray(0, imageBytes), pattern(imageBytes));
	await driver.snapshots?.delete(id, snapshot, {});
	for (const volume of volumes) await driver.deleteVolume(volume);
	await driver.deleteImage(image);
	expect(await driver.listVolumes()).toEqual([]);
}
