/** What a pool has that nobody owns, and what is owned and not there: found, and what a volume of it would be. */

import { expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { clusterIds, fixtureId } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { askToDeleteOrphans, putStrays, strays } from "../testing/node/orphans.ts";
import { askToMoveVolume, otherPool, otherPoolId, worldWithTwoPools } from "../testing/node/volume-moving.ts";

const { volume: stray, clone, image } = strays;

async function booted(): Promise<NodeWorld> {
	const world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	return world;
}

const find = (world: NodeWorld, poolId = clusterIds.pool) => world.service.poolOrphans(poolId);

test("content that no record names, with its size; what has a record is not among it", async () => {
	await using world = await booted();
	await world.createVm({ volumes: [{}] });
	await world.createVolume();
	await world.createImage();
	await world.settle();
	expect(await find(world)).toEqual([]);
	putStrays(world);
	const found = await find(world);
	expect(found.map(({ id, kind, found: what }) => [id, kind, what])).toEqual([
		[stray, "volume", "no-record"],
		[clone, "volume", "no-record"],
		[image, "image", "no-record"],
	]);
	expect(found[0]).toMatchObject({ format: "qcow2", sizeBytes: 2 * MiB, nodeId: clusterIds.node });
});

test("what is being made, and what came or went while it looked, is no orphan", async () => {
	await using world = await booted();
	const release = world.driver.hold("createVolume");
	const made = await world.createVolume();
	const gone = await world.createVolume();
	await world.settleLoops();
	const looking = world.driver.hold("listImages");
	const found = find(world);
	await world.settleLoops();
	release();
	await world.settle();
	await world.propose({ kind: "volumeDelete", id: gone.id, task: world.task("volume.delete", gone.id, {}, false) });
	await world.settle();
	looking();
	expect(await found).toEqual([]);
	expect(world.pool.volumes.has(made.id)).toBe(true);
});

test("a volume that moves is an orphan in neither pool; what its discard left is one", async () => {
	await using world = await worldWithTwoPools();
	const { id } = await world.createVolume({ sizeBytes: 2 * MiB, format: "raw" });
	await world.settle();
	const release = world.drivers.get(otherPoolId)?.hold("check");
	await askToMoveVolume(world, id);
	await world.settleLoops();
	const half = world.pool.volumes.get(id);
	if (half) otherPool(world).volumes.set(id, half);
	expect([...(await find(world)), ...(await find(world, otherPoolId))]).toEqual([]);
	otherPool(world).volumes.delete(id);
	world.driver.failNext("deleteVolume", new AppError("in-use", "Somebody reads it."));
	release?.();
	await world.settle({ stepMs: 1000, limitMs: 60_000 });
	expect((await find(world)).map((one) => one.id)).toEqual([id]);
	const taskId = await askToDeleteOrphans(world, { volumeIds: [id] });
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", message: null });
	expect(world.pool.volumes.has(id)).toBe(false);
	expect(otherPool(world).volumes.has(id)).toBe(true);
	expect(await world.problems()).toEqual([]);
});

test("a volume is adopted with what it rests on; not while that has no record", async () => {
	await using world = await booted();
	putStrays(world);
	await expect(world.service.orphanVolume(clusterIds.pool, clone)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(world.service.orphanVolume(clusterIds.pool, fixtureId(0x905))).rejects.toMatchObject({
		code: "not-found",
	});
	const volume = world.pool.volumes.get(stray);
	if (volume) volume.backing = [];
	const { volume: found } = await world.service.orphanVolume(clusterIds.pool, stray);
	expect(found).toMatchObject({ format: "qcow2", sizeBytes: 2 * MiB, source: { kind: "empty" } });
	await world.createVolume({ ...found, id: stray, name: "rescued" });
	await world.settle();
	expect(world.volume(stray)).toMatchObject({ phase: "ready", name: "rescued", sizeBytes: 2 * MiB });
	const { volume: copy } = await world.service.orphanVolume(clusterIds.pool, clone);
	expect(copy.source).toEqual({ kind: "clone", volumeId: stray, fullCopy: false });
	await expect(world.service.orphanVolume(clusterIds.pool, stray)).rejects.toMatchObject({ code: "wrong-state" });
});

test("a thick volume is adopted as one", async () => {
	await using world = await booted();
	putStrays(world);
	const volume = present(world.pool.volumes.get(stray), "the volume");
	Object.assign(volume, { backing: [], isThick: true });
	const { volume: found } = await world.service.orphanVolume(clusterIds.pool, stray);
	expect(found.provisioning).toBe("thick");
	await world.createVolume({ ...found, id: stray, name: "rescued" });
	await world.settle();
	expect(world.volume(stray)).toMatchObject({ phase: "ready", provisioning: "thick" });
});

test("snapshots that are in no record are counted, and it has to be said what becomes of them", async () => {
	await using world = await booted();
	putStrays(world);
	const volume = present(world.pool.volumes.get(stray), "the volume");
	volume.backing = [];
	const snapshots = present(world.driver.snapshots, "the snapshots of the pool");
	for (const number of [0x911, 0x912]) await snapshots.take(stray, fixtureId(number), { running: false });
	expect((await find(world)).map(({ id, snapshots: count }) => [id, count])).toEqual([
		[stray, 2],
		[clone, undefined],
		[image, undefined],
	]);
	await expect(world.service.orphanVolume(clusterIds.pool, stray)).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("snapshots that are in no record: 2") },
		fields: [{ path: "/snapshots" }],
	});
	// Looking deletes nothing, whatever is to become of them.
	for (const fate of ["keep", "delete"] as const)
		expect(await world.service.orphanVolume(clusterIds.pool, stray, fate)).toMatchObject({
			...{ volume: { sizeBytes: 2 * MiB }, snapshotIds: [fixtureId(0x911), fixtureId(0x912)] },
		});
	expect(await snapshots.list(stray)).toHaveLength(2);
});

test("what cannot be adopted keeps its snapshots", async () => {
	await using world = await booted();
	putStrays(world);
	const snapshots = present(world.driver.snapshots, "the snapshots of the pool");
	await snapshots.take(clone, fixtureId(0x911), { running: false });
	const adopting = world.service.orphanVolume(clusterIds.pool, clone, "delete");
	await expect(adopting).rejects.toMatchObject({ code: "wrong-state", message: expect.stringContaining("no record") });
	expect(await snapshots.list(clone)).toHaveLength(1);
});

test("records without content are named, and deleted like any other", async () => {
	await using world = await booted();
	const { id } = await world.createVolume();
	await world.settle();
	world.pool.volumes.delete(id);
	expect(await find(world)).toMatchObject([{ id, kind: "volume", found: "no-content", name: world.volume(id).name }]);
	await world.propose({ kind: "volumeDelete", id, task: world.task("volume.delete", id, {}, false) });
	await world.settle();
	expect(world.store.get("volume", id)).toBeNull();
	expect(await find(world)).toEqual([]);
});
