/**
 * Pools of files that run full in the middle of whatever they do: each operation ends with `no-space`, leaves nothing half-made, and works
 * when there is room again. For any driver of such pools, wherever the file system is.
 */
import { expect } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "../../../lib/errors.ts";
import { MiB } from "../../../lib/units.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, readAll, sha256 } from "../../conformance.ts";
import type { StorageDriver } from "../../driver.ts";
import { halfDoneVolume } from "../half-done.ts";
import { writeDisk } from "./local-pool.ts";
import type { SmallFileSystem } from "./small-file-system.ts";

export type SmallPool = {
	/** Activated. */
	driver: StorageDriver;
	fileSystem: SmallFileSystem;
	/** The pool's, on that file system. */
	root: string;
	/** For files of the node, on another one. */
	folder: string;
	/** Who writes to disks; null: root. */
	user: { uid: number; gid: number } | null;
};

type Operation = {
	name: string;
	run(): Promise<unknown>;
	/** What `run` has begun and may go on with, which is no fault. */
	undo?(): Promise<unknown>;
};

const empty = { kind: "empty" } as const;
const diskBytes = 6 * MiB;
/** Not even enough for a record; and less than what any of them needs. */
const usualRooms = [0, 2 * MiB];
/** A new qcow2 disk has four clusters of 64 KiB at most. */
const partsKib = [4, 48, 100, 160, 224, 288, 1024];

/** Files, volumes and images. The mark of a volume that is being changed may stay for the next one who changes it. */
async function stateOf({ driver, root }: SmallPool) {
	const files = (await readdir(root, { recursive: true })).sort();
	const volumes = await driver.listVolumes();
	return {
		files: files.filter((file) => halfDoneVolume(file.replace(/^volumes\//, "")) === null),
		// What is copied into a disk before the space ends stays there, where it changes nothing.
		volumes: volumes.map(({ allocatedBytes: _allocated, contentMark: _mark, ...rest }) => rest),
		images: await driver.listImages(),
	};
}

export async function fullInTheMiddle(pool: SmallPool, rooms: readonly number[] = usualRooms): Promise<void> {
	const { driver, fileSystem, folder, user } = pool;
	const bytes = pattern(diskBytes);
	const isThick = driver.capabilities.provisioning?.includes("thick");
	const big = join(folder, "big.img");
	await writeFile(big, bytes);
	const image = await makeImage(driver, bytes);
	const rests = { kind: "image", id: image, fullCopy: false } as const;
	const make = async (options: Partial<Parameters<StorageDriver["createVolume"]>[1]>) => {
		const id = newId();
		await driver.createVolume(id, { format: "qcow2", sizeBytes: diskBytes, source: empty, ...options });
		return id;
	};
	const [volume, copy, layered] = [await make({ source: rests }), await make({ source: rests }), await make({})];
	const thick = isThick ? await make({ format: "raw", sizeBytes: 2 * MiB, provisioning: "thick" }) : null;
	const snapshot = newId();
	await writeDisk(driver, volume, 0, pattern(MiB, 7), user);
	await writeDisk(driver, layered, 0, pattern(MiB, 8), user);
	await driver.snapshots?.take(layered, snapshot, { running: false });
	await writeDisk(driver, layered, 2 * MiB, pattern(4 * MiB, 9), user);
	const contents = async () => {
		const found = [];
		for (const id of [volume, copy, layered]) found.push(sha256(await diskContent(driver, id)));
		return found;
	};
	const wanted = await contents();

	const ids = { imported: newId(), uploaded: newId(), imageOf: newId(), received: newId() };
	const full = { kind: "volume", id: volume, fullCopy: true } as const;
	const operations: Operation[] = [
		{ name: "import a file", run: () => driver.importFile(ids.imported, big, {}) },
		{
			name: "upload",
			async run() {
				const file = await driver.openUpload(ids.uploaded, bytes.length, { restart: true });
				try {
					await file.write(bytes);
				} finally {
					await file.close();
				}
			},
			undo: () => driver.deleteImage(ids.uploaded),
		},
		{ name: "raw copy of a volume", run: () => make({ format: "raw", source: full }) },
		{ name: "qcow2 copy of a volume", run: () => make({ source: full }) },
		{ name: "copy of an image", run: () => make({ format: "raw", source: { ...rests, fullCopy: true } }) },
		{ name: "image from a volume", run: () => driver.imageFromVolume(ids.imageOf, volume, {}) },
		{
			name: "export",
			run: async () => void (await (await driver.exportVolume(volume, "raw", {})).stream.cancel()),
		},
		{
			name: "receive a volume",
			run: () => {
				const stream = new Blob([new Uint8Array(bytes)]).stream();
				return driver.receiveVolume(ids.received, { format: "raw", sizeBytes: bytes.length, stream }, {});
			},
		},
		{ name: "delete a snapshot", run: async () => driver.snapshots?.delete(layered, snapshot, {}) },
		{ name: "make a copy stand alone", run: async () => driver.flattenVolume?.(copy, {}) },
	];
	if (thick !== null)
		operations.push(
			{ name: "thick raw volume", run: () => make({ format: "raw", provisioning: "thick" }) },
			{ name: "thick qcow2 volume", run: () => make({ provisioning: "thick" }) },
			{ name: "grow a thick volume", run: () => driver.resizeVolume(thick, 8 * MiB) },
		);

	const before = await stateOf(pool);
	for (const room of rooms)
		for (const { name, run, undo } of operations) {
			await fileSystem.leave(room);
			try {
				await fails("no-space", run());
				await undo?.();
				expect(await stateOf(pool)).toEqual(before);
				for (const id of [ids.imported, ids.imageOf]) expect(await driver.getUpload(id)).toBeNull();
			} catch (error) {
				throw new Error(`${name}, with ${room} bytes left`, { cause: error });
			}
		}
	await fileSystem.empty();
	expect(await contents()).toEqual(wanted);
	const kept = new Set([volume, copy, layered, thick, image]);
	for (const { run } of operations) {
		await run();
		for (const { id } of await driver.listVolumes()) if (!kept.has(id)) await driver.deleteVolume(id);
		for (const id of Object.values(ids)) await driver.deleteImage(id);
	}
	expect(await contents()).toEqual(wanted);
	expectSame(await readAll((await driver.openImage(image)).stream), bytes);
	for (const id of [volume, copy, layered, thick]) if (id !== null) await driver.deleteVolume(id);
	await driver.deleteImage(image);
	const left = await readdir(pool.root, { recursive: true });
	expect(left.filter((name) => name.includes("/"))).toEqual([]);
}

/** Room for a part of a new disk, from none to all of it: it is whole, or there is none. */
export async function fullInANewDisk(pool: SmallPool): Promise<void> {
	const { driver, fileSystem } = pool;
	const qcow2 = { format: "qcow2", sizeBytes: MiB } as const;
	const frozen = newId();
	await driver.createVolume(frozen, { ...qcow2, source: empty });
	const source = { kind: "volume", id: frozen, fullCopy: false } as const;
	const before = await driver.listVolumes();
	const made: Record<string, number> = {};
	const attempt = async (name: string, id: string, work: () => Promise<unknown>) => {
		try {
			await work();
			made[name] = (made[name] ?? 0) + 1;
		} catch (error) {
			if (!isAppError(error, "no-space")) throw error;
			if (id !== frozen) expect(await driver.getVolume(id)).toBeNull();
		}
		await fileSystem.empty();
		for (const each of await driver.listVolumes()) {
			expect(await driver.checkVolume(each.id, { repair: false })).toEqual({ errors: 0, leakedBytes: 0, repaired: 0 });
			expect(await diskContent(driver, each.id)).toHaveLength(MiB);
			if (each.id !== frozen) await driver.deleteVolume(each.id);
		}
		for (const snapshot of (await driver.snapshots?.list(frozen)) ?? [])
			await driver.snapshots?.delete(frozen, snapshot.id, {});
	};
	for (const room of partsKib.map((kib) => kib * 1024)) {
		const [volume, copy] = [newId(), newId()];
		await fileSystem.leave(room);
		await attempt("volume", volume, () => driver.createVolume(volume, { ...qcow2, source: empty }));
		await fileSystem.leave(room);
		await attempt("copy", copy, () => driver.createVolume(copy, { ...qcow2, source }));
		await fileSystem.leave(room);
		await attempt("snapshot", frozen, async () => driver.snapshots?.take(frozen, newId(), { running: false }));
	}
	expect(Object.keys(made).sort()).toEqual(["copy", "snapshot", "volume"]);
	expect((await driver.listVolumes()).map(({ id }) => id)).toEqual(before.map(({ id }) => id));
	await driver.deleteVolume(frozen);
}

/** There is room for a thick volume, but not for the list of the pieces that it would be in. */
export async function fullWhileSettingAside(pool: SmallPool): Promise<void> {
	const { driver, fileSystem } = pool;
	const options = { format: "raw", source: empty, provisioning: "thick" } as const;
	const id = newId();
	await driver.createVolume(id, { ...options, sizeBytes: MiB });
	const thin = newId();
	await driver.createVolume(thin, { format: "raw", source: empty, sizeBytes: MiB });
	const room = await fileSystem.scatter();
	const before = await stateOf(pool);
	await fails("no-space", driver.createVolume(newId(), { ...options, sizeBytes: room }));
	expect(await stateOf(pool)).toEqual(before);
	await fails("no-space", driver.resizeVolume(id, MiB + room));
	expect(await stateOf(pool)).toEqual(before);
	await fileSystem.empty();
	expect(await driver.resizeVolume(id, 2 * MiB)).toMatchObject({ sizeBytes: 2 * MiB });
	expect((await driver.getVolume(id))?.allocatedBytes).toBeGreaterThanOrEqual(2 * MiB);
	for (const each of [id, thin]) await driver.deleteVolume(each);
}

/** What was received is kept, and the rest follows. */
export async function fullUploadGoesOn({ driver, fileSystem }: SmallPool): Promise<void> {
	const bytes = pattern(8 * MiB);
	const id = newId();
	await fileSystem.leave(4 * MiB);
	const file = await driver.openUpload(id, bytes.length);
	// On a server's file system, it may be told with the last byte only.
	await fails(
		"no-space",
		file.write(bytes).finally(() => file.close()),
	);
	const there = (await driver.getUpload(id))?.receivedBytes ?? -1;
	expect(there).toBeGreaterThanOrEqual(0);
	expect(there).toBeLessThan(bytes.length);
	await fileSystem.empty();
	const again = await driver.openUpload(id, bytes.length);
	expect(again.receivedBytes).toBe(there);
	await again.write(bytes.subarray(there));
	await again.close();
	await driver.finishImage(id, { format: "raw", sha256: sha256(bytes) });
	await driver.deleteImage(id);
}
