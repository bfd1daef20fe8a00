/** Canceling work of a node that is not heard of: nobody is there to end it, and what it holds is needed elsewhere. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { TaskKind } from "../../model/task.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureMember,
	fixtureNode,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const clock = new ManualClock();
const first = clusterIds.node;
const second = fixtureId(0x998);
const vmId = fixtureId(0x100);
const move = fixtureId(0x1002);
let store: MemoryStore;

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const task = (kind: TaskKind, id: number, nodeId = first) =>
	fixtureTask(kind, { kind: "vm", id: vmId }, { id: fixtureId(id), nodeId, cancelable: true });
const lose = () => apply({ kind: "nodeLost", id: second, reason: "The other nodes do not hear from it.", lost: true });
const cancel = (id = move, endIfLost = true) =>
	apply({ kind: "taskCancel", id, ...(endIfLost ? { endIfLost: true as const } : {}) });
const start = () => apply({ kind: "vmAction", id: vmId, task: task("vm.start", 0x1003) });

/** A VM on the first node, on its way to the second. */
beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const body of fixtureMember({ id: second, name: "node-2" }, clock.nowMs())) await apply(body);
	const vm = fixtureVm({ id: vmId, nodeId: first, spec: fixtureVmSpec({ disks: [], nics: [] }) });
	await apply({ kind: "vmCreate", vm, volumes: [], task: task("vm.create", 0x1001) });
	await apply({ kind: "taskUpdate", id: fixtureId(0x1001), state: "succeeded" });
	const asked = task("vm.move", 0x1002, second);
	await apply({ kind: "vmMove", id: vmId, nodeId: second, confirmNodeOff: null, task: asked });
	await apply({ kind: "taskUpdate", id: move, state: "running", cancelable: true });
});
afterEach(() => store.close());

test("a move to a node that died ends, and the VM is free where it is", async () => {
	await lose();
	await expect(start()).rejects.toMatchObject({ message: "The VM is being moved to another node." });
	await cancel();
	expect(store.get("task", move)).toMatchObject({
		...{ state: "canceled", cancelable: false, error: { code: "canceled" } },
		finishedAt: expect.any(String),
	});
	expect(store.get("task", move)?.error?.message).toBe("Canceled while its node, node-2, was not heard of.");
	await start();
	// Should it be at work all the same: what it has is not the VM.
	await expect(
		apply({
			...{ kind: "vmMoved", id: vmId, nodeId: second, fromNodeId: first, volumes: [] },
			discardTaskIds: [fixtureId(0x7000)],
		}),
	).rejects.toMatchObject({ code: "wrong-state" });
});

test("also after the point from which the node itself would not cancel it", async () => {
	await apply({ kind: "taskUpdate", id: move, state: "running", cancelable: false });
	await expect(cancel()).rejects.toMatchObject({ code: "wrong-state" });
	await lose();
	await cancel();
	expect(store.get("task", move)?.state).toBe("canceled");
});

test("a node that is heard of, or only misses its libvirt, is asked as before", async () => {
	await apply({ kind: "nodeStatus", id: second, status: { ...fixtureNode().status, phase: "not-ready" } });
	await cancel();
	expect(store.get("task", move)).toMatchObject({ state: "running", cancelRequested: true });
});

test("the command of before means what it meant", async () => {
	await lose();
	await cancel(move, false);
	expect(store.get("task", move)).toMatchObject({ state: "running", cancelRequested: true });
});

test("a network whose deletion was begun by a node that died can be deleted by another", async () => {
	const networkId = store.all("network")[0]?.id ?? "";
	const ofNetwork = (kind: TaskKind, id: number, nodeId: string) =>
		fixtureTask(kind, { kind: "network", id: networkId }, { id: fixtureId(id), nodeId });
	await apply({ kind: "networkDelete", id: networkId, task: ofNetwork("network.delete", 0x1011, second) });
	await lose();
	const again = () => apply({ kind: "networkDelete", id: networkId, task: ofNetwork("network.delete", 0x1012, first) });
	await expect(again()).rejects.toMatchObject({ message: expect.stringContaining("is being deleted already") });
	await cancel(fixtureId(0x1011));
	await again();
	await apply({ kind: "networkGone", id: networkId });
});

test("what a move left there stays to be done", async () => {
	await apply({
		...{ kind: "vmMoved", id: vmId, nodeId: second, fromNodeId: first, volumes: [] },
		discardTaskIds: [fixtureId(0x7000)],
	});
	await apply({ kind: "nodeLost", id: first, reason: "The other nodes do not hear from it.", lost: true });
	await expect(cancel(fixtureId(0x7000))).rejects.toMatchObject({ code: "wrong-state" });
	expect(store.get("task", fixtureId(0x7000))?.state).toBe("pending");
});

test("a move that is done but for its end has not been canceled", async () => {
	await apply({
		...{ kind: "vmMoved", id: vmId, nodeId: second, fromNodeId: first, volumes: [] },
		discardTaskIds: [fixtureId(0x7000)],
	});
	await lose();
	await cancel();
	expect(store.get("task", move)).toMatchObject({ state: "succeeded", progress: 100, error: null });
});
