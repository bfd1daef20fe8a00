/** A local pool on a file system that runs full: nothing half done, nothing lost. */
import { expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { expectSame, fails, makeImage, newId, pattern, readAll } from "../conformance.ts";
import {
	fullInANewDisk,
	fullInTheMiddle,
	fullUploadGoesOn,
	fullWhileSettingAside,
	type SmallPool,
} from "./testing/full-pool.ts";
import { openLocal, temporaryFolder } from "./testing/local-pool.ts";
import { type FileSystemKind, smallFileSystem } from "./testing/small-file-system.ts";

const asRoot = process.getuid?.() === 0;
const onSmallDisk = asRoot ? test : test.skip;
const because = asRoot ? "" : " (skipped: mounting a small file system needs root)";

async function withSmallPool(kind: FileSystemKind, body: (pool: SmallPool) => Promise<void>) {
	await using folder = await temporaryFolder();
	await using fileSystem = await smallFileSystem(folder.path, "small", kind);
	const root = join(fileSystem.path, "pool");
	await mkdir(root, { mode: 0o711 });
	await body({ driver: await openLocal(root), fileSystem, root, folder: folder.path, user: null });
}

for (const kind of ["tmpfs", "ext4"] as const)
	onSmallDisk(`${kind} that runs full: no-space, nothing left behind, what was there is as it was${because}`, () =>
		withSmallPool(kind, fullInTheMiddle),
	);

onSmallDisk(
	`ext4 without room for the list of a file's pieces: no thick volume, and none that is larger${because}`,
	() => withSmallPool("ext4", fullWhileSettingAside),
);

for (const kind of ["tmpfs", "ext4"] as const)
	onSmallDisk(`${kind} with room for a part of a disk: the disk is whole, or there is none${because}`, () =>
		withSmallPool(kind, fullInANewDisk),
	);

onSmallDisk(`an upload that fills the disk goes on when there is room again${because}`, () =>
	withSmallPool("tmpfs", fullUploadGoesOn),
);

onSmallDisk(`not even room for a record: nothing is begun${because}`, () =>
	withSmallPool("tmpfs", async ({ driver, fileSystem }) => {
		const id = newId();
		const qcow2 = { format: "qcow2", sizeBytes: MiB } as const;
		await driver.createVolume(id, { ...qcow2, source: { kind: "empty" } });
		await fileSystem.leave(0);
		const before = await driver.listVolumes();
		await fails("no-space", driver.createVolume(newId(), { ...qcow2, source: { kind: "empty" } }));
		const source = { kind: "volume", id, fullCopy: false } as const;
		await fails("no-space", driver.createVolume(newId(), { ...qcow2, source }));
		await fails("no-space", driver.openUpload(newId(), MiB));
		expect(await driver.listVolumes()).toEqual(before);
	}),
);

onSmallDisk(`a full pool can be used: what is in it is read and deleted${because}`, () =>
	withSmallPool("tmpfs", async ({ driver: before, fileSystem, root }) => {
		const image = await makeImage(before, pattern(MiB));
		await fileSystem.leave(0);
		const driver = await openLocal(root);
		expectSame(await readAll((await driver.openImage(image)).stream), pattern(MiB));
		await driver.deleteImage(image);
		expect(await driver.listImages()).toEqual([]);
	}),
);
