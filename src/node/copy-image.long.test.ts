/** An image between a pool of files and one in Ceph, both real: it arrives as what it was, checked, and copies rest on it there. Needs root. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { run } from "../lib/run.ts";
import { MiB } from "../lib/units.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../storage/conformance.ts";
import type { ImageInfo, StorageDriver } from "../storage/driver.ts";
import { openLocal, temporaryFolder } from "../storage/local/testing/local-pool.ts";
import { useCeph } from "../testing/lab/ceph-pool.ts";
import { streamToUpload } from "./copy-across-pools.ts";

setDefaultTimeout(120_000);
const session = useCeph();

/** As a node does it (copy-image.ts). */
async function copied(from: StorageDriver, to: StorageDriver, { id, format }: ImageInfo, sha256: string | null) {
	const copy = newId();
	await streamToUpload(await from.openImage(id), to, copy, new AbortController().signal, () => {});
	return to.finishImage(copy, { format, sha256 });
}

test("qcow2 in a file becomes a raw disk in Ceph and a raw file again; each is what it was", async () => {
	await using folder = await temporaryFolder();
	const local = await openLocal(join(folder.path, "pool"));
	const pool = await session.pool();
	const ceph = await pool.open();
	try {
		const [raw, file] = [join(folder.path, "disk.raw"), join(folder.path, "disk.qcow2")];
		const bytes = new Uint8Array(8 * MiB);
		bytes.set(pattern(MiB), 2 * MiB);
		await Bun.write(raw, bytes);
		await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "--", raw, file], { timeoutMs: 20_000 });
		const first = newId();
		await local.importFile(first, file, {});
		const source = await local.finishImage(first, { format: "qcow2", sha256: null });

		const there = await copied(local, ceph, source, source.sha256);
		expect(there).toMatchObject({ format: "raw", virtualSizeBytes: 8 * MiB, sha256: source.sha256 });
		const back = await copied(ceph, local, there, null);
		expect(back).toMatchObject({ format: "raw", virtualSizeBytes: 8 * MiB });
		for (const [driver, image, format] of [
			[ceph, there, "raw"],
			[local, back, "qcow2"],
		] as const) {
			const made = { format, sizeBytes: 8 * MiB, source: { kind: "image", id: image.id, fullCopy: false } } as const;
			const volume = await driver.createVolume(newId(), made);
			expect(volume.backing.map(({ id }) => id)).toEqual([image.id]);
			expectSame(await diskContent(driver, volume.id), bytes);
			await driver.deleteVolume(volume.id);
		}
		// Another file than the one that is expected stays out.
		await fails("invalid", copied(ceph, local, there, source.sha256));
	} finally {
		await pool.close();
	}
});
