/** A local pool on a file system that runs full: nothing half done, nothing lost. */
import { expect, test } from "bun:test";
import { mkdir, open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, readAll, sha256 } from "../conformance.ts";
import type { StorageDriver } from "../driver.ts";
import { openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

const asRoot = process.getuid?.() === 0;
const empty = { kind: "empty" } as const;
const qcow2 = { format: "qcow2", sizeBytes: 4 * MiB } as const;
const onSmallDisk = asRoot ? test : test.skip;
const because = asRoot ? "" : " (skipped: mounting a small file system needs root)";

async function withSmallPool(body: (driver: StorageDriver, root: string, folder: string) => Promise<void>) {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "small");
	await mkdir(root);
	await run("mount", ["-t", "tmpfs", "-o", "size=16m,mode=0711", "tmpfs", root], { timeoutMs: 10_000 });
	try {
		await body(await openLocal(root), root, folder.path);
	} finally {
		await run("umount", ["--lazy", root], { timeoutMs: 10_000 });
	}
}

onSmallDisk(`a full disk: no-space, nothing left behind, what was there is as it was${because}`, () =>
	withSmallPool(async (driver, root, folder) => {
		const image = await makeImage(driver, pattern(6 * MiB));
		const source = { kind: "image", id: image, fullCopy: false } as const;
		const { id } = await driver.createVolume(newId(), { ...qcow2, sizeBytes: 6 * MiB, source });
		await writeDisk(driver, id, 0, pattern(2 * MiB, 7));
		const big = join(folder, "big.img");
		await writeFile(big, pattern(16 * MiB));
		const content = await diskContent(driver, id);
		// Room for less than one more copy.
		await writeFile(join(root, "ballast"), pattern(5 * MiB));
		const files = async () => (await readdir(root, { recursive: true })).sort();
		const before = { files: await files(), volumes: await driver.listVolumes() };

		for (const format of ["raw", "qcow2"] as const)
			await fails(
				"no-space",
				driver.createVolume(newId(), { format, sizeBytes: 6 * MiB, source: { ...source, fullCopy: true } }),
			);
		await fails("no-space", driver.exportVolume(id, "raw", {}));
		await fails("no-space", driver.imageFromVolume(newId(), id, {}));
		const imported = newId();
		await fails("no-space", driver.importFile(imported, big, {}));
		expect(await driver.getUpload(imported)).toBeNull();
		expect({ files: await files(), volumes: await driver.listVolumes() }).toEqual(before);

		// Not even room for a record.
		await writeFile(join(root, "ballast"), pattern(16 * MiB), { flag: "a" }).catch(() => {});
		await fails("no-space", driver.createVolume(newId(), { ...qcow2, source: empty }));
		await fails(
			"no-space",
			driver.createVolume(newId(), { ...qcow2, sizeBytes: 6 * MiB, source: { kind: "volume", id, fullCopy: false } }),
		);
		await fails("no-space", driver.openUpload(newId(), MiB));
		expect({ files: await files(), volumes: await driver.listVolumes() }).toEqual(before);
		await rm(join(root, "ballast"));
		expectSame(await diskContent(driver, id), content);
		expectSame(await readAll((await driver.openImage(image)).stream), pattern(6 * MiB));
		await driver.deleteVolume(id);
	}),
);

onSmallDisk(`a full pool can be used: what is in it is read and deleted${because}`, () =>
	withSmallPool(async (before, root) => {
		const image = await makeImage(before, pattern(MiB));
		const file = await open(join(root, "ballast"), "w");
		for (let full = false; !full; ) full = (await file.write(pattern(4096)).catch(() => null)) === null;
		await file.close();
		const driver = await openLocal(root);
		expectSame(await readAll((await driver.openImage(image)).stream), pattern(MiB));
		await driver.deleteImage(image);
		expect(await driver.listImages()).toEqual([]);
	}),
);

onSmallDisk(`an upload that fills the disk goes on when there is room again${because}`, () =>
	withSmallPool(async (driver, root) => {
		const bytes = pattern(8 * MiB);
		const id = newId();
		await writeFile(join(root, "ballast"), pattern(12 * MiB));
		const file = await driver.openUpload(id, bytes.length);
		await fails("no-space", file.write(bytes));
		const there = file.receivedBytes;
		expect(there).toBeLessThan(bytes.length);
		await rm(join(root, "ballast"));
		await file.close();
		expect((await driver.getUpload(id))?.receivedBytes).toBe(there);
		const again = await driver.openUpload(id, bytes.length);
		await again.write(bytes.subarray(again.receivedBytes));
		await again.close();
		await driver.finishImage(id, { format: "raw", sha256: sha256(bytes) });
	}),
);
