/** Data in an erasure-coded pool, what describes it in a replicated one: all that is done with volumes, on real daemons. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { systemRandom } from "../../lib/random.ts";
import { MiB } from "../../lib/units.ts";
import { cephPool, useCeph } from "../../testing/lab/ceph-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, newId, pattern } from "../conformance.ts";
import { discoverCephPools } from "./discover.ts";

setDefaultTimeout(240_000);
const session = useCeph();
const dataPool = "coded";

test("a volume whose data are in an erasure-coded pool is made, written, copied, set back, grown and deleted", async () => {
	await session.ceph.makeErasurePool(dataPool);
	const pool = await session.pool({ dataPool });
	const found = await discoverCephPools(
		pool.config,
		{ cephKey: session.userKey },
		{ runFolder: pool.folder, random: systemRandom },
	);
	expect(found.map(({ name, erasureCoded }) => [name, erasureCoded]).sort()).toEqual([
		[dataPool, true],
		[cephPool, false],
	]);
	expect((await pool.driver().probe()).totalBytes).toBeGreaterThan(0);
	const driver = await pool.open();
	const [id, copy, snapshotId] = [newId(), newId(), newId()];
	const bytes = pattern(3 * MiB, 1);
	await driver.createVolume(id, { format: "raw", sizeBytes: 16 * MiB, source: { kind: "empty" } });
	await pool.writeDisk(driver, id, MiB, bytes);
	const ofVolumes = async () =>
		(await session.ceph.rados("--pool", dataPool, "--namespace", pool.namespace, "ls")).stdout.trim();
	expect(await ofVolumes()).toContain("rbd_data");
	await driver.snapshots.take(id, snapshotId, { running: false });
	await driver.createVolume(copy, {
		format: "raw",
		sizeBytes: 16 * MiB,
		source: { kind: "volume", id, fullCopy: false },
	});
	await pool.writeDisk(driver, id, MiB, pattern(3 * MiB, 2));
	expectSame((await diskContent(driver, copy)).subarray(MiB, 4 * MiB), bytes);
	await driver.snapshots.revert(id, snapshotId);
	expectSame((await diskContent(driver, id)).subarray(MiB, 4 * MiB), bytes);
	expect((await driver.resizeVolume(id, 32 * MiB)).sizeBytes).toBe(32 * MiB);
	await driver.deleteVolume(copy);
	await driver.snapshots.delete(id, snapshotId, {});
	await driver.deleteVolume(id);
	await driver.remove();
	expect(await pool.contents()).toEqual([]);
	// What a snapshot had kept, the OSDs take away by and by.
	await waitUntil("the data to be gone", 60_000, async () => (await ofVolumes()) === "");
	await pool.close();
});
