/** A folder that more than one node has: who goes takes nothing of it from the others. */
import { expect, test } from "bun:test";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { newId } from "../conformance.ts";
import { PoolFolder } from "./pool-folder.ts";
import { namedNodes } from "./pool-nodes.ts";
import { releasePool } from "./release-pool.ts";
import { openLocal, poolId, temporaryFolder } from "./testing/local-pool.ts";

const [one, two] = [newId(), newId()];
const nothing = { volumes: [], images: [] };
const release = (path: string, nodeId: string, left: { volumes: string[]; images: string[] } = nothing, id = poolId) =>
	releasePool(
		{
			...{ path, poolId: id, nodeId, random: systemRandom, clock: systemClock, log: silentLogger },
			protectedPaths: [],
		},
		left,
	);
const has = (path: string) => Bun.file(join(path, "limiquantix-pool.json")).exists();
const inside = (path: string) => readdir(path).catch(() => null);

test("the last of them gives it free", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "shared");
	for (const nodeId of [one, two]) await (await openLocal(path, { nodeId })).activate();
	expect(await namedNodes(path)).toEqual([one, two].sort());
	// What the other one is at work on, and what both know by the same id.
	const image = newId();
	for (const name of [`images/${image}`, "volumes/.tmp-0123456789ab"]) await mkdir(join(path, name));
	expect(await release(path, one, { volumes: [], images: [image] })).toBe(true);
	expect([await has(path), await namedNodes(path)]).toEqual([true, [two]]);
	expect([await inside(join(path, "images")), await inside(join(path, "volumes"))]).toEqual([
		[image],
		[".tmp-0123456789ab"],
	]);
	// Cut off after that, it is repeated.
	expect(await release(path, one, { volumes: [], images: [image] })).toBe(true);
	expect(await has(path)).toBe(true);
	await rm(join(path, "images", image), { recursive: true });
	expect(await release(path, two)).toBe(true);
	expect(await inside(path)).toBeNull();
});

test("so does the last one that the pool is deleted on", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "shared");
	const drivers = [await openLocal(path, { nodeId: one }), await openLocal(path, { nodeId: two })];
	await drivers[0]?.remove();
	await drivers[1]?.check();
	expect(await namedNodes(path)).toEqual([two]);
	await drivers[1]?.remove();
	expect(await inside(path)).toBeNull();
});

test("a node that is not named takes nothing away where another one is; where nobody is, as older versions leave it, it does", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	await openLocal(path, { nodeId: one });
	expect(await release(path, two)).toBe(true);
	expect([await has(path), await namedNodes(path)]).toEqual([true, [one]]);
	const older = join(folder.path, "older");
	await openLocal(older);
	expect(await inside(older)).not.toContain("nodes");
	expect(await release(older, two)).toBe(true);
	expect(await inside(older)).toBeNull();
});

test("a folder that is not there now may be on a disk that comes back: it is not done", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	expect(await release(path, one)).toBe(false);
	await mkdir(path);
	expect(await release(path, one)).toBe(false);
	// Another pool's by now: there is nothing of this one any more.
	await openLocal(path, { poolId: newId(), nodeId: one });
	expect(await release(path, one)).toBe(true);
	expect(await has(path)).toBe(true);
});

test("a node that has become another one is named as that, also when the pool has kept its id", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	await openLocal(path, { nodeId: one });
	const pool = new PoolFolder(path, systemRandom);
	const next = newId();
	await pool.handOver({ poolId, nodeId: one }, { poolId, nodeId: two });
	expect([(await pool.readMarker())?.poolId, await namedNodes(path)]).toEqual([poolId, [two]]);
	await pool.handOver({ poolId: next, nodeId: two }, { poolId, nodeId: one });
	expect(await namedNodes(path)).toEqual([two]);
	await pool.handOver({ poolId, nodeId: two }, { poolId: next, nodeId: one });
	expect([(await pool.readMarker())?.poolId, await namedNodes(path)]).toEqual([next, [one]]);
	expect(await release(path, one, nothing, next)).toBe(true);
	expect(await inside(path)).toBeNull();
});

test("that a node cannot be named, on a full disk say, keeps no pool from being used", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	await openLocal(path);
	await writeFile(join(path, "nodes"), "in the way");
	const driver = await openLocal(path, { nodeId: one });
	expect((await driver.check()).totalBytes).toBeGreaterThan(0);
	await driver.remove();
	expect(await inside(path)).toEqual(["nodes"]);
});

test("a start that was cut off after a node was named goes on", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "pool");
	const crash = new Error("the power is gone");
	let steps = 0;
	for (let at = 1; ; at++) {
		steps = 0;
		const onStep = () => {
			if (++steps === at) throw crash;
		};
		const failed = await openLocal(path, { nodeId: one, onStep }).then(
			() => false,
			() => true,
		);
		await openLocal(path, { nodeId: one });
		expect(await namedNodes(path)).toEqual([one]);
		await release(path, one);
		expect(await inside(path)).toBeNull();
		if (!failed && steps < at) break;
	}
});
