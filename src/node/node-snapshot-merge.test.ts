/** Snapshots that go while their VM runs, on a simulated node: what QEMU is told, what fails, and that the guest goes on in any case. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { sourceName } from "../model/disk-source.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { askDeletion, snapshotIn, takeSnapshot } from "../testing/node/snapshot-deeds.ts";

async function worldWith(names: string[]) {
	const world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const made = await world.createVm({ name: "vm", volumes: [{}], start: true });
	await world.settle();
	const [volumeId = ""] = made.volumeIds;
	const snapshots: string[] = [];
	for (const name of names) snapshots.push(await takeSnapshot(world, made.id, name));
	const layers = async () => (await world.hypervisor.diskLayers(made.id))[0]?.layers ?? [];
	/** QEMU has what the pool says that the disk is. */
	const inStep = async () => {
		const { source, backing } = await world.driver.attachInfo(volumeId);
		expect(await layers()).toEqual([source, ...backing.map((below) => below.source)].map(sourceName));
	};
	const power = () => world.vm(made.id).status.powerState;
	world.hypervisor.calls.length = 0;
	const calls = () => world.hypervisor.calls.map((call) => call.split(" ")[0] ?? "");
	return { world, id: made.id, volumeId, snapshots, layers, inStep, power, calls };
}

async function ended(world: NodeWorld, taskId: string) {
	await world.settle();
	const { state, error } = world.taskOf(taskId);
	return [state, error?.code ?? null];
}

test("the last one: the guest stands still while QEMU goes over, and not before", async () => {
	const { world, snapshots, layers, inStep, power, calls } = await worldWith(["one", "two"]);
	await using _ = world;
	const before = await layers();
	expect(await ended(world, await askDeletion(world, snapshots[1] ?? ""))).toEqual(["succeeded", null]);
	expect(await layers()).toEqual(before.slice(1));
	await inStep();
	const order = ["commitDisk", "pause", "resume"].map((call) => calls().indexOf(call));
	expect(order).not.toContain(-1);
	expect(order).toEqual([...order].sort((a, b) => a - b));
	expect(power()).toBe("running");
	expect(snapshotIn(world, snapshots[0] ?? "")).toMatchObject({ phase: "ready", current: true });
	expect(await world.problems()).toEqual([]);
});

for (const [at, which] of ["first", "middle"].entries())
	test(`the ${which} one of three: the guest goes on all the while`, async () => {
		const { world, snapshots, layers, inStep, calls } = await worldWith(["one", "two", "three"]);
		await using _ = world;
		const before = await layers();
		expect(await ended(world, await askDeletion(world, snapshots[at] ?? ""))).toEqual(["succeeded", null]);
		// The layer above it went down into its place.
		expect(await layers()).toEqual(before.toSpliced(2 - at, 1));
		await inStep();
		expect(calls()).not.toContain("pause");
		expect(await world.problems()).toEqual([]);
	});

test("one after the other until there are none: the disk is the file that it was", async () => {
	const { world, snapshots, layers, inStep, power } = await worldWith(["one", "two", "three"]);
	await using _ = world;
	const before = await layers();
	for (const id of snapshots) expect(await ended(world, await askDeletion(world, id))).toEqual(["succeeded", null]);
	expect(await layers()).toEqual(before.slice(-1));
	await inStep();
	expect([power(), world.store.all("snapshot")]).toEqual(["running", []]);
	expect(await world.problems()).toEqual([]);
});

test("a VM that a person has paused stays so", async () => {
	const { world, id, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	await world.act("vm.pause", id);
	await world.settle();
	expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["succeeded", null]);
	await inStep();
	expect(power()).toBe("paused");
	expect(await world.problems()).toEqual([]);
});

test("the VM is stopped in the middle, which does not wait: its pool does the rest", async () => {
	const { world, id, volumeId, snapshots, power } = await worldWith(["one"]);
	await using _ = world;
	world.hypervisor.blockJobsHeld = true;
	const task = await askDeletion(world, snapshots[0] ?? "");
	await world.settleLoops();
	expect(await world.hypervisor.blockJobs(id)).toMatchObject([{ kind: "active-commit" }]);
	const stop = await world.act("vm.stop", id);
	expect(await ended(world, stop)).toEqual(["succeeded", null]);
	expect([await ended(world, task), power()]).toEqual([["succeeded", null], "stopped"]);
	expect(world.pool.volumes.get(volumeId)?.snapshots).toEqual([]);
	expect(world.driver.calls).toContain("snapshots.delete");
	expect(await world.problems()).toEqual([]);
});

for (const when of ["before", "after"] as const)
	test(`QEMU fails, the answer being lost ${when} it is done: the guest goes on`, async () => {
		const { world, snapshots, inStep, power } = await worldWith(["one"]);
		await using _ = world;
		world.hypervisor.faults.fail("commitDisk", new AppError("hypervisor", "no"), { when });
		const task = await askDeletion(world, snapshots[0] ?? "");
		const done = when === "after";
		expect(await ended(world, task)).toEqual(done ? ["succeeded", null] : ["failed", "hypervisor"]);
		await inStep();
		expect(power()).toBe("running");
		if (!done) {
			expect(snapshotIn(world, snapshots[0] ?? "")).toMatchObject({ phase: "error", error: { code: "hypervisor" } });
			expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["succeeded", null]);
			await inStep();
		}
		expect(await world.problems()).toEqual([]);
	});

test("a full pool is said, and the snapshot can be deleted once there is room", async () => {
	const { world, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	const { totalBytes } = world.pool;
	world.pool.totalBytes = world.pool.usedBytes();
	world.hypervisor.faults.fail("commitDisk", new AppError("hypervisor", "It ended before it was done."));
	expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["failed", "no-space"]);
	await inStep();
	expect(power()).toBe("running");
	world.pool.totalBytes = totalBytes;
	expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["succeeded", null]);
	await inStep();
	expect(await world.problems()).toEqual([]);
});

test("the pool does not take down that QEMU has gone over: the guest goes on only once it has", async () => {
	const { world, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	world.driver.failNext("snapshots.finishLiveDelete", new AppError("storage", "broken"));
	const task = await askDeletion(world, snapshots[0] ?? "");
	await world.settle();
	expect(world.taskOf(task).state).toBe("succeeded");
	await inStep();
	expect(power()).toBe("running");
	expect(await world.problems()).toEqual([]);
});

test("canceled: the disk is what it was, and what is left of the snapshot can be deleted", async () => {
	const { world, id, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	world.hypervisor.blockJobsHeld = true;
	const task = await askDeletion(world, snapshots[0] ?? "");
	await world.settleLoops();
	await world.propose({ kind: "taskCancel", id: task });
	expect(await ended(world, task)).toEqual(["canceled", null]);
	expect([await world.hypervisor.blockJobs(id), power()]).toEqual([[], "running"]);
	await inStep();
	expect(snapshotIn(world, snapshots[0] ?? "").phase).toBe("error");
	world.hypervisor.blockJobsHeld = false;
	expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["succeeded", null]);
	await inStep();
	expect(await world.problems()).toEqual([]);
});

test("killed with the guest standing still, and its task ended meanwhile: the next process lets it go on, with the disk in step", async () => {
	const { world, id, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	const release = world.driver.hold("snapshots.finishLiveDelete");
	const task = await askDeletion(world, snapshots[0] ?? "");
	await world.settleLoops();
	expect((await world.hypervisor.getDomain(id))?.powerState).toBe("paused");
	world.kill();
	release();
	const error = { code: "canceled", message: "Canceled while its node was not heard of." } as const;
	await world.propose({ kind: "taskUpdate", id: task, state: "canceled", error });
	await world.boot();
	await world.settle({ stepMs: 5_000, limitMs: 200_000 });
	await inStep();
	expect(power()).toBe("running");
});

test("the pool cannot take down for long that QEMU has gone over: the guest waits, and whoever resumes it has that done first", async () => {
	const { world, id, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	for (let times = 0; times < 3; times++)
		world.driver.failNext("snapshots.finishLiveDelete", new AppError("storage", "broken"));
	expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["failed", "storage"]);
	await world.until(() => power() === "paused", { stepMs: 31_000, limitMs: 31_000 });
	expect(world.driver.forgetFailures("snapshots.finishLiveDelete")).toBe(1);
	world.driver.failNext("snapshots.finishLiveDelete", new AppError("storage", "broken"));
	expect(await ended(world, await world.act("vm.resume", id))).toEqual(["failed", "storage"]);
	expect(power()).toBe("paused");
	expect(await ended(world, await world.act("vm.resume", id))).toEqual(["succeeded", null]);
	await inStep();
	expect(await ended(world, await askDeletion(world, snapshots[0] ?? ""))).toEqual(["succeeded", null]);
	expect(power()).toBe("running");
	expect(await world.problems()).toEqual([]);
});

test("libvirt is restarted in the middle: QEMU's work is adopted, and the disk goes over once it is back", async () => {
	const { world, id, snapshots, inStep, power } = await worldWith(["one"]);
	await using _ = world;
	world.hypervisor.blockJobsHeld = true;
	const task = await askDeletion(world, snapshots[0] ?? "");
	await world.settleLoops();
	world.hypervisor.setConnection("disconnected", "restarted");
	await world.settleLoops();
	world.clock.advance(1_000);
	world.hypervisor.setConnection("connected");
	await world.settleLoops();
	expect(await world.hypervisor.blockJobs(id)).toHaveLength(1);
	world.hypervisor.endBlockJob(id, "disk-0", "done");
	expect(await ended(world, task)).toEqual(["succeeded", null]);
	await inStep();
	expect(power()).toBe("running");
	expect(await world.problems()).toEqual([]);
});

test("a node that stops while the guest stands still lets it go on first", async () => {
	const { world, id, snapshots, inStep } = await worldWith(["one"]);
	await using _ = world;
	const release = world.driver.hold("snapshots.finishLiveDelete");
	await askDeletion(world, snapshots[0] ?? "");
	await world.settleLoops();
	expect((await world.hypervisor.getDomain(id))?.powerState).toBe("paused");
	const stopped = world.node?.stop();
	await world.settleLoops();
	release();
	await world.settleLoops();
	await stopped;
	await inStep();
	expect((await world.hypervisor.getDomain(id))?.powerState).toBe("running");
});

test("the host loses power with the guest standing still: either file is the disk, and the pool ends it", async () => {
	const { world, id, volumeId, snapshots, power } = await worldWith(["one"]);
	await using _ = world;
	const release = world.driver.hold("snapshots.finishLiveDelete");
	const task = await askDeletion(world, snapshots[0] ?? "");
	await world.settleLoops();
	world.powerCut();
	release();
	await world.boot();
	expect(await ended(world, task)).toEqual(["succeeded", null]);
	expect([power(), world.pool.volumes.get(volumeId)?.snapshots]).toEqual(["stopped", []]);
	expect(world.driver.calls).not.toContain("snapshots.finishLiveDelete");
	await world.act("vm.start", id);
	await world.settle();
	expect(power()).toBe("running");
	expect(await world.problems()).toEqual([]);
});
