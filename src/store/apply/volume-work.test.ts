/** Volumes that go to another pool, are checked or made to stand alone: when they may, what that keeps from happening, and what is so afterwards. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Volume } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureMember,
	fixtureNfs,
	fixturePool,
	fixtureSnapshot,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const clock = new ManualClock();
let store: MemoryStore;
let nextTask = 0x1000;
const here = clusterIds.node;
const second = fixtureId(0x998);
const other = fixtureId(0x500);
const shared = fixtureId(0x501);
const elsewhere = fixtureId(0x502);
const volumeId = fixtureId(0x200);
const vmId = fixtureId(0x100);

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string, message = "") =>
	expect(apply(body)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
const taskOf = (kind: Task["kind"], changes: Partial<Task> = {}): Task =>
	fixtureTask(kind, { kind: "volume", id: volumeId }, { id: fixtureId(nextTask++), cancelable: true, ...changes });
const move = (changes: Partial<Extract<CommandBody, { kind: "volumeMove" }>> = {}): CommandBody => ({
	...{ kind: "volumeMove", id: volumeId, poolId: other, nodeId: here, format: "raw", task: taskOf("volume.move") },
	...changes,
});
const moved = (taskId: string, changes: Partial<Extract<CommandBody, { kind: "volumeMoved" }>> = {}): CommandBody => ({
	...{ kind: "volumeMoved", id: volumeId, taskId, sizeBytes: 2 ** 30, allocatedBytes: 4096 },
	discardTaskId: fixtureId(0x9000),
	...changes,
});
const moveTask = () => {
	const [task] = store.all("task", { kind: "volume.move", state: ["pending", "running"] });
	if (!task) throw new Error("nothing moves");
	return task;
};
const volume = () => store.get("volume", volumeId) as Volume;
const check = (): CommandBody => ({ kind: "volumeCheck", id: volumeId, repair: true, task: taskOf("volume.check") });
const finish = (id: string) => apply({ kind: "taskUpdate", id, state: "succeeded" });

async function create(changes: Partial<Volume> = {}): Promise<void> {
	const made = fixtureVolume({ id: volumeId, name: "data", sizeBytes: 2 ** 30, ...changes });
	const task = fixtureTask("volume.create", { kind: "volume", id: made.id }, { id: fixtureId(nextTask++) });
	await apply({ kind: "volumeCreate", volume: made, task });
	await apply({ kind: "volumeStatus", id: made.id, phase: "ready", sizeBytes: 2 ** 30, allocatedBytes: 8192 });
	await finish(task.id);
}

async function createVm(): Promise<void> {
	const disk = { id: "disk-0", volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	const task = fixtureTask("vm.create", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) });
	await apply({
		...{ kind: "vmCreate", vm: fixtureVm({ id: vmId, spec: fixtureVmSpec({ disks: [disk] }) }), volumes: [], task },
	});
	await finish(task.id);
}

beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const body of fixtureMember({ id: second, name: "node-2" }, clock.nowMs())) await apply(body);
	const pools = [
		fixturePool({ id: other, name: "other", config: { path: "/other" }, nodeIds: [here] }),
		fixturePool({ id: shared, name: "shared", type: "nfs", config: fixtureNfs, nodeIds: [here, second] }),
		fixturePool({ id: elsewhere, name: "elsewhere", config: { path: "/elsewhere" }, nodeIds: [second] }),
	];
	for (const pool of pools)
		await apply({
			...{ kind: "poolCreate", pool },
			task: fixtureTask("pool.create", { kind: "pool", id: pool.id }, { id: fixtureId(nextTask++) }),
		});
});
afterEach(() => store.close());

test("a volume is in the other pool once its node says so, whole; what it left is to be discarded", async () => {
	await apply({
		kind: "imageCreate",
		image: fixtureImage(),
		task: fixtureTask("image.import", { kind: "image", id: fixtureImage().id }, { id: fixtureId(nextTask++) }),
	});
	await create({ source: { kind: "image", imageId: fixtureImage().id, fullCopy: false } });
	await apply(move());
	expect(moveTask().input).toMatchObject({ poolId: other, nodeId: here, format: "raw", fromPoolId: clusterIds.pool });
	expect(volume()).toMatchObject({ poolId: clusterIds.pool, phase: "ready" });
	await apply(moved(moveTask().id));
	expect(volume()).toMatchObject({ poolId: other, nodeId: here, format: "raw", allocatedBytes: 4096, generation: 1 });
	expect(volume().source).toEqual({ kind: "image", imageId: fixtureImage().id, fullCopy: true });
	const discard = store.get("task", fixtureId(0x9000));
	expect(discard).toMatchObject({ kind: "volume.discard", nodeId: here, state: "pending" });
	expect(discard?.input).toEqual({ poolId: clusterIds.pool, volumeId });
	// Not back while the old content may still be deleted there.
	await finish(moveTask().id);
	await refused(move({ poolId: clusterIds.pool, format: "qcow2" }), "wrong-state", "still being removed");
	await finish(fixtureId(0x9000));
	await apply(move({ poolId: clusterIds.pool, format: "qcow2" }));
});

test("a shared pool has no node of its own", async () => {
	await create();
	await refused(move({ poolId: shared, nodeId: here, format: "qcow2" }), "invalid", "shared by");
	await apply(move({ poolId: shared, nodeId: null, format: "qcow2" }));
	await apply(moved(moveTask().id));
	expect(volume()).toMatchObject({ poolId: shared, nodeId: null, format: "qcow2" });
});

test("copies that change a shared volume's files are made by one node at a time", async () => {
	await create({ poolId: shared, nodeId: null });
	const copyOf = (id: number, nodeId: string, fullCopy = false): [CommandBody, Task] => {
		const source = { kind: "clone" as const, volumeId, fullCopy };
		const copy = fixtureVolume({ id: fixtureId(id), name: `copy-${id}`, poolId: shared, nodeId: null, source });
		const task = fixtureTask("volume.create", { kind: "volume", id: copy.id }, { id: fixtureId(nextTask++), nodeId });
		return [{ kind: "volumeCreate", volume: { ...copy, sizeBytes: 2 ** 30 }, task }, task];
	};
	const [first, task] = copyOf(0x301, here);
	await apply(first);
	await refused(copyOf(0x302, second)[0], "wrong-state", "Another node is making the copy copy-769");
	await apply(copyOf(0x303, second, true)[0]);
	await apply(copyOf(0x304, here)[0]);
	for (const id of [0x301, 0x304])
		await apply({ kind: "volumeStatus", id: fixtureId(id), phase: "ready", allocatedBytes: 0 });
	await finish(task.id);
	await apply(copyOf(0x302, second)[0]);
});

test("where it cannot go", async () => {
	await create();
	await refused(move({ poolId: clusterIds.pool }), "invalid", "is in the storage pool");
	await refused(
		move({ poolId: elsewhere, nodeId: second, task: taskOf("volume.move", { nodeId: second }) }),
		"invalid",
		"another node",
	);
	await refused(move({ poolId: elsewhere, nodeId: second }), "invalid", "");
	await create({ id: fixtureId(0x201), poolId: other });
	await refused(move(), "already-exists", "name data");
});

test("its place is kept: the name, the pool, the node of the pool", async () => {
	await create();
	await apply(move());
	await expect(create({ id: fixtureId(0x202), poolId: other, name: "Data" })).rejects.toMatchObject({
		code: "already-exists",
	});
	const pool = (kind: "pool.delete") => fixtureTask(kind, { kind: "pool", id: other }, { id: fixtureId(nextTask++) });
	await refused({ kind: "poolDelete", id: other, task: pool("pool.delete") }, "in-use", "being moved to");
	await refused({ kind: "poolUpdate", id: other, nodeIds: [second] }, "in-use", "moved to it");
	await apply({ kind: "taskUpdate", id: moveTask().id, state: "canceled" });
	await apply({ kind: "poolDelete", id: other, task: pool("pool.delete") });
});

test("nothing else happens to a volume that moves or is checked", async () => {
	for (const begin of [move, check]) {
		store.close();
		store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
		await apply({
			...{
				kind: "poolCreate",
				pool: fixturePool({ id: other, name: "other", config: { path: "/other" }, nodeIds: [here] }),
			},
			task: fixtureTask("pool.create", { kind: "pool", id: other }, { id: fixtureId(nextTask++) }),
		});
		await create();
		await apply(begin());
		await refused(move(), "wrong-state");
		await refused(check(), "wrong-state");
		await refused(
			{ kind: "volumeResize", id: volumeId, sizeBytes: 2 ** 31, task: taskOf("volume.resize") },
			"wrong-state",
		);
		await refused({ kind: "volumeDelete", id: volumeId, task: taskOf("volume.delete") }, "wrong-state");
		await refused({ kind: "volumeUpdate", id: volumeId, name: "new" }, "wrong-state");
		await expect(createVm()).rejects.toMatchObject({ code: "wrong-state" });
		const clone = { id: fixtureId(0x203), name: "copy", source: { kind: "clone", volumeId, fullCopy: true } } as const;
		await expect(create(clone)).rejects.toMatchObject({ code: "wrong-state" });
	}
});

test("copies that share its data keep it where it is", async () => {
	await create();
	await create({ id: fixtureId(0x203), name: "copy", source: { kind: "clone", volumeId, fullCopy: false } });
	await refused(move(), "in-use", "share data");
});

test("snapshots keep it where it is, and so does work on them", async () => {
	await create();
	await createVm();
	const task = (kind: "vm.snapshot" | "snapshot.delete") => {
		const target =
			kind === "vm.snapshot" ? { kind: "vm" as const, id: vmId } : { kind: "snapshot" as const, id: snapshot };
		return fixtureTask(kind, target, { id: fixtureId(nextTask++) });
	};
	const snapshot = fixtureId(0x280);
	const begun = task("vm.snapshot");
	await apply({ kind: "snapshotCreate", snapshot: fixtureSnapshot({ id: snapshot, vmId }), task: begun });
	await refused(move(), "in-use", "snapshot");
	await apply({ kind: "snapshotStatus", id: snapshot, phase: "ready", powerState: "stopped" });
	await finish(begun.id);
	await refused(move(), "in-use", "Delete its snapshots first");
	await apply({ kind: "snapshotDelete", id: snapshot, task: task("snapshot.delete") });
	await apply({ kind: "snapshotGone", id: snapshot });
	for (const { id } of store.all("task", { state: ["pending", "running"] })) await finish(id);
	await apply(move());
});

test("only an unfinished move moves it, and only its own", async () => {
	await create();
	await refused(moved(fixtureId(0xaaaa)), "not-found");
	await apply(move());
	const { id } = moveTask();
	await apply({ kind: "taskUpdate", id, state: "canceled" });
	await refused(moved(id), "wrong-state", "Nobody asked");
	await apply(move());
	await refused(moved(id), "wrong-state", "Nobody asked");
	await refused(moved(store.all("task", { kind: "volume.create" })[0]?.id ?? ""), "wrong-state", "Nobody asked");
});

test("a disk that moves stays with its VM; deleting the VM calls the move off", async () => {
	await create();
	await createVm();
	await apply(move());
	const update = { kind: "vmUpdate", id: vmId, spec: fixtureVmSpec() } as const;
	await refused(
		{ ...update, task: fixtureTask("vm.update", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) }) },
		"wrong-state",
		"being moved",
	);
	await apply({
		kind: "vmDelete",
		id: vmId,
		deleteVolumes: true,
		task: fixtureTask("vm.delete", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) }),
	});
	expect(moveTask().cancelRequested).toBe(true);
	await refused(moved(moveTask().id), "wrong-state", "deleting");
});

test("a VM whose node is off is not taken over while its disk goes over, and its move ends otherwise", async () => {
	await create({ poolId: shared, nodeId: null });
	await createVm();
	const far = fixtureId(0x503);
	const pool = fixturePool({
		id: far,
		name: "far",
		type: "nfs",
		config: { ...fixtureNfs, exportPath: "/far" },
		nodeIds: [here, second],
	});
	await apply({
		kind: "poolCreate",
		pool,
		task: fixtureTask("pool.create", { kind: "pool", id: far }, { id: fixtureId(nextTask++) }),
	});
	await apply(move({ poolId: far, nodeId: null, format: "qcow2" }));
	const { id } = moveTask();
	await apply({ kind: "taskUpdate", id, state: "running", cancelable: false });
	await apply({ kind: "nodeLost", id: here, reason: "away", lost: true });
	const takeOver = (): CommandBody => ({
		...{ kind: "vmMove", id: vmId, nodeId: second, confirmNodeOff: "node-1", onlyLost: true },
		task: fixtureTask("vm.move", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++), nodeId: second }),
	});
	await refused(takeOver(), "wrong-state", "going over");
	await refused({ kind: "taskCancel", id, endIfLost: true }, "wrong-state");
	await apply({ kind: "taskUpdate", id, state: "running", cancelable: true });
	await apply(takeOver());
	expect(store.get("task", id)?.state).toBe("canceled");
	expect(store.get("vm", vmId)?.nodeId).toBe(second);
});

test("what a volume takes by now is noted while it is ready in that pool, and of others nothing", async () => {
	await create();
	const usage = (poolId: string, allocatedBytes: number) =>
		apply({
			kind: "volumeUsage",
			poolId,
			volumes: [
				{ id: fixtureId(0x777), allocatedBytes },
				{ id: volumeId, allocatedBytes },
			],
		});
	const { poolId, generation } = volume();
	await usage(poolId, 5000);
	expect(volume()).toMatchObject({ allocatedBytes: 5000, phase: "ready" });
	await usage(other, 6000);
	expect(volume().allocatedBytes).toBe(5000);
	await apply({ kind: "volumeResize", id: volumeId, sizeBytes: 2 ** 31, task: taskOf("volume.resize") });
	await usage(poolId, 7000);
	expect(volume()).toMatchObject({ allocatedBytes: 5000, phase: "resizing", generation });
});
