/** Volumes on a node whose surroundings are simulated. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { diskOf, NodeWorld } from "../testing/node/node-world.ts";
import { bytes, readyImage, remove, resize, secondPool } from "../testing/node/storage-deeds.ts";

test("volume: create, resize, delete", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId } = await world.createVolume();
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: 64 * MiB, allocatedBytes: 0 });
	await resize(world, id, 100 * MiB);
	expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: 100 * MiB });
	await remove(world, "volume", id);
	expect(world.store.get("volume", id)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("volume: a failed create is an error that can be deleted; a failed resize leaves it as it was", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.driver.failNext("createVolume", new AppError("storage", "No."));
	const failed = await world.createVolume();
	await world.settle();
	expect(world.volume(failed.id)).toMatchObject({ phase: "error", error: { code: "storage", message: "No." } });
	expect(world.taskOf(failed.taskId).state).toBe("failed");
	await remove(world, "volume", failed.id);
	expect(world.store.count("volume")).toBe(0);

	const { id } = await world.createVolume();
	await world.settle();
	world.driver.failNext("resizeVolume", new AppError("no-space", "Full."));
	const task = await resize(world, id, 128 * MiB);
	expect(world.taskOf(task)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: 64 * MiB });
	expect(await world.problems()).toEqual([]);
});

test("volume: the disk of a running VM grows through QEMU", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}] });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	// What QEMU does to the file.
	const grow = world.hypervisor.resizeDisk.bind(world.hypervisor);
	world.hypervisor.resizeDisk = async (vmId, diskId, sizeBytes) => {
		await grow(vmId, diskId, sizeBytes);
		world.pool.volumes.get(volumeId)?.content.grow(sizeBytes);
	};
	const task = await resize(world, volumeId, 256 * MiB);
	expect(world.taskOf(task).state).toBe("succeeded");
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(256 * MiB);
	expect(world.driver.calls).not.toContain("resizeVolume");
	expect(world.driver.calls).toContain("growOpenVolume");
	world.driver.failNext("growOpenVolume", new AppError("no-space", "The group is full."));
	const refused = await resize(world, volumeId, 512 * MiB);
	expect(world.taskOf(refused)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(256 * MiB);
	expect(world.volume(volumeId)).toMatchObject({ phase: "ready", sizeBytes: 256 * MiB });
});

test("volume: a resize waits for what happens to the VM", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	const held = world.hypervisor.faults.hold("start");
	await world.act("vm.start", id);
	await held.reached;
	const volumeId = volumeIds[0] ?? "";
	const task = world.task("volume.resize", volumeId, { sizeBytes: 128 * MiB });
	await world.propose({ kind: "volumeResize", id: volumeId, sizeBytes: 128 * MiB, task });
	await world.settleLoops();
	expect(world.hypervisor.calls.some((call) => call.startsWith("resizeDisk"))).toBe(false);
	held.release();
	await world.settle();
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(128 * MiB);
});

test("volume: copies of images and volumes, whole and copy-on-write", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await readyImage(world);
	const cow = await world.createVolume({ source: { kind: "image", imageId, fullCopy: false } });
	const full = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.settle();
	const clone = await world.createVolume({ source: { kind: "clone", volumeId: full.id, fullCopy: true } });
	await world.settle();
	for (const { id } of [cow, full, clone]) expect(world.volume(id).phase).toBe("ready");
	expect(world.pool.volumes.get(cow.id)?.backing).toHaveLength(1);
	expect(world.pool.volumes.get(clone.id)?.content.read(0, 4)).toEqual(bytes.slice(0, 4));
});

test("volume: a copy of an image that is still being imported waits for it", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.pool.hostFiles.set("/images/a.raw", bytes);
	const release = world.driver.hold("importFile");
	const made = await world.createImage({ source: { kind: "path", path: "/images/a.raw" } });
	const { id, taskId } = await world.createVolume({ source: { kind: "image", imageId: made.id, fullCopy: false } });
	await world.until(() => world.taskOf(taskId).message?.startsWith("Waits for image") ?? false);
	release();
	await world.settle();
	expect(world.volume(id).phase).toBe("ready");
});

test("volume: a disk in use is not copied; a stopped VM is kept still while it is", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	const release = world.driver.hold("createVolume");
	const copy = await world.createVolume({ source: { kind: "clone", volumeId, fullCopy: true } });
	await world.until(() => world.driver.calls.filter((call) => call === "createVolume").length === 2);
	const start = await world.act("vm.start", id);
	await world.settleLoops();
	expect(world.taskOf(start).state).toBe("pending");
	expect(world.taskOf(copy.taskId).cancelable).toBe(true);
	release();
	await world.settle();
	expect(world.volume(copy.id).phase).toBe("ready");
	expect(world.vm(id).status.powerState).toBe("running");
	await expect(world.createVolume({ source: { kind: "clone", volumeId, fullCopy: true } })).rejects.toMatchObject({
		code: "wrong-state",
	});
});

test("volume: a disk that is a copy of another disk of its VM, and could not be made, is made with the VM", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	world.driver.failNext("createVolume", new AppError("storage", "No."));
	const source = { kind: "clone", volumeId: volumeIds[0] ?? "", fullCopy: true } as const;
	const copy = await world.createVolume({ source });
	const update = await world.update(id, (spec) => ({ ...spec, disks: [...spec.disks, diskOf(copy.id, 1)] }));
	await world.settle();
	expect(world.taskOf(copy.taskId)).toMatchObject({ state: "failed" });
	expect(world.taskOf(update)).toMatchObject({ state: "succeeded" });
	expect(world.volume(copy.id).phase).toBe("ready");
	expect(await world.problems()).toEqual([]);
});

test("volume: a copy is canceled; the record says so and can be deleted", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await readyImage(world);
	world.driver.hold("createVolume");
	const { id, taskId } = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.propose({ kind: "taskCancel", id: taskId });
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.volume(id)).toMatchObject({ phase: "error", error: { code: "canceled" } });
	expect(await world.problems()).toEqual([]);
	await remove(world, "volume", id);
	expect(world.store.get("volume", id)).toBeNull();
});

test("volume: deleting one that is being made ends the making", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await readyImage(world);
	world.driver.hold("createVolume");
	const { id, taskId } = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.until(() => world.driver.calls.includes("createVolume"));
	const task = await remove(world, "volume", id);
	expect(world.taskOf(task).state).toBe("succeeded");
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.store.get("volume", id)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("volume: at most two copies at once", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await readyImage(world);
	const release = world.driver.hold("createVolume");
	const before = world.driver.calls.filter((call) => call === "createVolume").length;
	for (let count = 0; count < 5; count++)
		await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	const light = await world.createVolume();
	await world.settleLoops();
	// Two copies, and the empty volume, which needs no turn.
	expect(world.driver.calls.filter((call) => call === "createVolume").length - before).toBe(3);
	release();
	await world.settle();
	expect(world.volume(light.id).phase).toBe("ready");
	expect(world.store.count("volume", { phase: "ready" })).toBe(6);
});

test("volume: a copy without progress is given up", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await readyImage(world);
	world.driver.hold("createVolume");
	const { taskId } = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.settle({ stepMs: 60_000, limitMs: 1_200_000 });
	expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "timeout" } });
});

test("volume: content that is lost is not replaced by an empty disk", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	world.pool.volumes.delete(volumeIds[0] ?? "");
	const start = await world.act("vm.start", id);
	await world.settle();
	expect(world.taskOf(start).state).toBe("failed");
	await world.propose({ kind: "volumeStatus", id: volumeIds[0] ?? "", phase: "error" });
	const again = await world.act("vm.start", id);
	await world.settle();
	expect(world.taskOf(again)).toMatchObject({ state: "failed", error: { code: "storage" } });
	expect(world.pool.volumes.size).toBe(0);
});

test("volume: a whole copy into another pool; nothing else is left there", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const poolId = await secondPool(world);
	const imageId = await readyImage(world);
	const first = await world.createVolume({ poolId, format: "raw", source: { kind: "image", imageId, fullCopy: true } });
	await world.settle();
	expect(world.taskOf(first.taskId)).toMatchObject({ state: "succeeded", error: null });
	const back = await world.createVolume({
		format: "raw",
		source: { kind: "clone", volumeId: first.id, fullCopy: true },
	});
	await world.settle();
	expect(world.taskOf(back.taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(world.pools.get(poolId)?.volumes.get(first.id)?.content.read(0, 8)).toEqual(bytes.slice(0, 8));
	expect(world.pool.volumes.get(back.id)?.content.read(0, 8)).toEqual(bytes.slice(0, 8));
	expect(world.pools.get(poolId)?.images.size).toBe(0);
	expect(await world.problems()).toEqual([]);
});

test("volume: the disk of a VM whose making was called off waits for the VM's start, and is no failure", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await readyImage(world);
	const release = world.driver.hold("createVolume");
	const copy = { source: { kind: "image" as const, imageId, fullCopy: true } };
	const { id, taskId, volumeIds } = await world.createVm({ volumes: [copy, {}] });
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.act("vm.stop", id);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "canceled", message: "Overtaken by a stop." });
	const phases = () => volumeIds.map((volumeId) => world.volume(volumeId)).map(({ phase, error }) => [phase, error]);
	expect(phases()).toEqual([
		["pending", null],
		["pending", null],
	]);
	release();
	await world.settle();
	world.clock.advance(60_000);
	await world.settleLoops();
	expect(phases()[0]).toEqual(["pending", null]);
	expect(world.vm(id).status).toMatchObject({ powerState: "stopped", error: null });
	expect(await world.problems()).toEqual([]);
	await world.act("vm.start", id);
	await world.settle();
	expect(phases().map(([phase]) => phase)).toEqual(["ready", "ready"]);
	expect(world.vm(id).status.powerState).toBe("running");
});

/** A VM is being made, and its second disk is detached before its turn. */
async function detachedInTheMaking(world: NodeWorld): Promise<{ id: string; release: () => void }> {
	await world.boot();
	const imageId = await readyImage(world);
	const release = world.driver.hold("createVolume");
	const copy = { source: { kind: "image" as const, imageId, fullCopy: true } };
	const { id, volumeIds } = await world.createVm({ volumes: [copy, copy], start: false });
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.update(id, (spec) => ({ ...spec, disks: spec.disks.slice(0, 1) }));
	return { id: volumeIds[1] ?? "", release };
}

test("volume: a disk that is detached while its VM is made is made all the same", async () => {
	await using world = await NodeWorld.open();
	const { id, release } = await detachedInTheMaking(world);
	release();
	await world.settle();
	world.clock.advance(30_000);
	await world.settleLoops();
	expect(world.volume(id)).toMatchObject({ phase: "ready", vmId: null, error: null });
	expect(await world.problems()).toEqual([]);
});

test("volume: a disk that a guest has kept stays when the VM that it was given to is deleted", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const keeper = await world.createVm({ name: "keeper", volumes: [{}] });
	const next = await world.createVm({ name: "next", start: false });
	await world.settle();
	const [id = ""] = keeper.volumeIds;
	world.hypervisor.setGuest(keeper.id, { unplug: "ignore" });
	await world.update(keeper.id, (spec) => ({ ...spec, disks: [] }));
	await world.settle({ stepMs: 1_000, limitMs: 600_000 });
	await world.update(next.id, (spec) => ({ ...spec, disks: [diskOf(id, 0)] }));
	await world.settle();
	const task = await world.deleteVm(next.id);
	await world.settle();
	expect(world.taskOf(task)).toMatchObject({
		state: "succeeded",
		message: expect.stringContaining(`Volume "${world.volume(id).name}" stays: VM "keeper" still has`),
	});
	expect(world.volume(id)).toMatchObject({ phase: "ready", vmId: null });
	expect(world.pool.volumes.has(id)).toBe(true);
});

test("volume: deleting a detached disk ends its making", async () => {
	await using world = await NodeWorld.open();
	const { id, release } = await detachedInTheMaking(world);
	release();
	await world.settle();
	const held = world.driver.hold("createVolume");
	world.clock.advance(30_000);
	await world.until(() => world.volume(id).phase === "creating");
	const task = await remove(world, "volume", id);
	held();
	await world.settle();
	expect(world.taskOf(task).state).toBe("succeeded");
	expect(world.store.get("volume", id)).toBeNull();
	expect(await world.problems()).toEqual([]);
});
