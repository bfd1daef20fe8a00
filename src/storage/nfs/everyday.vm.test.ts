/** A pool on a server as most are (NFS 4.2, root squashed), from its first mount to its removal, with a stop of the server in between. */
import { expect, test } from "bun:test";
import { readdir, stat } from "node:fs/promises";
import { isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { startThreads, stopThreads } from "../../testing/lab/nfs/kernel-server.ts";
import { newExport, nfsDriver, nfsMounts } from "../../testing/lab/nfs/nfs-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, makeImage, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { qemuUser } from "./qemu-user.ts";

// As the service has it: what others must pass through is opened by name.
process.umask(0o077);

test("a pool on NFS 4.2, root squashed: volumes, a snapshot, and a server that stops and starts", async () => {
	const { path, folder, close } = await newExport(true);
	const checkMs = 5000;
	const driver = nfsDriver(path, { version: "4.2", folder: "pool", limits: { lookMs: 6000, checkMs } });
	const user = await qemuUser();
	try {
		await driver.activate();
		expect(driver.capabilities).toMatchObject({ shared: true, snapshots: true });
		expect(await nfsMounts()).toHaveLength(1);

		const bytes = pattern(MiB);
		const image = await makeImage(driver, bytes);
		const [id, copy] = [newId(), newId()];
		const qcow2 = { format: "qcow2", sizeBytes: MiB } as const;
		await driver.createVolume(id, { ...qcow2, source: { kind: "image", id: image, fullCopy: false } });
		expect((await stat(sourceName((await driver.attachInfo(id)).source))).uid).toBe(user?.uid ?? -1);
		expect((await driver.resizeVolume(id, 2 * MiB)).sizeBytes).toBe(2 * MiB);

		const snapshot = newId();
		await driver.snapshots.take(id, snapshot, { running: false });
		await writeDisk(driver, id, 0, pattern(65_536, 2), user);
		const source = { kind: "volume", id, fullCopy: true } as const;
		await driver.createVolume(copy, { ...qcow2, sizeBytes: 2 * MiB, source });
		expectSame((await diskContent(driver, copy)).subarray(0, 65_536), pattern(65_536, 2));

		// The server sets the space aside, and counts it.
		expect(driver.capabilities.provisioning).toEqual(["thin", "thick"]);
		for (const format of ["raw", "qcow2"] as const) {
			const options = { format, sizeBytes: 8 * MiB, source: { kind: "empty" }, provisioning: "thick" } as const;
			const { id: thick, allocatedBytes } = await driver.createVolume(newId(), options);
			expect(allocatedBytes).toBeGreaterThanOrEqual(8 * MiB);
			expect((await driver.resizeVolume(thick, 12 * MiB)).allocatedBytes).toBeGreaterThanOrEqual(12 * MiB);
			await driver.deleteVolume(thick);
		}

		await stopThreads();
		const stopped = performance.now();
		const gone: unknown = await driver.check().then(
			() => null,
			(error: unknown) => error,
		);
		const noticedMs = Math.round(performance.now() - stopped);
		expect(isAppError(gone, "timeout")).toBe(true);
		expect(noticedMs).toBeLessThan(2 * checkMs);
		await startThreads();
		const started = performance.now();
		const back = async () =>
			driver.check().then(
				() => true,
				() => false,
			);
		await waitUntil("the pool to be back", 60_000, back);
		const backMs = Math.round(performance.now() - started);
		process.stdout.write(`server stopped: noticed in ${noticedMs} ms; back ${backMs} ms after its start\n`);

		await driver.snapshots.revert(id, snapshot);
		expectSame((await diskContent(driver, id)).subarray(0, MiB), bytes);
		await driver.snapshots.delete(id, snapshot, {});
		for (const volume of [id, copy]) await driver.deleteVolume(volume);
		await driver.deleteImage(image);
		await driver.remove();
		expect(await readdir(folder)).toEqual([]);
		expect(await nfsMounts()).toEqual([]);
	} finally {
		await startThreads();
		await driver.deactivate();
		await close();
	}
}, 240_000);
