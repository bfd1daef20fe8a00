/** Rules of snapshots of VMs, as the store applies them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import type { PoolCapabilities } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import type { Vm, VmSpec } from "../../model/vm.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureMember,
	fixturePool,
	fixtureSnapshot,
	fixtureTask,
	fixtureTime,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

let store: MemoryStore;
let next = 0x1000;
const vmId = fixtureId(0x100);
const [first, second] = [fixtureId(0x200), fixtureId(0x201)];
const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string, message = "") =>
	expect(apply(body)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
const task = (kind: Task["kind"], target: "vm" | "volume" = "vm", id = vmId): Task =>
	fixtureTask(kind, { kind: target, id }, { id: fixtureId(next++) });
const disk = (volumeId: string, at: number, readOnly = false): VmSpec["disks"][number] => ({
	...{ id: `disk-${at}`, volumeId, bus: "virtio", cache: "none", discard: true, readOnly },
});
const finishTasks = async () => {
	for (const { id } of store.all("task", { state: ["pending", "running"] }))
		await apply({ kind: "taskUpdate", id, state: "succeeded" });
};
const report = (status: Partial<Vm["status"]>) =>
	apply({ kind: "vmStatus", id: vmId, nodeId: clusterIds.node, status: fixtureVmStatus(status) });
const capabilities = (snapshots: boolean): PoolCapabilities => ({
	...{ formats: ["qcow2"], copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false, snapshots },
	...{ images: true, shared: false, reasons: snapshots ? {} : { snapshots: "No room for layers." } },
});
const poolSays = (snapshots: boolean) =>
	apply({
		kind: "poolNodeStatus",
		id: clusterIds.pool,
		status: {
			...{ nodeId: clusterIds.node, health: "healthy", reason: null, capabilities: capabilities(snapshots) },
			...{ totalBytes: 1, usedBytes: 0, availableBytes: 1, updatedAt: fixtureTime },
		},
	});

beforeEach(async () => {
	store = await openMemoryStore({ commands: [fixtureCluster()] });
	const volumes = [fixtureVolume({ id: first, name: "one" }), fixtureVolume({ id: second, name: "two" })];
	const spec = fixtureVmSpec({ disks: [disk(first, 0), disk(second, 1)] });
	await apply({ kind: "vmCreate", vm: fixtureVm({ id: vmId, name: "web", spec }), volumes, task: task("vm.create") });
	for (const { id } of volumes) await apply({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 0 });
	await finishTasks();
});
afterEach(() => store.close());

const ask = (number: number, name = `s${number}`): CommandBody => ({
	kind: "snapshotCreate",
	snapshot: fixtureSnapshot({ id: fixtureId(number), name, vmId, current: true, phase: "ready", parentId: vmId }),
	task: task("vm.snapshot"),
});
const ready = (number: number) =>
	apply({ kind: "snapshotStatus", id: fixtureId(number), phase: "ready", powerState: "stopped" });
const take = async (number: number, name?: string) => {
	await apply(ask(number, name));
	await ready(number);
	await finishTasks();
};
const snapshot = (number: number) => store.get("snapshot", fixtureId(number));
const revert = (number: number): CommandBody => ({
	...{ kind: "snapshotRevert", id: fixtureId(number), task: task("vm.revert") },
});
const remove = (number: number, merging = false): CommandBody => ({
	...{ kind: "snapshotDelete", id: fixtureId(number), task: task("snapshot.delete") },
	...(merging ? { merging } : {}),
});
const reverted = async (number: number) => {
	await apply(revert(number));
	await apply({ kind: "snapshotStatus", id: fixtureId(number), phase: "reverting" });
	await apply({ kind: "snapshotReverted", id: fixtureId(number) });
	await finishTasks();
};
const tree = () => store.all("snapshot").map(({ name, parentId, current }) => [name, nameOf(parentId), current]);
const nameOf = (id: string | null) => (id === null ? null : store.get("snapshot", id)?.name);

describe("taking one", () => {
	test("parent, disks and phase are the state's; its task is the VM's", async () => {
		const { taskId, targets } = await apply(ask(1));
		expect(targets).toEqual([{ kind: "snapshot", id: fixtureId(1) }]);
		expect(store.get("task", taskId ?? "")?.targets.map(({ kind }) => kind)).toEqual(["vm", "snapshot"]);
		expect(snapshot(1)).toMatchObject({
			...{ phase: "creating", current: false, parentId: null, powerState: null, generation: 1 },
			disks: [{ diskId: "disk-0", volumeId: first }, { volumeId: second }],
		});
	});
	test("one that is ready is where the VM is at, and the next one's parent", async () => {
		await take(1);
		await apply(ask(2));
		expect(snapshot(2)).toMatchObject({ parentId: fixtureId(1), current: false });
		await apply({ kind: "snapshotStatus", id: fixtureId(2), phase: "error", error: { code: "storage", message: "x" } });
		await finishTasks();
		expect(tree()).toEqual([
			["s1", null, true],
			["s2", "s1", false],
		]);
	});
	test("sizes are those that the node reports", async () => {
		await apply(ask(1));
		const sizes = [{ volumeId: first, sizeBytes: 5 * MiB }];
		await apply({ kind: "snapshotStatus", id: fixtureId(1), phase: "ready", sizes });
		expect(snapshot(1)?.disks.map(({ sizeBytes }) => sizeBytes)).toEqual([5 * MiB, fixtureVolume().sizeBytes]);
	});
	test("what the VM cannot write to is left out; without any disk there is nothing to keep", async () => {
		const spec = fixtureVmSpec({ disks: [disk(first, 0), disk(second, 1, true)] });
		await apply({ kind: "vmUpdate", id: vmId, spec, task: task("vm.update") });
		await take(1);
		expect(snapshot(1)?.disks).toMatchObject([{ volumeId: first }]);
		const none = fixtureVmSpec({ disks: [disk(second, 1, true)] });
		await apply({ kind: "vmUpdate", id: vmId, spec: none, task: task("vm.update") });
		await refused(ask(2), "wrong-state", "no disk");
	});
	test("names are unique in their VM", async () => {
		await take(1, "before");
		await refused(ask(2, "BEFORE"), "already-exists");
		await take(2, "after");
		await refused({ kind: "snapshotUpdate", id: fixtureId(2), name: "before" }, "already-exists");
		await apply({ kind: "snapshotUpdate", id: fixtureId(2), name: "After", description: "x", expectedGeneration: 1 });
		expect(snapshot(2)).toMatchObject({ name: "After", description: "x", generation: 2 });
		await refused({ kind: "snapshotUpdate", id: fixtureId(2), name: "y", expectedGeneration: 1 }, "stale-etag");
	});
	test("a pool that makes none says why, and which disk", async () => {
		await poolSays(false);
		await refused(ask(1), "unsupported", "The disk one lies in the storage pool");
		await refused(ask(1), "unsupported", "No room for layers.");
		expect(store.count("snapshot")).toBe(0);
		await poolSays(true);
		await take(1);
	});
	test("not while another is in work, the VM is being deleted or moved, or a disk is not ready", async () => {
		await apply(ask(1));
		await refused(ask(2), "wrong-state", "under way");
		await ready(1);
		await finishTasks();
		await apply({ kind: "volumeResize", id: first, sizeBytes: 2 ** 40, task: task("volume.resize", "volume", first) });
		await refused(ask(2), "wrong-state", "resizing");
		await apply({ kind: "volumeStatus", id: first, phase: "ready" });
		await refused(ask(2), "wrong-state", "Work on the disk one is under way");
		await finishTasks();
		await apply({ kind: "vmDelete", id: vmId, deleteVolumes: false, task: task("vm.delete") });
		await refused(ask(2), "wrong-state", "deleted");
		await apply({ kind: "vmGone", id: vmId, nodeId: clusterIds.node });
		expect(store.count("snapshot")).toBe(0);
		await refused(ask(2), "invalid", "no VM");
	});
	test("a task of another node's is refused: the VM has moved meanwhile", async () => {
		const given = ask(1);
		if (given.kind === "snapshotCreate") given.task = { ...given.task, nodeId: fixtureId(0x999) };
		await refused(given, "wrong-state", "another node");
	});
});

describe("setting the VM back", () => {
	test("moves the place that the VM is at", async () => {
		await take(1);
		await take(2);
		await reverted(1);
		await take(3);
		expect(tree()).toEqual([
			["s1", null, false],
			["s2", "s1", false],
			["s3", "s1", true],
		]);
	});
	test("only while the VM is off, and all disks are attached", async () => {
		await take(1);
		for (const powerState of ["running", "paused", "unknown"] as const) {
			await report({ powerState });
			await refused(revert(1), "wrong-state");
		}
		await report({ powerState: "stopped" });
		await apply({
			kind: "vmUpdate",
			id: vmId,
			spec: fixtureVmSpec({ disks: [disk(first, 0)] }),
			task: task("vm.update"),
		});
		await finishTasks();
		await refused(revert(1), "wrong-state", "The disk two");
	});
	test("half done, it does not start, and the snapshot stays", async () => {
		await take(1);
		await take(2);
		await apply(revert(1));
		await apply({ kind: "snapshotStatus", id: fixtureId(1), phase: "reverting" });
		await finishTasks();
		const start: CommandBody = { kind: "vmAction", id: vmId, task: task("vm.start") };
		await refused(start, "wrong-state", "s1");
		await refused(remove(1), "wrong-state", "Revert it first");
		// Another one makes it whole, too.
		await reverted(2);
		expect([snapshot(1), snapshot(2)]).toMatchObject([{ phase: "ready", current: false }, { current: true }]);
		await apply({ ...start, task: task("vm.start") });
	});
	test("half done, it is done again with the disks that the VM still has, as soon as all members know that", async () => {
		await take(1);
		const detached = fixtureVmSpec({ disks: [disk(first, 0)] });
		await apply({ kind: "vmUpdate", id: vmId, spec: detached, task: task("vm.update") });
		await finishTasks();
		const partly = { ...revert(1), partly: true } as CommandBody;
		await refused(partly, "wrong-state", "The disk two");
		await apply({ kind: "snapshotStatus", id: fixtureId(1), phase: "reverting" });
		await refused(revert(1), "wrong-state", "The disk two");
		await apply(partly);
	});
	test("a start that comes behind a revert is taken", async () => {
		await take(1);
		await apply(revert(1));
		await apply({ kind: "snapshotStatus", id: fixtureId(1), phase: "reverting" });
		await apply({ kind: "vmAction", id: vmId, task: task("vm.start") });
	});
	test("nobody reports it who was not asked", async () => {
		await take(1);
		await refused({ kind: "snapshotReverted", id: fixtureId(1) }, "wrong-state");
		await refused({ kind: "snapshotGone", id: fixtureId(1) }, "wrong-state");
		await refused({ kind: "snapshotStatus", id: fixtureId(1), phase: "deleting" }, "wrong-state");
		await refused({ kind: "snapshotStatus", id: fixtureId(1), phase: "creating" }, "wrong-state");
	});
});

describe("deleting one", () => {
	test("what came after it comes after what it came after, and the VM is at that", async () => {
		for (const number of [1, 2, 3]) await take(number);
		await apply(remove(2));
		await refused(remove(2), "wrong-state");
		await apply({ kind: "snapshotGone", id: fixtureId(2) });
		await finishTasks();
		expect(tree()).toEqual([
			["s1", null, false],
			["s3", "s1", true],
		]);
		await apply(remove(3));
		await apply({ kind: "snapshotGone", id: fixtureId(3) });
		expect(tree()).toEqual([["s1", null, true]]);
	});
	test("in files only while the VM is off, but where all members know how QEMU merges them", async () => {
		await take(1);
		await take(2);
		await report({ powerState: "running" });
		await refused(remove(1), "wrong-state", "Shut the VM down first");
		await apply(remove(1, true));
		await refused(remove(2, true), "wrong-state", "under way");
		await apply({ kind: "snapshotGone", id: fixtureId(1) });
		await finishTasks();
		await report({ powerState: "stopped" });
		await apply(remove(2));
	});
	test("where the pool has snapshots of its own, also while the VM runs", async () => {
		const config = { monitors: ["192.0.2.1"], user: "lqx", cephPool: "vms", namespace: null, dataPool: null };
		const pool = fixturePool({ id: fixtureId(0x501), name: "ceph", type: "ceph-rbd", config });
		const id = fixtureId(0x210);
		await apply({ kind: "poolCreate", pool, task: fixtureTask("pool.create", { kind: "pool", id: pool.id }) });
		const volume = fixtureVolume({ id, name: "rbd", poolId: pool.id, nodeId: null, format: "raw" });
		await apply({ kind: "volumeCreate", volume, task: task("volume.create", "volume", id) });
		await apply({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 0 });
		await finishTasks();
		await apply({ kind: "vmUpdate", id: vmId, spec: fixtureVmSpec({ disks: [disk(id, 0)] }), task: task("vm.update") });
		await finishTasks();
		await take(1);
		await report({ powerState: "running" });
		await apply(remove(1));
		// Its VM may go to another node, and they go along.
		await apply({ kind: "snapshotGone", id: fixtureId(1) });
		await finishTasks();
		await report({ powerState: "stopped" });
		await take(2);
		const [token, admit, bring, tell] = fixtureMember({ id: fixtureId(0x998), name: "node-2" }, Date.now());
		for (const body of [token, admit, bring, tell]) if (body) await apply(body);
		await apply({ kind: "poolUpdate", id: pool.id, nodeIds: [clusterIds.node, fixtureId(0x998)] });
		const move = { ...task("vm.move"), nodeId: fixtureId(0x998) };
		await apply({ kind: "vmMove", id: vmId, nodeId: fixtureId(0x998), task: move, confirmNodeOff: null });
		await refused(ask(3), "wrong-state", "moved");
	});
	test("a VM whose local disks have some does not go to another node", async () => {
		await take(1);
		for (const body of fixtureMember({ id: fixtureId(0x998), name: "node-2" }, Date.now())) await apply(body);
		const move = (): CommandBody => ({
			...{ kind: "vmMove", id: vmId, nodeId: fixtureId(0x998), confirmNodeOff: null },
			task: { ...task("vm.move"), nodeId: fixtureId(0x998) },
		});
		await refused(move(), "wrong-state", "has the snapshot s1 of the VM web");
		await apply(remove(1));
		await apply({ kind: "snapshotGone", id: fixtureId(1) });
		await finishTasks();
		await apply(move());
	});
	test("not while a volume is made of it, or rests on it", async () => {
		await take(1);
		const source = { kind: "snapshot", snapshotId: fixtureId(1), volumeId: first, fullCopy: true } as const;
		const id = fixtureId(0x210);
		const made = (changes: object) =>
			apply({
				...{ kind: "volumeCreate", volume: fixtureVolume({ id, name: "copy", source, ...changes }) },
				task: task("volume.create", "volume", id),
			});
		await expect(made({ source: { ...source, volumeId: fixtureId(0x2ff) } })).rejects.toMatchObject({
			code: "invalid",
		});
		await expect(made({ sizeBytes: MiB })).rejects.toMatchObject({ code: "invalid" });
		await made({});
		await refused(remove(1), "in-use", "copy");
		await apply({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 0 });
		// It stands alone, and the disk can be written to and resized all along.
		await apply({ kind: "volumeResize", id: first, sizeBytes: 2 ** 40, task: task("volume.resize", "volume", first) });
		await apply({ kind: "volumeStatus", id: first, phase: "ready" });
		await finishTasks();
		await apply(remove(1));
	});
});

describe("volumes and their VM", () => {
	const drop = (id: string): CommandBody => ({ kind: "volumeDelete", id, task: task("volume.delete", "volume", id) });

	test("a volume that is a part of snapshots is not deleted by itself", async () => {
		await take(1);
		await take(2);
		await apply({
			kind: "vmUpdate",
			id: vmId,
			spec: fixtureVmSpec({ disks: [disk(first, 0)] }),
			task: task("vm.update"),
		});
		await finishTasks();
		await refused(drop(second), "in-use", "s1 of the VM web and s2 of the VM web");
		for (const number of [1, 2]) {
			await apply(remove(number));
			await apply({ kind: "snapshotGone", id: fixtureId(number) });
			await finishTasks();
		}
		await apply(drop(second));
	});
	test("a VM takes its snapshots with it", async () => {
		await take(1);
		await apply({ kind: "vmDelete", id: vmId, deleteVolumes: true, task: task("vm.delete") });
		expect(store.count("snapshot")).toBe(1);
		await apply({ kind: "vmGone", id: vmId, nodeId: clusterIds.node });
		expect([store.count("snapshot"), store.count("volume")]).toEqual([0, 0]);
	});
});
