/** One of each kind of call through a worker process; conformance.long.test.ts has all of them. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, readAll } from "../conformance.ts";
import { temporaryFolder, writeDisk } from "../local/testing/local-pool.ts";
import { openWorkerPool } from "./testing/worker-pool.ts";

test("a worker looks, changes, copies, streams, and says what went wrong", async () => {
	await using folder = await temporaryFolder();
	const driver = await openWorkerPool(join(folder.path, "pool"));
	try {
		expect((await driver.check()).availableBytes).toBeGreaterThan(0);
		const bytes = pattern(MiB);
		const image = await makeImage(driver, bytes);
		expectSame(await readAll((await driver.openImage(image)).stream), bytes);
		const id = newId();
		const progress: (number | null)[] = [];
		await driver.createVolume(id, {
			...{ format: "raw", sizeBytes: MiB, source: { kind: "image", id: image, fullCopy: true } },
			progress: (ratio) => progress.push(ratio),
		});
		expect(progress.at(-1)).toBe(1);
		expect((await driver.resizeVolume(id, 2 * MiB)).sizeBytes).toBe(2 * MiB);

		const received = newId();
		await driver.receiveVolume(received, await driver.readVolume(id, {}), {});
		expectSame((await diskContent(driver, received)).subarray(0, MiB), bytes);

		const snapshot = newId();
		await driver.snapshots.take(id, snapshot, { running: false });
		await writeDisk(driver, id, 0, pattern(4096, 2));
		await driver.snapshots.revert(id, snapshot);
		expectSame((await diskContent(driver, id)).subarray(0, MiB), bytes);
		expect(await driver.snapshots.list(id)).toMatchObject([{ id: snapshot }]);
		await driver.snapshots.delete(id, snapshot, {});

		expect(await fails("not-found", driver.attachInfo(newId()))).toMatch(/\.$/);
		await fails("invalid", driver.getVolume("../../etc/passwd"));
		const missing = newId();
		expect(await driver.damagedVolumes([id, missing])).toMatchObject([{ id: missing }]);
		for (const volume of [id, received]) await driver.deleteVolume(volume);
		await driver.deleteImage(image);
		expect(await driver.listVolumes()).toEqual([]);
		await driver.remove();
	} finally {
		await driver.deactivate();
	}
}, 60_000);
