/** Volumes that move between pools of a node: at rest, while their VM runs, called off, refused. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { FakePool } from "../storage/fake.ts";
import { clusterIds, fixtureId, fixtureImage, fixtureNfs, fixturePool, fixtureTask } from "../testing/fixtures.ts";
import { bytes } from "../testing/node/storage-deeds.ts";
import {
	askToMoveVolume,
	contentIn,
	expectIn,
	otherPool,
	otherPoolId,
	vmWithDisk,
	worldWithTwoPools,
} from "../testing/node/volume-moving.ts";

test.each(["raw", "qcow2"] as const)("a volume that nobody has goes over whole, as %s", async (format) => {
	await using world = await worldWithTwoPools();
	const { id } = await world.createVolume({ format: "raw", sizeBytes: 2 * MiB });
	await world.settle();
	world.driver.writeContent(id, 4096, bytes);
	const content = contentIn(world.pool, id);
	const taskId = await askToMoveVolume(world, id, format);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", message: "Moved from local to other." });
	expect(world.volume(id)).toMatchObject({ format, sizeBytes: 2 * MiB });
	// The fake writes an empty file when the format changes.
	await expectIn(world, "other", id, format === "raw" ? content : contentIn(otherPool(world), id));
	expect(await world.problems()).toEqual([]);
});

test("a disk of a VM that is off goes over; the VM's start waits for it, and is from there", async () => {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start: false });
	const content = contentIn(world.pool, volumeId);
	const release = world.drivers.get(otherPoolId)?.hold("receiveVolume");
	const taskId = await askToMoveVolume(world, volumeId);
	await world.settleLoops();
	await world.act("vm.start", id);
	await world.settleLoops();
	expect(world.vm(id).status.powerState).toBe("stopped");
	release?.();
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.vm(id).status.powerState).toBe("running");
	await expectIn(world, "other", volumeId, content);
	expect(world.driver.calls.filter((call) => call === "readVolume")).toHaveLength(1);
});

test("a disk of a VM that runs goes over by QEMU's copy, with progress, and stays open in one pool only", async () => {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start: true });
	world.hypervisor.blockJobsHeld = true;
	const taskId = await askToMoveVolume(world, volumeId, "qcow2");
	await world.settleLoops();
	expect(await world.hypervisor.blockJobs(id)).toMatchObject([{ diskId: "disk-0", kind: "copy" }]);
	expect(world.taskOf(taskId)).toMatchObject({ state: "running", cancelable: true });
	expect(world.taskOf(taskId).message).toContain("Copying volume");
	expect([...otherPool(world).open]).toEqual([volumeId]);
	// The guest goes on writing, and QEMU follows; a comparison of all VMs changes nothing.
	world.driver.writeContent(volumeId, 8192, bytes);
	world.clock.advance(31_000);
	await world.settleLoops();
	expect([...otherPool(world).open]).toEqual([volumeId]);
	const content = contentIn(world.pool, volumeId);
	world.hypervisor.endBlockJob(id, "disk-0", "done");
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", message: "Moved from local to other." });
	expect(world.volume(volumeId).format).toBe("qcow2");
	await expectIn(world, "other", volumeId, content);
	expect(world.vm(id).status.differences).toEqual([]);
	await world.act("vm.stop", id);
	await world.act("vm.start", id);
	await world.settle();
	await expectIn(world, "other", volumeId, content);
	expect(await world.problems()).toEqual([]);
});

test("called off while QEMU copies, it stays where it is, and nothing is left of it", async () => {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start: true });
	const content = contentIn(world.pool, volumeId);
	world.hypervisor.blockJobsHeld = true;
	const taskId = await askToMoveVolume(world, volumeId);
	await world.settleLoops();
	await world.propose({ kind: "taskCancel", id: taskId });
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("canceled");
	await expectIn(world, "first", volumeId, content);
	expect(world.vm(id).status.powerState).toBe("running");
});

test("a VM that stops while its disk is copied keeps the disk where it is", async () => {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start: true });
	const content = contentIn(world.pool, volumeId);
	world.hypervisor.blockJobsHeld = true;
	const taskId = await askToMoveVolume(world, volumeId);
	await world.settleLoops();
	await world.act("vm.stop", id);
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("failed");
	expect(world.vm(id).status.powerState).toBe("stopped");
	await world.settleLoops();
	await expectIn(world, "first", volumeId, content);
});

test("deleting the VM while its disk is copied ends the move; nothing is left anywhere", async () => {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start: true });
	world.hypervisor.blockJobsHeld = true;
	const taskId = await askToMoveVolume(world, volumeId);
	await world.settleLoops();
	await world.deleteVm(id);
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("canceled");
	world.clock.advance(31_000);
	await world.settleLoops();
	expect([...world.pool.volumes.keys(), ...otherPool(world).volumes.keys()]).toEqual([]);
	expect([...world.pool.open, ...otherPool(world).open]).toEqual([]);
	expect(await world.problems()).toEqual([]);
});

test("QEMU that went over although its answer was lost: the volume is there", async () => {
	await using world = await worldWithTwoPools();
	const { volumeId } = await vmWithDisk(world, { start: true });
	const content = contentIn(world.pool, volumeId);
	world.hypervisor.faults.fail("copyDisk", new AppError("hypervisor", "The answer was lost."), { when: "after" });
	const taskId = await askToMoveVolume(world, volumeId);
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	await expectIn(world, "other", volumeId, content);
});

test("a copy that fails, at rest and running, leaves nothing, and says why", async () => {
	for (const start of [false, true]) {
		await using world = await worldWithTwoPools();
		const { volumeId } = await vmWithDisk(world, { start });
		const content = contentIn(world.pool, volumeId);
		const error = new AppError("storage", "The disk is broken.");
		if (start) world.hypervisor.faults.fail("copyDisk", error);
		else world.drivers.get(otherPoolId)?.failNext("receiveVolume", error);
		const taskId = await askToMoveVolume(world, volumeId);
		await world.settle();
		expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { message: "The disk is broken." } });
		await expectIn(world, "first", volumeId, content);
	}
});

test("no room in the other pool is said before anything is copied", async () => {
	for (const start of [false, true]) {
		await using world = await worldWithTwoPools();
		const { volumeId } = await vmWithDisk(world, { start });
		otherPool(world).totalBytes = 100;
		const taskId = await askToMoveVolume(world, volumeId);
		await world.settle();
		expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "no-space" } });
		await expectIn(world, "first", volumeId, contentIn(world.pool, volumeId));
	}
});

test("a volume that rests on an image is whole in the other pool, and the image can go", async () => {
	await using world = await worldWithTwoPools();
	world.pool.hostFiles.set(imagePath, new Uint8Array(2 * MiB).fill(3));
	const image = await world.createImage({ source: { kind: "path", path: imagePath } });
	await world.settle();
	const source = { kind: "image", imageId: image.id, fullCopy: false } as const;
	const { id } = await world.createVolume({ sizeBytes: 2 * MiB, source });
	await world.settle();
	await askToMoveVolume(world, id, "raw");
	await world.settle();
	expect(world.volume(id)).toMatchObject({ poolId: otherPoolId, source: { fullCopy: true } });
	expect(otherPool(world).volumes.get(id)?.backing).toEqual([]);
	await world.propose({ kind: "imageDelete", id: image.id, task: world.task("image.delete", image.id) });
	await world.settle();
	expect(world.store.get("image", image.id)).toBeNull();
});
const imagePath = (fixtureImage().source as { path: string }).path;

test("back and forth; what an earlier stay has left is no copy", async () => {
	await using world = await worldWithTwoPools();
	const { volumeId } = await vmWithDisk(world, { start: false });
	world.driver.failNext("deleteVolume", new AppError("in-use", "Somebody reads it."));
	await askToMoveVolume(world, volumeId);
	await world.settle();
	expect(world.pool.volumes.has(volumeId)).toBe(true);
	world.drivers.get(otherPoolId)?.writeContent(volumeId, 0, bytes);
	const content = contentIn(otherPool(world), volumeId);
	const task = world.task("volume.move", volumeId);
	const to = { poolId: clusterIds.pool, nodeId: clusterIds.node, format: "raw" } as const;
	await world.propose({ kind: "volumeMove", id: volumeId, ...to, task });
	await world.settle();
	await expectIn(world, "first", volumeId, content);
});

test("to a pool that nodes share, and back while the VM runs: nothing stays in either", async () => {
	await using world = await worldWithTwoPools();
	const shared = fixturePool({ id: fixtureId(0x32), name: "shared", type: "nfs", config: fixtureNfs });
	const task = fixtureTask("pool.create", { kind: "pool", id: shared.id }, { id: world.ids.newId() });
	await world.propose({ kind: "poolCreate", pool: shared, task });
	const { id, volumeId } = await vmWithDisk(world, { start: false });
	const content = contentIn(world.pool, volumeId);
	const move = (poolId: string, nodeId: string | null) => {
		const to = { poolId, nodeId, format: "raw" as const };
		return world.propose({ kind: "volumeMove", id: volumeId, ...to, task: world.task("volume.move", volumeId) });
	};
	await move(shared.id, null);
	await world.settle();
	expect(world.volume(volumeId)).toMatchObject({ poolId: shared.id, nodeId: null });
	expect(contentIn(world.pools.get(shared.id) as FakePool, volumeId)).toBe(content);
	expect([...world.pool.volumes.keys()]).toEqual([]);
	await world.act("vm.start", id);
	await world.settle();
	await move(clusterIds.pool, clusterIds.node);
	await world.settle();
	await expectIn(world, "first", volumeId, content);
	const left = world.pools.get(shared.id);
	expect([...(left?.volumes.keys() ?? []), ...(left?.open ?? [])]).toEqual([]);
	expect(await world.problems()).toEqual([]);
});

test("a pool that is away when its volume has left it keeps nobody from working with the volume", async () => {
	await using world = await worldWithTwoPools();
	const { id } = await world.createVolume({ format: "raw", sizeBytes: 2 * MiB });
	await world.settle();
	for (let round = 0; round < 3; round++)
		world.driver.failNext("deleteVolume", new AppError("storage", "The server does not answer."));
	const taskId = await askToMoveVolume(world, id);
	await world.until(() => world.taskOf(taskId).state === "succeeded");
	const resize = world.task("volume.resize", id, { sizeBytes: 4 * MiB });
	await world.propose({ kind: "volumeResize", id, sizeBytes: 4 * MiB, task: resize });
	await world.until(() => world.taskOf(resize.id).state === "succeeded");
	expect(world.unfinished().map(({ kind }) => kind)).toEqual(["volume.discard"]);
	expect(world.pool.volumes.has(id)).toBe(true);
	await world.settle({ stepMs: 10_000, limitMs: 600_000 });
	await expectIn(world, "other", id, contentIn(otherPool(world), id));
});

test("a check says what it found, and is refused while a VM runs with the volume", async () => {
	await using world = await worldWithTwoPools();
	const { id, volumeId } = await vmWithDisk(world, { start: true });
	const ask = async (repair: boolean) => {
		const task = world.task("volume.check", volumeId);
		await world.propose({ kind: "volumeCheck", id: volumeId, repair, task });
		await world.settle();
		return world.taskOf(task.id);
	};
	expect(await ask(false)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	await world.act("vm.stop", id);
	await world.settle();
	expect(await ask(true)).toMatchObject({ state: "succeeded", message: "No damage found." });
	world.driver.damage.set(volumeId, { errors: 1, leakedBytes: 65_536, repaired: 0 });
	expect(await ask(false)).toMatchObject({
		state: "succeeded",
		message: "Found 1 damaged structure and 64 KiB that belong to nothing; repaired: 0.",
	});
});
