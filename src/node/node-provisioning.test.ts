/** Thick volumes on a node whose surroundings are simulated: made, copied, grown, moved; what their guests discard is kept. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { askDeletion, takeSnapshot } from "../testing/node/snapshot-deeds.ts";
import { readyImage, resize, secondPool } from "../testing/node/storage-deeds.ts";
import { askToMoveVolume, otherPool, otherPoolId, worldWithTwoPools } from "../testing/node/volume-moving.ts";

const thick = { provisioning: "thick" } as const;
const expectThick = (world: NodeWorld, id: string): void => {
	const { sizeBytes, allocatedBytes, provisioning, phase } = world.volume(id);
	expect({ phase, provisioning }).toEqual({ phase: "ready", provisioning: "thick" });
	expect(allocatedBytes).toBeGreaterThanOrEqual(sizeBytes);
};

test("empty ones and full copies have their space, also those that come from another pool", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const poolId = await secondPool(world);
	const imageId = await readyImage(world);
	const image = { kind: "image", imageId, fullCopy: true } as const;
	const empty = await world.createVolume({ ...thick, sizeBytes: 4 * MiB });
	const copy = await world.createVolume({ ...thick, source: image });
	const other = await world.createVolume({ ...thick, poolId, source: image });
	await world.settle();
	const clone = { kind: "clone", volumeId: empty.id, fullCopy: true } as const;
	const cloned = await world.createVolume({ ...thick, poolId, sizeBytes: 4 * MiB, source: clone });
	await world.settle();
	for (const { id } of [empty, copy, other, cloned]) expectThick(world, id);
	expect(await world.problems()).toEqual([]);
});

test("one that does not fit is an error, and nothing is made", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.pool.totalBytes = 32 * MiB;
	const { id, taskId } = await world.createVolume(thick);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect(world.volume(id)).toMatchObject({ phase: "error", error: { code: "no-space" } });
	expect(world.pool.volumes.size).toBe(0);
});

test("grown while its VM runs it gets the space afterwards, also when that was cut short; without room nothing grows", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const { id, volumeIds } = await world.createVm({ volumes: [thick] });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	const grow = world.hypervisor.resizeDisk.bind(world.hypervisor);
	world.hypervisor.resizeDisk = async (vmId, diskId, sizeBytes) => {
		await grow(vmId, diskId, sizeBytes);
		world.pool.volumes.get(volumeId)?.content.grow(sizeBytes);
	};
	const fills = () => world.driver.calls.filter((call) => call === "fillVolume").length;
	world.driver.failNext("fillVolume", new AppError("storage", "The server is away."));
	const failed = await resize(world, volumeId, 128 * MiB);
	expect(world.taskOf(failed)).toMatchObject({
		state: "failed",
		error: { code: "storage", message: expect.stringContaining("to the same size again when there is room") },
	});
	expect([world.hypervisor.diskSize(id, "disk-0"), world.volume(volumeId).sizeBytes]).toEqual([128 * MiB, 128 * MiB]);
	// The same size again: what is missing is done.
	expect(world.taskOf(await resize(world, volumeId, 128 * MiB)).state).toBe("succeeded");
	expect(fills()).toBe(2);
	expectThick(world, volumeId);

	world.pool.totalBytes = 150 * MiB;
	const refused = await resize(world, volumeId, 256 * MiB);
	expect(world.taskOf(refused)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect([world.hypervisor.diskSize(id, "disk-0"), fills()]).toEqual([128 * MiB, 2]);
	expect(await world.problems()).toEqual([]);
});

test("QEMU ignores what a guest discards on a thick disk, whatever the disk says, and nothing differs by that", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const defined = new Map<string, boolean[]>();
	const define = world.hypervisor.define.bind(world.hypervisor);
	world.hypervisor.define = async (domain) => {
		defined.set(
			domain.id,
			domain.spec.disks.map(({ discard }) => discard),
		);
		await define(domain);
	};
	const { id } = await world.createVm({ volumes: [thick, {}] });
	await world.settle();
	expect(world.vm(id).spec.disks.map(({ discard }) => discard)).toEqual([true, true]);
	expect(defined.get(id)).toEqual([false, true]);
	expect(world.vm(id).status).toMatchObject({ powerState: "running", differences: [] });
});

test.each([true, false])("moved to another pool that can it stays thick; its VM runs: %p", async (start) => {
	await using world = await worldWithTwoPools();
	const { volumeIds } = await world.createVm({ volumes: [{ ...thick, format: "raw" }], start });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	const moved = await askToMoveVolume(world, volumeId);
	await world.settle();
	expect(world.taskOf(moved)).toMatchObject({ state: "succeeded", input: { provisioning: "thick" } });
	expectThick(world, volumeId);
	expect(otherPool(world).volumes.get(volumeId)?.isThick).toBe(true);
	expect(await world.problems()).toEqual([]);
});

test("moved while its VM runs it gets the space that QEMU did not write; what is missing is said", async () => {
	await using world = await worldWithTwoPools();
	const { volumeIds } = await world.createVm({ volumes: [{ ...thick, format: "raw" }] });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	const there = world.drivers.get(otherPoolId);
	there?.failNext("fillVolume", new AppError("no-space", "There is no space left in the storage pool."));
	const moved = await askToMoveVolume(world, volumeId);
	await world.settle();
	expect(there?.calls).toContain("fillVolume");
	expect(world.taskOf(moved)).toMatchObject({
		state: "succeeded",
		message: expect.stringMatching(
			/^Moved from local to other\. .* no space left .* same size again when there is room/,
		),
	});
});

test("a VM that runs with discard on, as on a logical volume, does not take a thick disk into a file", async () => {
	await using world = await worldWithTwoPools();
	const define = world.hypervisor.define.bind(world.hypervisor);
	world.hypervisor.define = (domain) => {
		const disks = domain.spec.disks.map((disk) => ({ ...disk, discard: true }));
		return define({ ...domain, spec: { ...domain.spec, disks } });
	};
	const { id, volumeIds } = await world.createVm({ volumes: [{ ...thick, format: "raw" }] });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	const refused = await askToMoveVolume(world, volumeId);
	await world.settle();
	expect(world.taskOf(refused)).toMatchObject({
		state: "failed",
		error: { code: "wrong-state", message: expect.stringContaining("shut the VM down first") },
	});
	expect(otherPool(world).volumes.size).toBe(0);
	await world.act("vm.stop", id);
	const moved = await askToMoveVolume(world, volumeId);
	await world.settle();
	expect(world.taskOf(moved).state).toBe("succeeded");
	expectThick(world, volumeId);
});

test("a deleted snapshot that leaves a thick disk without a part of its space says so", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const { id } = await world.createVm({ volumes: [thick], start: false });
	await world.settle();
	const snapshotId = await takeSnapshot(world, id, "one");
	world.driver.failNext("fillVolume", new AppError("no-space", "There is no space left in the storage pool."));
	const deletion = await askDeletion(world, snapshotId);
	await world.settle();
	expect(world.taskOf(deletion)).toMatchObject({
		state: "succeeded",
		message: expect.stringContaining("lacks a part of its space: There is no space left"),
	});
	expect(world.store.get("snapshot", snapshotId)).toBeNull();
});

test("no room for all of it in the other pool is said before anything is copied", async () => {
	await using world = await worldWithTwoPools();
	const { id } = await world.createVolume({ ...thick, format: "raw" });
	await world.settle();
	otherPool(world).totalBytes = 32 * MiB;
	const moved = await askToMoveVolume(world, id);
	await world.settle();
	expect(world.taskOf(moved)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expectThick(world, id);
	expect(otherPool(world).volumes.size).toBe(0);
});

test("a node says nothing of it to members that do not know it, and says it once all do", async () => {
	await using world = await NodeWorld.open();
	world.unknownToSome.add("thick-1");
	await world.boot();
	await world.settle();
	const told = () => world.store.all("pool")[0]?.nodes[0]?.capabilities;
	expect(told()?.formats).toEqual(["qcow2", "raw"]);
	expect(told()).not.toHaveProperty("provisioning");
	world.unknownToSome.clear();
	world.clock.advance(31_000);
	await world.settle();
	expect(told()?.provisioning).toEqual(["thin", "thick"]);
});
