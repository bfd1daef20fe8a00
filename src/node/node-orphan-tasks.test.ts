/** Content that no record names: it goes by a task, or becomes a volume, and what got a record meanwhile stays. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { clusterIds, fixtureId, fixtureVolume } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import {
	askToAdopt,
	askToDeleteOrphans,
	lies,
	putStrays,
	putStrayWithSnapshots,
	snapshotsOf,
	strayIds,
	strays,
} from "../testing/node/orphans.ts";

async function booted(): Promise<NodeWorld> {
	const world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	return world;
}
const found = async (world: NodeWorld) => (await world.service.poolOrphans(clusterIds.pool)).map(({ id }) => id);
const all = { volumeIds: [strays.volume, strays.clone, fixtureId(0x904)], imageIds: [strays.image] };

test("what others rest on is deleted after them, in whatever order they are named; what is not there is done", async () => {
	await using world = await booted();
	putStrays(world);
	const taskId = await askToDeleteOrphans(world, all);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", message: null });
	expect(lies(world)).toEqual([]);
});

test("the task says how far it is; meanwhile nothing of it is an orphan, and nobody gives it a record", async () => {
	await using world = await booted();
	putStrays(world);
	const release = world.driver.hold("deleteImage");
	const taskId = await askToDeleteOrphans(world, all);
	await world.until(() => world.taskOf(taskId).progress === 50, { stepMs: 1000, limitMs: 5000 });
	expect(world.taskOf(taskId)).toMatchObject({
		...{ state: "running", cancelable: true, progress: 50, message: "Deleting what no record names: 3 of 4" },
	});
	expect(await found(world)).toEqual([]);
	const looking = world.service.orphanVolume(clusterIds.pool, strays.volume);
	await expect(looking).rejects.toMatchObject({ message: expect.stringContaining("under way") });
	const making = world.createVolume({ id: strays.volume });
	await expect(making).rejects.toMatchObject({ message: expect.stringContaining("is being deleted") });
	await expect(askToDeleteOrphans(world, all)).rejects.toMatchObject({ code: "wrong-state" });
	release();
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", progress: 100 });
	await world.createVolume({ id: strays.volume });
	await world.settle();
});

test("what has a record by the time of its turn is kept, and the task says so", async () => {
	await using world = await booted();
	putStrays(world);
	const { id } = await world.createVolume();
	await world.settle();
	const taskId = await askToDeleteOrphans(world, { volumeIds: [strays.clone, id] });
	await world.settle();
	const message = `Deleted: 1. Kept ${id}: It is no orphan: there is a record of it.`;
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", message });
	expect(lies(world)).toEqual([strays.volume, id, strays.image]);
	const other = await askToDeleteOrphans(world, { volumeIds: [id] });
	await world.settle();
	expect(world.taskOf(other)).toMatchObject({
		...{
			state: "failed",
			error: { code: "wrong-state", message: expect.stringContaining("Nothing was deleted. Kept") },
		},
	});
});

test("the record that comes while a delete waits for the volume is seen", async () => {
	await using world = await booted();
	putStrays(world);
	const taskId = await askToDeleteOrphans(world, { volumeIds: [strays.clone] });
	await world.propose({ kind: "taskUpdate", id: taskId, state: "canceled" });
	await world.settle();
	const volume = fixtureVolume({ id: strays.clone, name: "rescued" });
	await world.propose({ kind: "volumeCreate", volume, task: world.task("volume.create", strays.clone) });
	const again = await askToDeleteOrphans(world, { volumeIds: [strays.clone] });
	await world.settle();
	expect(world.taskOf(again)).toMatchObject({
		state: "failed",
		error: { message: expect.stringContaining("a record") },
	});
	expect(world.volume(strays.clone).phase).toBe("ready");
});

test("called off, it says how far it came; the others stay", async () => {
	await using world = await booted();
	putStrays(world);
	const deleting = Promise.withResolvers<void>();
	world.beforeDeleteVolume = (id) => (id === strays.volume ? deleting.promise : Promise.resolve());
	const taskId = await askToDeleteOrphans(world, {
		volumeIds: [strays.clone, strays.volume],
		imageIds: [strays.image],
	});
	await world.settleLoops();
	await world.propose({ kind: "taskCancel", id: taskId });
	// The pool does not hear of it: until it has ended there, nobody gives it a record.
	await world.settleLoops();
	for (let step = 0; step < 10; step++) {
		world.clock.advance(10_000);
		await world.settleLoops();
	}
	const making = world.createVolume({ id: strays.volume });
	await expect(making).rejects.toMatchObject({ message: expect.stringContaining("is being deleted") });
	deleting.resolve();
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "canceled", message: "Canceled. Deleted until then: 2 of 3." });
	expect(lies(world)).toEqual([strays.image]);
});

test("a pool that does not answer ends it, and is not asked for each of the others", async () => {
	await using world = await booted();
	putStrays(world);
	world.driver.failNext("deleteVolume", new AppError("unavailable", "The server does not answer."));
	const taskId = await askToDeleteOrphans(world, all);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({
		...{
			state: "failed",
			error: { code: "unavailable", message: expect.stringContaining("Deleted until then: 0 of 4") },
		},
	});
	expect(await found(world)).toEqual(strayIds);
});

test("a pool that is deleted meanwhile ends it", async () => {
	await using world = await booted();
	putStrays(world);
	const release = world.driver.hold("deleteImage");
	const taskId = await askToDeleteOrphans(world, all);
	await world.settleLoops();
	const task = world.task("pool.delete", clusterIds.pool);
	await world.propose({ kind: "poolDelete", id: clusterIds.pool, task });
	await world.settle();
	release();
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.taskOf(task.id).state).toBe("succeeded");
});

test("adopted without its snapshots: it is a volume when they are gone", async () => {
	await using world = await booted();
	const snapshotIds = await putStrayWithSnapshots(world);
	const release = world.driver.hold("snapshots.delete");
	const taskId = await askToAdopt(world, strays.volume, snapshotIds);
	await world.settleLoops();
	expect(world.taskOf(taskId)).toMatchObject({
		...{ state: "running", cancelable: true, progress: 0 },
		message: "Deleting a snapshot that no record names: 1 of 2",
	});
	expect(world.volume(strays.volume)).toMatchObject({ phase: "pending", name: "rescued" });
	const attached = world.createVm({
		spec: {
			disks: [{ id: "disk-0", volumeId: strays.volume, bus: "virtio", cache: "none", discard: true, readOnly: false }],
		},
	});
	await expect(attached).rejects.toMatchObject({ message: expect.stringContaining("is being adopted") });
	release();
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.volume(strays.volume)).toMatchObject({ phase: "ready", name: "rescued" });
	expect(await snapshotsOf(world).list(strays.volume)).toEqual([]);
	expect(await world.problems()).toEqual([]);
});

test("called off, or with a snapshot that cannot go, the record goes and the content stays; it is adopted later", async () => {
	await using world = await booted();
	const snapshotIds = await putStrayWithSnapshots(world);
	const release = world.driver.hold("snapshots.delete");
	const called = await askToAdopt(world, strays.volume, snapshotIds);
	await world.settleLoops();
	await world.propose({ kind: "taskCancel", id: called });
	release();
	await world.settle();
	expect(world.taskOf(called).state).toBe("canceled");
	expect(world.store.get("volume", strays.volume)).toBeNull();
	expect(await snapshotsOf(world).list(strays.volume)).toHaveLength(1);

	world.driver.failNext("snapshots.delete", new AppError("in-use", "A copy rests on it."));
	const failed = await askToAdopt(world, strays.volume, snapshotIds);
	await world.settle();
	expect(world.taskOf(failed)).toMatchObject({
		state: "failed",
		error: { code: "in-use", message: "A copy rests on it." },
	});
	expect(await found(world)).toEqual([strays.volume]);
	expect(await snapshotsOf(world).list(strays.volume)).toHaveLength(1);

	const adopted = await askToAdopt(world, strays.volume, snapshotIds);
	await world.settle();
	expect(world.taskOf(adopted).state).toBe("succeeded");
	expect(world.volume(strays.volume).phase).toBe("ready");
});
