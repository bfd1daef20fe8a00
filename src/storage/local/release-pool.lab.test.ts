/** The folder of a pool whose node leaves: what the node names goes, the rest stays, and a new pool can begin in it. */
import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { MiB } from "../../lib/units.ts";
import { makeImage, newId, pattern, upload } from "../conformance.ts";
import { isNotOurs } from "./pool-folder.ts";
import { markerName } from "./pool-place.ts";
import { releasePool } from "./release-pool.ts";
import { openLocal, poolId, temporaryFolder } from "./testing/local-pool.ts";

const release = (path: string, id: string, left: { volumes: string[]; images: string[] }) =>
	releasePool(
		{ path, poolId: id, random: systemRandom, clock: systemClock, log: silentLogger, protectedPaths: [] },
		left,
	);
const successor = newId();
const nothing = { volumes: [], images: [] };

test("what the node leaves behind goes, also what came of it only in part", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	const driver = await openLocal(path);
	const copy = await makeImage(driver, pattern(MiB));
	const begun = newId();
	await upload(driver, begun, pattern(65_536));
	const moved = newId();
	await driver.createVolume(moved, { format: "qcow2", sizeBytes: MiB, source: { kind: "empty" } });
	const left = { volumes: [moved, newId()], images: [copy, begun, newId()] };

	await release(path, newId(), left);
	expect(await driver.getImage(copy)).not.toBeNull();
	await release(path, poolId, left);
	await (await openLocal(path, { poolId: successor })).check();
	// Cut off after it was done, it is repeated: the folder is another pool's by now.
	await release(path, poolId, left);
	await (await openLocal(path, { poolId: successor })).check();
});

test("a folder that is another pool's, or nobody's, is told from one that does not work", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	await openLocal(path, { poolId: successor });
	const opening = (at: string) =>
		openLocal(at, { mayInitialize: false }).then(
			() => null,
			(error: unknown) => error,
		);
	expect(isNotOurs(await opening(path))).toBe(true);
	await mkdir(join(folder.path, "empty"));
	expect(isNotOurs(await opening(join(folder.path, "empty")))).toBe(true);
	await writeFile(join(path, markerName), "no record");
	expect(isNotOurs(await opening(path))).toBe(false);
	expect(isNotOurs(null)).toBe(false);
});

test("what nobody named stays, and so does what is around it", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	const driver = await openLocal(path);
	const image = await makeImage(driver, pattern(MiB));
	await writeFile(join(path, "notes.txt"), "mine");
	await release(path, poolId, nothing);
	expect(await driver.getImage(image)).not.toBeNull();
	await expect(openLocal(path, { poolId: successor })).rejects.toMatchObject({ code: "wrong-state" });
});
