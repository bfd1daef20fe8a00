/** Snapshots of VMs on a simulated node: taken of what runs and what does not, reverted to, deleted; and what becomes of failures. */
import { expect, test } from "bun:test";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { diskOf, NodeWorld } from "../testing/node/node-world.ts";
import { askDeletion, askRevert, askSnapshot, snapshotIn, takeSnapshot } from "../testing/node/snapshot-deeds.ts";
import { secondPool } from "../testing/node/storage-deeds.ts";

/** `kinds`: in how many pools its disks are. `own`: the second one makes snapshots that are no layers. */
async function worldWith(start: boolean, kinds = 1, own = false) {
	const world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const other = kinds > 1 ? await secondPool(world) : clusterIds.pool;
	const secondOne = world.pools.get(other);
	if (own && secondOne) {
		secondOne.snapshotsAreLayers = false;
		await world.boot();
		await world.settle();
	}
	const made = await world.createVm({ name: "vm", volumes: [{}, { poolId: other }], start });
	await world.settle();
	const [first = "", second = ""] = made.volumeIds;
	const pools = [world.pool, world.pools.get(other) ?? world.pool];
	const write = (byte: number) => {
		for (const [at, id] of [first, second].entries())
			pools[at]?.volumes.get(id)?.content.write(0, new Uint8Array(8).fill(byte));
	};
	const content = () => [first, second].map((id, at) => pools[at]?.volumes.get(id)?.content.read(0, 1)[0]);
	const power = () => world.vm(made.id).status.powerState;
	return { world, id: made.id, first, second, other, write, content, power };
}

const layersOf = async (world: NodeWorld, id: string) =>
	(await world.hypervisor.diskLayers(id)).map(({ layers }) => layers);

test("a running VM: its disks in two pools are kept at one moment, and it goes on in other files", async () => {
	const { world, id, first, second, write, power } = await worldWith(true, 2);
	await using _ = world;
	const [before] = await layersOf(world, id);
	write(1);
	world.hypervisor.calls.length = 0;
	const snapshot = await takeSnapshot(world, id, "one");
	const calls = world.hypervisor.calls.map((call) => call.split(" ")[0]);
	const order = ["pause", "switchDisks", "resume"].map((call) => calls.indexOf(call));
	expect(order).toEqual([...order].sort((a, b) => a - b));
	expect(order).not.toContain(-1);
	expect(power()).toBe("running");
	expect(snapshotIn(world, snapshot)).toMatchObject({
		...{ phase: "ready", current: true, parentId: null, powerState: "running", consistency: "crash", error: null },
		disks: [
			{ diskId: "disk-0", volumeId: first, sizeBytes: 64 * MiB },
			{ diskId: "disk-1", volumeId: second, sizeBytes: 64 * MiB },
		],
	});
	const after = await layersOf(world, id);
	expect(after[0]?.slice(1)).toEqual(before ?? []);
	expect(after.map(([top]) => top)).toEqual([
		world.pool.volumes.get(first)?.path as string,
		[...world.pools.values()].flatMap((pool) => pool.volumes.get(second)?.path ?? [])[0] as string,
	]);
	expect(world.vm(id)).toMatchObject({ desiredPower: "running", status: { error: null, pendingRestart: false } });
	expect(await world.problems()).toEqual([]);
});

test("a disk whose pool has snapshots of its own stays where it is, beside one that goes on in another file", async () => {
	const { world, id, second, other, write, content, power } = await worldWith(true, 2, true);
	await using _ = world;
	const before = await layersOf(world, id);
	write(1);
	const one = await takeSnapshot(world, id, "one");
	write(2);
	const after = await layersOf(world, id);
	expect([after[0]?.length, after[1]]).toEqual([2, before[1] ?? []]);
	expect(world.pools.get(other)?.volumes.get(second)?.snapshots).toHaveLength(1);
	// Taken back, each in its way.
	world.hypervisor.faults.fail("switchDisks", new AppError("hypervisor", "no"));
	const asked = await askSnapshot(world, id, "two");
	await world.settle();
	expect([world.taskOf(asked.taskId).state, power()]).toEqual(["failed", "running"]);
	for (const pool of world.pools.values())
		for (const volume of pool.volumes.values()) expect(volume.snapshots.map((kept) => kept.id)).toEqual([one]);
	expect(await layersOf(world, id)).toEqual(after);
	await world.act("vm.stop", id);
	await world.settle();
	expect((await ended(world, await askRevert(world, one)))[0]).toBe("succeeded");
	expect(content()).toEqual([1, 1]);
	expect(await world.problems()).toEqual([]);
});

test("a VM that is paused, or off, stays so", async () => {
	const { world, id, power } = await worldWith(true);
	await using _ = world;
	await world.act("vm.pause", id);
	await world.settle();
	const paused = await takeSnapshot(world, id, "paused");
	expect([power(), snapshotIn(world, paused).powerState]).toEqual(["paused", "paused"]);
	await world.act("vm.stop", id);
	await world.settle();
	const off = await takeSnapshot(world, id, "off");
	expect([power(), snapshotIn(world, off)]).toMatchObject([
		"stopped",
		{ powerState: "stopped", current: true, parentId: paused },
	]);
	await world.act("vm.start", id);
	await world.settle();
	expect(power()).toBe("running");
	expect((await layersOf(world, id))[0]).toHaveLength(3);
	expect(await world.problems()).toEqual([]);
});

test("back and forth between snapshots: content, sizes, UEFI variables, and where the VM is at", async () => {
	const { world, id, first, write, content, power } = await worldWith(false);
	await using _ = world;
	const nvram = join(world.dataDir, "vms", id, "nvram.fd");
	const variables = async (text: string) => {
		await mkdir(dirname(nvram), { recursive: true });
		await writeFile(nvram, text);
	};
	write(1);
	await variables("one");
	const one = await takeSnapshot(world, id, "one");
	write(2);
	await variables("two");
	const task = world.task("volume.resize", first, { sizeBytes: 128 * MiB });
	await world.propose({ kind: "volumeResize", id: first, sizeBytes: 128 * MiB, task });
	await world.settle();
	const two = await takeSnapshot(world, id, "two");
	write(3);

	expect(await ended(world, await askRevert(world, one))).toEqual(["succeeded", null]);
	expect(content()).toEqual([1, 1]);
	expect(world.volume(first).sizeBytes).toBe(64 * MiB);
	expect(await readFile(nvram, "utf8")).toBe("one");
	expect([snapshotIn(world, one).current, snapshotIn(world, two).current]).toEqual([true, false]);
	expect(await ended(world, await askRevert(world, two))).toEqual(["succeeded", null]);
	expect(content()).toEqual([2, 2]);
	expect(world.volume(first).sizeBytes).toBe(128 * MiB);
	expect(await readFile(nvram, "utf8")).toBe("two");
	expect(snapshotIn(world, two)).toMatchObject({ current: true, phase: "ready" });

	expect(await ended(world, await askDeletion(world, one))).toEqual(["succeeded", null]);
	expect(world.store.get("snapshot", one)).toBeNull();
	expect(snapshotIn(world, two)).toMatchObject({ current: true, parentId: null });
	expect(world.pool.volumes.get(first)?.snapshots.map((left) => left.id)).toEqual([two]);
	await expect(readFile(join(dirname(nvram), "snapshots", one, "nvram"))).rejects.toMatchObject({ code: "ENOENT" });
	expect([content(), power()]).toEqual([[2, 2], "stopped"]);
	expect(await world.problems()).toEqual([]);
});

test("a copy of UEFI variables that was lost is said, and the disks go back all the same", async () => {
	const { world, id, write, content } = await worldWith(false);
	await using _ = world;
	await world.update(id, (spec) => ({ ...spec, firmware: "uefi" }));
	await world.settle();
	write(1);
	const one = await takeSnapshot(world, id, "one");
	write(2);
	await rm(join(world.dataDir, "vms", id, "snapshots"), { recursive: true });
	const [state, message] = await ended(world, await askRevert(world, one));
	expect([state, content()]).toEqual(["succeeded", [1, 1]]);
	expect(message).toContain("UEFI variables");
});

for (const which of ["first", "second"] as const)
	test(`the ${which} disk's pool refuses: nothing is taken, and the VM goes on where it was`, async () => {
		const { world, id, other, power } = await worldWith(true, 2);
		await using _ = world;
		const before = await layersOf(world, id);
		const poolId = which === "first" ? clusterIds.pool : other;
		world.drivers.get(poolId)?.failNext("snapshots.take", new AppError("no-space", "The pool is full."));
		const asked = await askSnapshot(world, id, "one");
		await world.settle();
		expect(world.taskOf(asked.taskId)).toMatchObject({ state: "failed", error: { code: "no-space" } });
		expect(snapshotIn(world, asked.id)).toMatchObject({ phase: "error", current: false, error: { code: "no-space" } });
		expect([power(), await layersOf(world, id)]).toEqual(["running", before]);
		for (const pool of world.pools.values())
			for (const volume of pool.volumes.values()) expect(volume.snapshots).toEqual([]);
		// Its record goes as any other, and its name is free again.
		expect(await ended(world, await askDeletion(world, asked.id))).toEqual(["succeeded", null]);
		expect(world.store.get("snapshot", asked.id)).toBeNull();
		expect(await world.problems()).toEqual([]);
	});

test("QEMU does not go over to the new files: all is taken back, and the VM goes on where it was", async () => {
	const { world, id, power } = await worldWith(true);
	await using _ = world;
	const before = await layersOf(world, id);
	world.hypervisor.faults.fail("switchDisks", new AppError("hypervisor", "no"));
	const asked = await askSnapshot(world, id, "one");
	await world.settle();
	expect(world.taskOf(asked.taskId).state).toBe("failed");
	expect([power(), await layersOf(world, id)]).toEqual(["running", before]);
	for (const volume of world.pool.volumes.values()) expect(volume.snapshots).toEqual([]);
	// It can be taken again.
	await takeSnapshot(world, id, "two");
	expect(await world.problems()).toEqual([]);
});

test("the answer of the switch is lost: it is found that it was done", async () => {
	const { world, id, power } = await worldWith(true);
	await using _ = world;
	world.hypervisor.faults.fail("switchDisks", new AppError("unavailable", "gone"), { when: "after" });
	const asked = await askSnapshot(world, id, "one");
	await world.settle();
	expect([power(), (await layersOf(world, id))[0]?.length]).toEqual(["running", 2]);
	const { phase } = snapshotIn(world, asked.id);
	expect(["ready", "error"]).toContain(phase);
	expect(world.taskOf(asked.taskId).state).toBe(phase === "ready" ? "succeeded" : "failed");
});

test("libvirt is away in the middle: it is waited for, and the VM goes on", async () => {
	const { world, id, power } = await worldWith(true);
	await using _ = world;
	const held = world.hypervisor.faults.hold("switchDisks");
	const asked = await askSnapshot(world, id, "one");
	await held.reached;
	world.hypervisor.setConnection("disconnected", "restarted");
	held.release();
	await world.clock.advance(1_000);
	world.hypervisor.setConnection("connected");
	await world.settle();
	expect(world.taskOf(asked.taskId)).toMatchObject({ state: "succeeded" });
	expect([power(), snapshotIn(world, asked.id).phase]).toEqual(["running", "ready"]);
	expect(await world.problems()).toEqual([]);
});

test("a task that was ended while the node was away: the next process lets the VM go on, and says so", async () => {
	const { world, id, power } = await worldWith(true);
	await using _ = world;
	const before = await layersOf(world, id);
	const held = world.hypervisor.faults.hold("switchDisks");
	const asked = await askSnapshot(world, id, "one");
	await held.reached;
	world.kill();
	held.release();
	const error = { code: "canceled", message: "Canceled while its node was not heard of." } as const;
	await world.propose({ kind: "taskUpdate", id: asked.taskId, state: "canceled", error });
	expect((await world.hypervisor.getDomain(id))?.powerState).toBe("paused");
	await world.boot();
	await world.settle();
	expect([power(), snapshotIn(world, asked.id).phase]).toEqual(["running", "error"]);
	// Either way QEMU writes to what the pools say.
	const layers = await layersOf(world, id);
	const own = [...world.pool.volumes.values()].map(({ path }) => path);
	expect(layers.map(([top]) => top)).toEqual(own);
	expect(before.map((one) => one.at(-1))).toEqual(layers.map((one) => one.at(-1)));
	expect(await world.problems()).toEqual([]);
});

/** Its second disk is not set back. */
async function halfReverted() {
	const made = await worldWith(false, 2);
	const { world, id, write, other } = made;
	write(1);
	const one = await takeSnapshot(world, id, "one");
	write(2);
	world.drivers.get(other)?.failNext("snapshots.revert", new AppError("storage", "broken"));
	expect((await ended(world, await askRevert(world, one)))[0]).toBe("failed");
	return { ...made, one };
}

test("a revert that fails at its second disk keeps the VM from starting until one has worked", async () => {
	const { world, id, one, content, power } = await halfReverted();
	await using _ = world;
	expect(snapshotIn(world, one)).toMatchObject({ phase: "reverting", error: { message: "broken" } });
	expect(content()).toEqual([1, 2]);
	await expect(world.act("vm.start", id)).rejects.toMatchObject({ code: "wrong-state" });
	expect((await ended(world, await askRevert(world, one)))[0]).toBe("succeeded");
	expect(content()).toEqual([1, 1]);
	await world.act("vm.start", id);
	await world.settle();
	expect(power()).toBe("running");
	expect(await world.problems()).toEqual([]);
});

test("a disk that is taken from a VM that is half set back is left alone, and the VM is whole without it", async () => {
	const { world, id, one, second, content } = await halfReverted();
	await using _ = world;
	await world.update(id, (spec) => ({ ...spec, disks: spec.disks.filter(({ volumeId }) => volumeId !== second) }));
	const left = `Not set back, because the VM has them no more: "${world.volume(second).name}".`;
	expect(await ended(world, await askRevert(world, one))).toEqual(["succeeded", left]);
	expect([snapshotIn(world, one).phase, content()]).toEqual(["ready", [1, 2]]);
	expect((await ended(world, await world.act("vm.start", id)))[0]).toBe("succeeded");
});

test("a revert whose first disk is in use has changed nothing", async () => {
	const { world, id, write, content } = await worldWith(false);
	await using _ = world;
	write(1);
	const one = await takeSnapshot(world, id, "one");
	write(2);
	world.driver.failNext("snapshots.revert", new AppError("in-use", "open"));
	expect((await ended(world, await askRevert(world, one)))[0]).toBe("failed");
	expect([snapshotIn(world, one).phase, content()]).toEqual(["ready", [2, 2]]);
});

test("a deletion that fails on its way leaves no snapshot that looks whole, and can be done again", async () => {
	const { world, id, other } = await worldWith(false, 2);
	await using _ = world;
	const one = await takeSnapshot(world, id, "one");
	world.driver.failNext("snapshots.delete", new AppError("in-use", "A copy rests on it."));
	expect((await ended(world, await askDeletion(world, one)))[0]).toBe("failed");
	expect(snapshotIn(world, one)).toMatchObject({ phase: "ready", error: null });
	world.drivers.get(other)?.failNext("snapshots.delete", new AppError("in-use", "A copy rests on it."));
	expect((await ended(world, await askDeletion(world, one)))[0]).toBe("failed");
	expect(snapshotIn(world, one)).toMatchObject({ phase: "error", error: { code: "in-use" } });
	expect((await ended(world, await askDeletion(world, one)))[0]).toBe("succeeded");
	expect(world.store.all("snapshot")).toEqual([]);
	expect(await world.problems()).toEqual([]);
});

test("a VM goes with its snapshots, also from the volumes that stay", async () => {
	for (const deleteVolumes of [true, false]) {
		const { world, id, first } = await worldWith(true);
		await using _ = world;
		await takeSnapshot(world, id, "one");
		await takeSnapshot(world, id, "two");
		await world.deleteVm(id, deleteVolumes);
		await world.settle();
		expect([world.store.count("vm"), world.store.count("snapshot")]).toEqual([0, 0]);
		if (deleteVolumes) expect(world.pool.volumes.size).toBe(0);
		else expect(world.pool.volumes.get(first)?.snapshots).toEqual([]);
		expect(await world.problems()).toEqual([]);
	}
});

test("a disk that a snapshot of another VM holds stays when the VM that has it now goes", async () => {
	const { world, id, first } = await worldWith(false);
	await using _ = world;
	await takeSnapshot(world, id, "one");
	await world.update(id, (spec) => ({ ...spec, disks: spec.disks.filter(({ volumeId }) => volumeId !== first) }));
	const disks = [diskOf(first, 0)];
	const next = await world.createVm({ name: "next", start: false });
	await world.settle();
	await world.update(next.id, (spec) => ({ ...spec, disks }));
	await world.settle();
	const said = `Volume "${world.volume(first).name}" stays: It is a part of the snapshot "one" of VM "vm".`;
	expect(await ended(world, await world.deleteVm(next.id))).toEqual(["succeeded", said]);
	expect(world.volume(first)).toMatchObject({ phase: "ready", vmId: null });
	expect(await world.problems()).toEqual([]);
});

test("a snapshot that a pool keeps although its VM goes is said; the other disks' go", async () => {
	const { world, id, first, second, other } = await worldWith(false, 2);
	await using _ = world;
	await takeSnapshot(world, id, "one");
	world.driver.failNext("snapshots.delete", new AppError("storage", "No."));
	const said = `The snapshot "one" of disk "${world.volume(first).name}" stays in its pool: No.`;
	expect(await ended(world, await world.deleteVm(id, false))).toEqual(["succeeded", said]);
	expect(world.pool.volumes.get(first)?.snapshots).toHaveLength(1);
	expect(world.pools.get(other)?.volumes.get(second)?.snapshots).toEqual([]);
});

test("a volume made of a disk in a snapshot has what was there then, while the VM runs", async () => {
	const { world, id, first, write } = await worldWith(true);
	await using _ = world;
	write(1);
	const snapshotId = await takeSnapshot(world, id, "one");
	write(2);
	for (const fullCopy of [false, true]) {
		const source = { kind: "snapshot", snapshotId, volumeId: first, fullCopy } as const;
		const copy = await world.createVolume({ name: `copy-${fullCopy}`, source });
		await world.settle();
		expect(world.taskOf(copy.taskId).state).toBe("succeeded");
		expect(world.pool.volumes.get(copy.id)?.content.read(0, 1)[0]).toBe(1);
	}
	await expect(askDeletion(world, snapshotId)).rejects.toMatchObject({ code: "in-use" });
});

test("of a running VM a snapshot in files stays while a member does not know how it goes, and the refusal says why", async () => {
	const { world, id } = await worldWith(true);
	await using _ = world;
	const one = await takeSnapshot(world, id, "one");
	await expect(askDeletion(world, one, { merging: false })).rejects.toMatchObject({ code: "wrong-state" });
	await world.act("vm.stop", id);
	await world.settle();
	expect(await ended(world, await askDeletion(world, one))).toEqual(["succeeded", null]);
});

/** How the task ended, once all has come to rest. */
async function ended(world: NodeWorld, taskId: string): Promise<[string, string | null]> {
	await world.settle();
	const { state, message } = world.taskOf(taskId);
	return [state, message];
}
