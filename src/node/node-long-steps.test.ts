/** What takes as long as a disk is large, on a node whose surroundings are simulated: never too long while it goes on, ended when it stands still or is called off. */
import { expect, test } from "bun:test";
import { delay } from "../lib/clock.ts";
import { MiB } from "../lib/units.ts";
import type { LongOptions, VolumeInfo } from "../storage/driver.ts";
import type { FakeStorageDriver } from "../storage/fake.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { askToMoveVolume, otherPool, otherPoolId, worldWithTwoPools } from "../testing/node/volume-moving.ts";
import { limits } from "./limits.ts";

const hourMs = 3_600_000;
const stepMs = 300_000;
/** Longer than any fixed limit was. */
const longSteps = (2 * hourMs) / stepMs;
const ticks = { stepMs: stepMs / 2, limitMs: 3 * hourMs };
type LongMethod = "createVolume" | "deleteVolume" | "resizeVolume" | "growOpenVolume";

/** From here on the method takes hours, and says how far it is; `standsAt`: from this step on it does nothing more. */
function slow(
	world: NodeWorld,
	driver: FakeStorageDriver,
	method: LongMethod,
	standsAt = Number.POSITIVE_INFINITY,
): void {
	type Call = (...args: unknown[]) => Promise<unknown>;
	const methods = driver as unknown as Record<LongMethod, Call>;
	const work = methods[method].bind(driver);
	methods[method] = async (...args) => {
		const { signal, progress } = args.at(-1) as LongOptions;
		for (let step = 1; step <= longSteps; step++) {
			await delay(world.clock, step < standsAt ? stepMs : 100 * hourMs, signal);
			if (step < longSteps) progress?.(step / longSteps);
		}
		return work(...args);
	};
}

const half = (world: NodeWorld, taskId: string) => world.until(() => (world.taskOf(taskId).progress ?? 0) >= 50, ticks);
const askToGrow = async (world: NodeWorld, id: string, sizeBytes: number) => {
	const task = world.task("volume.resize", id, { sizeBytes });
	await world.propose({ kind: "volumeResize", id, sizeBytes, task });
	return task.id;
};
const askToDelete = async (world: NodeWorld, id: string) => {
	const task = world.task("volume.delete", id);
	await world.propose({ kind: "volumeDelete", id, task });
	return task.id;
};

test("an empty volume whose space is overwritten is made, however long that takes, and can be called off", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	slow(world, world.driver, "createVolume");
	const { id, taskId } = await world.createVolume({ format: "raw" });
	await half(world, taskId);
	expect(world.taskOf(taskId)).toMatchObject({
		...{ state: "running", cancelable: true, message: expect.stringContaining("Making volume") },
	});
	await world.settle(ticks);
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.volume(id).phase).toBe("ready");

	const called = await world.createVolume({ format: "raw" });
	await half(world, called.taskId);
	await world.propose({ kind: "taskCancel", id: called.taskId });
	await world.settle();
	expect(world.taskOf(called.taskId).state).toBe("canceled");
	expect(world.volume(called.id)).toMatchObject({ phase: "error", error: { code: "canceled" } });
	expect([...world.pool.volumes.keys()]).toEqual([id]);
	expect(await world.problems()).toEqual([]);
});

test("one that stands still is ended after a while", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	slow(world, world.driver, "createVolume", 3);
	const { id, taskId } = await world.createVolume({ format: "raw" });
	const startedMs = world.clock.monotonicMs();
	await world.settle(ticks);
	expect(world.taskOf(taskId)).toMatchObject({
		...{ state: "failed", error: { code: "timeout", message: expect.stringContaining("made no progress for 10 min") } },
	});
	expect(world.clock.monotonicMs() - startedMs).toBeLessThan(2 * stepMs + limits.copyIdleMs + 2 * ticks.stepMs);
	expect(world.volume(id).phase).toBe("error");
});

test("a deletion that overwrites is no failure while it goes on, also when the node starts again meanwhile", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVolume();
	await world.settle();
	slow(world, world.driver, "deleteVolume");
	const taskId = await askToDelete(world, id);
	await half(world, taskId);
	expect(world.taskOf(taskId).state).toBe("running");
	expect(world.volume(id)).toMatchObject({ phase: "deleting", error: null });
	await world.boot();
	await world.settle(ticks);
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.store.get("volume", id)).toBeNull();
	expect(await world.problems()).toEqual([]);

	const { id: vmId, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	slow(world, world.driver, "deleteVolume");
	const deletion = await world.deleteVm(vmId);
	await half(world, deletion);
	expect(world.taskOf(deletion).message).toContain("Deleting volume");
	await world.settle(ticks);
	expect(world.taskOf(deletion).state).toBe("succeeded");
	for (const volumeId of volumeIds) expect(world.store.get("volume", volumeId)).toBeNull();
});

test.each([false, true])("growth, its VM runs: %p; called off, the volume has its old size", async (start) => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const { id, volumeIds } = await world.createVm({ volumes: [{ format: "raw" }], start });
	await world.settle();
	const [volumeId = ""] = volumeIds;
	const grow = world.hypervisor.resizeDisk.bind(world.hypervisor);
	world.hypervisor.resizeDisk = async (vmId, diskId, sizeBytes) => {
		await grow(vmId, diskId, sizeBytes);
		world.pool.volumes.get(volumeId)?.content.grow(sizeBytes);
	};
	slow(world, world.driver, start ? "growOpenVolume" : "resizeVolume");
	const called = await askToGrow(world, volumeId, 256 * MiB);
	await half(world, called);
	expect(world.taskOf(called)).toMatchObject({ cancelable: true, message: expect.stringContaining("Growing volume") });
	await world.propose({ kind: "taskCancel", id: called });
	await world.settle();
	expect(world.taskOf(called).state).toBe("canceled");
	expect(world.volume(volumeId)).toMatchObject({ phase: "ready", sizeBytes: 64 * MiB, error: null });
	const whole = await askToGrow(world, volumeId, 256 * MiB);
	await world.settle(ticks);
	expect(world.taskOf(whole)).toMatchObject({ state: "succeeded" });
	expect(world.volume(volumeId)).toMatchObject({ phase: "ready", sizeBytes: 256 * MiB });
	if (start) expect(world.hypervisor.diskSize(id, "disk-0")).toBe(256 * MiB);
	expect(await world.problems()).toEqual([]);
});

test("what a disk moves into while its VM runs may take long to be made, and the move can be called off meanwhile", async () => {
	await using world = await worldWithTwoPools();
	const { volumeIds } = await world.createVm({ volumes: [{ format: "raw" }] });
	await world.settle();
	const [volumeId = ""] = volumeIds;
	const there = world.drivers.get(otherPoolId);
	if (!there) throw new Error("the other pool has not been opened");
	slow(world, there, "createVolume");
	const called = await askToMoveVolume(world, volumeId);
	await half(world, called);
	expect(world.taskOf(called)).toMatchObject({ cancelable: true, message: expect.stringContaining("Making room") });
	await world.propose({ kind: "taskCancel", id: called });
	await world.settle();
	expect(world.taskOf(called).state).toBe("canceled");
	expect(otherPool(world).volumes.size).toBe(0);
	const moved = await askToMoveVolume(world, volumeId);
	await world.settle(ticks);
	expect(world.taskOf(moved).state).toBe("succeeded");
	expect(world.volume(volumeId).poolId).toBe(otherPoolId);
	expect(await world.problems()).toEqual([]);
});

test("after a power cut a VM whose disk goes on growing for hours starts by itself afterwards, and keeps no other one waiting", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const spec = (order: number) => ({ autostart: { enabled: true, order, delayMs: 0 } });
	const { id, volumeIds } = await world.createVm({ volumes: [{ format: "raw" }], spec: spec(1) });
	const { id: later } = await world.createVm({ volumes: [{}], spec: spec(2) });
	await world.settle();
	const [volumeId = ""] = volumeIds;
	slow(world, world.driver, "growOpenVolume");
	const growth = await askToGrow(world, volumeId, 256 * MiB);
	await half(world, growth);
	world.powerCut();
	const open = world.drivers.set.bind(world.drivers);
	world.drivers.set = (poolId, driver) => {
		slow(world, driver, "resizeVolume");
		return open(poolId, driver);
	};
	await world.boot();
	await world.until(() => world.vm(later).status.powerState === "running", {
		stepMs: 5_000,
		limitMs: 2 * limits.readMs,
	});
	await world.until(() => world.taskOf(growth).state !== "running", ticks);
	expect(world.taskOf(growth).state).toBe("succeeded");
	await world.until(() => world.vm(id).status.powerState === "running", { stepMs: 5_000, limitMs: 120_000 });
	await world.settle();
	expect(await Bun.file(`${world.dataDir}/autostart.json`).json()).toMatchObject({ waiting: [] });
	expect(await world.problems()).toEqual([]);
});

test("while a disk of a running VM grows for hours, volumes that are not its own are not waited for, whatever the VM is asked", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const { id, volumeIds } = await world.createVm({ volumes: [{ format: "raw" }, {}] });
	const [other, grown] = [await world.createVolume(), await world.createVolume()];
	await world.settle();
	slow(world, world.driver, "growOpenVolume");
	const [volumeId = "", detached = ""] = volumeIds;
	const growth = await askToGrow(world, volumeId, 256 * MiB);
	await world.until(() => world.taskOf(growth).progress !== null, ticks);
	const detachment = await world.update(id, (spec) => ({ ...spec, disks: spec.disks.slice(0, 1) }));
	const stop = await world.act("vm.stop", id);
	const others = [await askToDelete(world, other.id), await askToGrow(world, grown.id, 128 * MiB)];
	const held = await askToDelete(world, detached);
	const isOver = (taskId: string) => world.taskOf(taskId).finishedAt !== null;
	await world.until(() => others.every(isOver), { stepMs: 1_000, limitMs: 10_000 });
	expect(others.map((taskId) => world.taskOf(taskId).state)).toEqual(["succeeded", "succeeded"]);
	// Its process has it open until it is told to let go, which it is afterwards.
	await world.until(() => isOver(held), { stepMs: 10_000, limitMs: limits.exclusiveWaitMs + 20_000 });
	expect(world.taskOf(held)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(world.volume(detached)).toMatchObject({ phase: "ready", error: null });
	expect([growth, detachment, stop].some(isOver)).toBe(false);
	await world.propose({ kind: "taskCancel", id: growth });
	await world.settle();
	expect([detachment, stop].map((taskId) => world.taskOf(taskId).state)).toEqual(["succeeded", "succeeded"]);
	await askToDelete(world, detached);
	await world.settle();
	expect(world.store.get("volume", detached)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("copies of a volume of a stopped VM are made one after the other, however long each takes, and those that wait can be called off", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const { volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	const [volumeId = ""] = volumeIds;
	slow(world, world.driver, "createVolume");
	const source = { kind: "clone", volumeId, fullCopy: true } as const;
	const copies = [];
	for (let count = 0; count < 4; count++) copies.push(await world.createVolume({ source }));
	const taskIds = copies.map(({ taskId }) => taskId);
	await half(world, taskIds[1] ?? "");
	const waits = world.taskOf(taskIds[3] ?? "");
	expect(waits).toMatchObject({ state: "running", cancelable: true, message: expect.stringContaining("Waits until") });
	await world.propose({ kind: "taskCancel", id: waits.id });
	await world.settle({ ...ticks, limitMs: 10 * hourMs });
	const states = taskIds.map((taskId) => world.taskOf(taskId).state);
	expect(states).toEqual(["succeeded", "succeeded", "succeeded", "canceled"]);
	expect(await world.problems()).toEqual([]);
});

test("deleting a file may say nothing for most of an hour", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVolume();
	await world.settle();
	const work = world.driver.deleteVolume.bind(world.driver);
	world.driver.deleteVolume = async (volumeId, options) => {
		await delay(world.clock, limits.revertIdleMs - 600_000, options?.signal);
		return work(volumeId, options);
	};
	const taskId = await askToDelete(world, id);
	await world.settle(ticks);
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(world.store.get("volume", id)).toBeNull();
});

/** Grows the disk of a VM that runs, as a pool does in which the size is not QEMU's to make; then does `after`. */
async function growsItself(world: NodeWorld, after: (taskId: string) => Promise<unknown>) {
	await world.boot();
	await world.settle();
	const { id, volumeIds } = await world.createVm({ volumes: [{ format: "raw" }] });
	await world.settle();
	const [volumeId = ""] = volumeIds;
	const growOpen = async (_id: string, sizeBytes: number, { progress }: LongOptions = {}) => {
		progress?.(0.5);
		while (!world.taskOf(taskId).cancelable) await Bun.sleep(0);
		world.pool.volumes.get(volumeId)?.content.grow(sizeBytes);
		await after(taskId);
		return (await world.driver.getVolume(volumeId)) as VolumeInfo;
	};
	world.driver.growOpenVolume = growOpen;
	const taskId = await askToGrow(world, volumeId, 256 * MiB);
	return { id, taskId, volumeId };
}

test("growth that is called off when the pool is through with it reaches the guest, and is no canceled one", async () => {
	await using world = await NodeWorld.open();
	const { id, taskId, volumeId } = await growsItself(world, (asked) =>
		world.propose({ kind: "taskCancel", id: asked }),
	);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(world.volume(volumeId)).toMatchObject({ phase: "ready", sizeBytes: 256 * MiB });
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(256 * MiB);
	expect(await world.problems()).toEqual([]);
});

test("growth that a restart cuts short before the guest hears of it reaches the guest", async () => {
	await using world = await NodeWorld.open();
	const { id, taskId, volumeId } = await growsItself(world, async () => world.kill());
	await world.until(() => world.life.dead);
	expect(world.hypervisor.diskSize(id, "disk-0")).not.toBe(256 * MiB);
	await world.boot();
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.volume(volumeId)).toMatchObject({ phase: "ready", sizeBytes: 256 * MiB });
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(256 * MiB);
});
