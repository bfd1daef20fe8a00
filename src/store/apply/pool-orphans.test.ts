/** Content that no record names: who may delete it or make a volume of it, and what one keeps from the other. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Task } from "../../model/task.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureMember,
	fixtureNfs,
	fixturePool,
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
const shared = fixtureId(0x501);
const [stray, image, snapshotId] = [fixtureId(0x901), fixtureId(0x903), fixtureId(0x911)];

type Of<K extends CommandBody["kind"]> = Partial<Extract<CommandBody, { kind: K }>>;
const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string, message = "") =>
	expect(apply(body)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
const taskOf = (kind: Task["kind"], id: string, changes: Partial<Task> = {}): Task => {
	const target = { kind: kind.slice(0, kind.indexOf(".")) as "pool" | "volume" | "vm", id };
	return fixtureTask(kind, target, { id: fixtureId(nextTask++), cancelable: true, ...changes });
};
const deletion = (
	changes: Of<"poolOrphanDelete"> = {},
	nodeId = here,
): Extract<CommandBody, { kind: "poolOrphanDelete" }> => {
	const id = changes.id ?? clusterIds.pool;
	const task = taskOf("pool.deleteOrphans", id, { nodeId });
	return { kind: "poolOrphanDelete", id, volumeIds: [stray], imageIds: [image], task, ...changes };
};
const adoption = (changes: Parameters<typeof fixtureVolume>[0] = {}, snapshotIds?: string[]): CommandBody => {
	const volume = fixtureVolume({ id: stray, name: "rescued", ...changes });
	const task = taskOf("volume.create", stray);
	return { kind: "volumeCreate", volume, task, ...(snapshotIds === undefined ? {} : { snapshotIds }) };
};
const taskNow = (id: string) => store.get("task", id);
const unfinished = (kind: Task["kind"]) => store.all("task", { kind, state: ["pending", "running"] });

beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const command of fixtureMember({ id: second, name: "node-2" }, clock.nowMs())) await apply(command);
	const pool = fixturePool({ id: shared, name: "shared", type: "nfs", config: fixtureNfs, nodeIds: [here, second] });
	const task = taskOf("pool.create", shared);
	await apply({ kind: "poolCreate", pool, task });
	await apply({ kind: "poolUpdate", id: clusterIds.pool, nodeIds: [here, second] });
	await apply({ kind: "taskUpdate", id: task.id, state: "succeeded" });
});
afterEach(() => store.close());

test("the task says what goes; something that is an id, and no id twice", async () => {
	const asked = deletion();
	await apply(asked);
	expect(taskNow(asked.task.id)).toMatchObject({
		...{ kind: "pool.deleteOrphans", state: "pending", nodeId: here },
		input: { volumeIds: [stray], imageIds: [image] },
	});
	await refused(deletion({ volumeIds: [], imageIds: [] }), "invalid", "Nothing was chosen");
	await refused(deletion({ volumeIds: ["x"] }), "invalid");
	await refused(deletion({ volumeIds: [image, image] }), "invalid");
	await refused(deletion({ id: fixtureId(0x777) }), "not-found");
	const other = { volumeIds: [fixtureId(0x902)], imageIds: [] };
	await refused({ ...deletion(other), task: taskOf("pool.delete", clusterIds.pool) }, "invalid");
	await refused(deletion({}, fixtureId(0x777)), "invalid");
});

test("what is being deleted gets no record, and is not deleted once more, on that node", async () => {
	const asked = deletion();
	await apply(asked);
	await refused(deletion({ volumeIds: [] }), "wrong-state", "is being deleted");
	await refused(adoption({ nodeId: here }), "wrong-state", "is being deleted");
	await apply(deletion({}, second));
	await apply({ kind: "taskUpdate", id: asked.task.id, state: "succeeded" });
	await apply(adoption({ nodeId: here }));
	expect(store.get("volume", stray)?.phase).toBe("pending");
});

test("of a shared pool, on no node", async () => {
	await apply(deletion({ id: shared }, second));
	await refused(deletion({ id: shared }), "wrong-state", "is being deleted");
	await refused(adoption({ poolId: shared, nodeId: null }), "wrong-state", "is being deleted");
	// In another pool something else may lie under that id.
	await apply(adoption({ nodeId: here }));
});

test("nothing comes to where something is being deleted under its id", async () => {
	await apply(adoption({ nodeId: here }));
	const [making] = unfinished("volume.create");
	await apply({ kind: "taskUpdate", id: making?.id ?? "", state: "succeeded" });
	await apply({ kind: "volumeStatus", id: stray, phase: "ready", allocatedBytes: 4096 });
	await apply(deletion({ id: shared }, second));
	const move = taskOf("volume.move", stray);
	const there = { poolId: shared, nodeId: null, format: "raw" as const };
	await refused({ kind: "volumeMove", id: stray, ...there, task: move }, "wrong-state", "is being deleted");
	const [disk] = [
		{ id: "disk-0", volumeId: stray, bus: "virtio", cache: "none", discard: true, readOnly: false } as const,
	];
	const vm = fixtureVm({ id: fixtureId(0x100), desiredPower: "stopped", spec: fixtureVmSpec({ disks: [disk] }) });
	const made = taskOf("vm.create", vm.id);
	await apply({ kind: "vmCreate", vm, volumes: [], task: made });
	await apply({ kind: "taskUpdate", id: made.id, state: "succeeded" });
	await apply({ kind: "vmStatus", id: vm.id, nodeId: here, status: { ...vm.status, powerState: "stopped" } });
	const goes = { kind: "vmMove", id: vm.id, nodeId: second, confirmNodeOff: null } as const;
	const local = deletion({}, second);
	await apply(local);
	await refused({ ...goes, task: taskOf("vm.move", vm.id, { nodeId: second }) }, "wrong-state", "is being deleted");
	for (const { id } of unfinished("pool.deleteOrphans")) await apply({ kind: "taskUpdate", id, state: "succeeded" });
	await apply({ ...goes, task: taskOf("vm.move", vm.id, { nodeId: second }) });
});

test("a node that deletes stays a node of the pool; a pool that is deleted calls it off", async () => {
	const asked = deletion({ id: shared }, second);
	await apply(asked);
	await refused({ kind: "poolUpdate", id: shared, nodeIds: [here] }, "in-use", "is being deleted there");
	await apply({ kind: "poolDelete", id: shared, task: taskOf("pool.delete", shared) });
	expect(taskNow(asked.task.id)).toMatchObject({ state: "pending", cancelRequested: true });
	await refused(deletion({ id: shared }), "wrong-state", "is being deleted");
	await apply({ kind: "poolGone", id: shared });
	expect(taskNow(asked.task.id)?.state).toBe("canceled");
});

test("nobody ends it for a node that may be at work", async () => {
	const asked = deletion({ id: shared }, second);
	await apply(asked);
	const adopting = adoption({ nodeId: here }, [snapshotId]);
	await apply(adopting);
	for (const nodeId of [here, second]) {
		await apply({ kind: "nodeLost", id: nodeId, reason: "It is not heard of.", lost: true });
		await apply({ kind: "nodeLost", id: nodeId, reason: "It is not heard of.", lost: true });
	}
	await apply({ kind: "taskCancel", id: asked.task.id, endIfLost: true });
	expect(taskNow(asked.task.id)).toMatchObject({ state: "pending", cancelRequested: true });
	const [making] = unfinished("volume.create");
	await apply({ kind: "taskCancel", id: making?.id ?? "", endIfLost: true });
	expect(taskNow(making?.id ?? "")).toMatchObject({ state: "pending", cancelRequested: true });
});

test("adopted without its snapshots, nobody gets it before they are gone; it is of the format that is left then", async () => {
	await refused(adoption({}, []), "invalid");
	await refused(adoption({}, ["x"]), "invalid");
	await apply(adoption({ format: "qcow2" }, [snapshotId]));
	const [making] = unfinished("volume.create");
	expect(making).toMatchObject({ input: { snapshotIds: [snapshotId] }, cancelable: true });
	const disk = { id: "disk-0", volumeId: stray, bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	const vm = fixtureVm({ id: fixtureId(0x100), spec: fixtureVmSpec({ disks: [disk] }) });
	await refused({ kind: "vmCreate", vm, volumes: [], task: taskOf("vm.create", vm.id) }, "wrong-state", "adopted");
	await refused({ kind: "volumeDelete", id: stray, task: taskOf("volume.delete", stray) }, "wrong-state", "adopted");
	const ready = { phase: "ready", format: "raw", sizeBytes: 2 ** 30, allocatedBytes: 4096 } as const;
	await apply({ kind: "volumeStatus", id: stray, ...ready });
	expect(store.get("volume", stray)).toMatchObject(ready);
	const error = { code: "storage", message: "Too late." } as const;
	await refused({ kind: "volumeUnadopt", id: stray, taskId: making?.id ?? "", error }, "wrong-state");
	await apply({ kind: "taskUpdate", id: making?.id ?? "", state: "succeeded" });
	await apply({ kind: "vmCreate", vm, volumes: [], task: taskOf("vm.create", vm.id) });
});

test("given back, the record is gone, and its task has ended so", async () => {
	for (const [code, state] of [
		["canceled", "canceled"],
		["in-use", "failed"],
	] as const) {
		await apply(adoption({}, [snapshotId]));
		const taskId = unfinished("volume.create")[0]?.id ?? "";
		const error = { code, message: "It could not go." };
		await refused({ kind: "volumeUnadopt", id: stray, taskId: fixtureId(0x1), error }, "wrong-state");
		await apply({ kind: "volumeUnadopt", id: stray, taskId, error });
		expect(store.get("volume", stray)).toBeNull();
		expect(taskNow(taskId)).toMatchObject({ state, error, cancelable: false });
	}
	await apply(adoption());
	const taskId = unfinished("volume.create")[0]?.id ?? "";
	const error = { code: "in-use", message: "It could not go." } as const;
	await refused({ kind: "volumeUnadopt", id: stray, taskId, error }, "wrong-state", "is not being adopted");
});
