/** That a VM runs once: whose word counts for a node that is off, and a VM that runs on a host that is not its node's any more. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Vm } from "../../model/vm.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureMember,
	fixtureNode,
	fixtureTask,
	fixtureVm,
	fixtureVmStatus,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const clock = new ManualClock();
const first = clusterIds.node;
const second = fixtureId(0x998);
const third = fixtureId(0x999);
const vmId = fixtureId(0x100);
let store: MemoryStore;
let nextTask = 0x1000;

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const task = (kind: Parameters<typeof fixtureTask>[0], nodeId = first) =>
	fixtureTask(kind, { kind: "vm", id: vmId }, { id: fixtureId(nextTask++), nodeId });
const elsewhere = (nodeId: string, runs = true): CommandBody => ({ kind: "vmElsewhere", id: vmId, nodeId, runs });
const vm = () => store.get("vm", vmId);
const asked: [string, () => CommandBody][] = [
	["start", () => ({ kind: "vmAction", id: vmId, desiredPower: "running", task: task("vm.start") })],
	["move", () => ({ kind: "vmMove", id: vmId, nodeId: third, confirmNodeOff: null, task: task("vm.move", third) })],
	["delete", () => ({ kind: "vmDelete", id: vmId, deleteVolumes: false, task: task("vm.delete") })],
];

beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const [id, name] of [
		[second, "node-2"],
		[third, "node-3"],
	] as const)
		for (const body of fixtureMember({ id, name }, clock.nowMs())) await apply(body);
	await apply({ kind: "vmCreate", vm: fixtureVm({ nodeId: first }), volumes: [], task: task("vm.create") });
	for (const { id } of store.all("task", { state: ["pending", "running"] }))
		await apply({ kind: "taskUpdate", id, state: "succeeded" });
	await apply({
		...{ kind: "vmStatus", id: vmId, nodeId: first },
		status: fixtureVmStatus({ powerState: "stopped", observedGeneration: 1 }),
	});
});
afterEach(() => store.close());

test("it is neither started nor moved nor deleted until it is shut down there", async () => {
	await apply(elsewhere(third));
	await apply(elsewhere(second));
	expect(vm()?.alsoRunsOn).toEqual([second, third]);
	for (const [what, body] of asked)
		await expect(apply(body()).then(() => what)).rejects.toMatchObject({ code: "wrong-state" });
	await apply(elsewhere(second, false));
	await expect(apply(asked[0]?.[1]() as CommandBody)).rejects.toMatchObject({
		message:
			"The VM runs on a host that is not its node's any more. Shut it down there first, with virsh on that host.",
	});
	await apply(elsewhere(third, false));
	expect(vm()).not.toHaveProperty("alsoRunsOn");
	await apply(asked[0]?.[1]() as CommandBody);
});

test("what the VM's own node reports leaves it as it is", async () => {
	await apply(elsewhere(second));
	const status = fixtureVmStatus({ powerState: "running", observedGeneration: 1 });
	await apply({ kind: "vmStatus", id: vmId, nodeId: first, status });
	expect(vm()).toMatchObject({ alsoRunsOn: [second], status: { powerState: "running" } });
});

test("saying it again changes nothing; of its own node nobody says it", async () => {
	await apply(elsewhere(second));
	const said = vm();
	clock.advance(1000);
	await apply(elsewhere(second));
	expect(vm()).toEqual(said as Vm);
	await expect(apply(elsewhere(first))).rejects.toMatchObject({ code: "wrong-state" });
});

test("with the node that is removed, since it is off, goes what it said", async () => {
	await apply(elsewhere(second));
	await apply(elsewhere(third));
	await apply({ kind: "nodeRemove", id: second, leaving: false, confirmName: "node-2" });
	expect(vm()?.alsoRunsOn).toEqual([third]);
	await expect(apply(elsewhere(second))).rejects.toMatchObject({ code: "wrong-state" });
});

const onlyLost = (): CommandBody => ({
	...{ kind: "vmMove", id: vmId, nodeId: third, confirmNodeOff: "node-1", onlyLost: true },
	task: task("vm.move", third),
});
const lose = (lost: { lost?: true }) => apply({ kind: "nodeLost", id: first, reason: "not heard of", ...lost });
const notReady = () =>
	apply({ kind: "nodeStatus", id: first, status: { ...fixtureNode().status, phase: "not-ready" } });

test("it is not taken from a node that is not ready by its own word only: that may be libvirt, and what ran runs on", async () => {
	const refused = (message: string, body = onlyLost()) =>
		expect(apply(body)).rejects.toMatchObject({ code: "wrong-state", message: expect.stringContaining(message) });
	const plain: CommandBody = { ...onlyLost(), confirmNodeOff: null } as CommandBody;
	await refused("it is not off");
	await notReady();
	await refused("heard of a moment ago");
	await refused("is not ready. The VM is moved when it is", plain);
	await lose({});
	await refused("heard of a moment ago");
	await lose({ lost: true });
	await refused("Confirm that it is off", plain);
	await notReady();
	await refused("heard of a moment ago");
	await lose({ lost: true });
	await apply(onlyLost());
	expect(vm()?.nodeId).toBe(third);
});

test("it is not taken over while it runs on another host than the one that is off", async () => {
	await apply(elsewhere(second));
	await lose({ lost: true });
	await expect(apply(onlyLost())).rejects.toMatchObject({
		message: expect.stringContaining("Shut it down there first"),
	});
});

const moved = (fromNodeId: string, nodeId: string, discardId: number): CommandBody => ({
	...{ kind: "vmMoved", id: vmId, nodeId, fromNodeId, volumes: [], onlyOff: true },
	discardTaskIds: [fixtureId(discardId)],
});
const moveTo = (nodeId: string): CommandBody => ({
	...{ kind: "vmMove", id: vmId, nodeId, confirmNodeOff: null, task: task("vm.move", nodeId) },
});
const report = (nodeId: string, powerState: Vm["status"]["powerState"]) =>
	apply({ kind: "vmStatus", id: vmId, nodeId, status: fixtureVmStatus({ powerState, observedGeneration: 1 }) });

test("it does not go to another node while the one that has it says that it runs", async () => {
	await apply(moveTo(second));
	for (const powerState of ["running", "paused", "unknown"] as const) {
		await report(first, powerState);
		await expect(apply(moved(first, second, 0x7000))).rejects.toMatchObject({
			...{ code: "wrong-state", message: `The VM vm-1 is ${powerState}: only one that is off can be moved.` },
		});
		expect(vm()).toMatchObject({ nodeId: first, status: { powerState } });
	}
	await report(first, "failed");
	await apply(moved(first, second, 0x7000));
	expect(vm()).toMatchObject({ nodeId: second, status: { powerState: "stopped" } });
});

test("its node was removed while it was moved: it is here whole, and nobody knows better", async () => {
	await apply(moveTo(second));
	await apply({ kind: "nodeRemove", id: first, leaving: false, confirmName: "node-1" });
	expect(vm()?.status.powerState).toBe("unknown");
	await apply(moved(first, second, 0x7000));
	expect(vm()?.nodeId).toBe(second);
});

test("a member of before does not ask whether it runs", async () => {
	await apply(moveTo(second));
	await report(first, "running");
	const { onlyOff: _, ...before } = moved(first, second, 0x7000) as Extract<CommandBody, { kind: "vmMoved" }>;
	await apply(before);
	expect(vm()).toMatchObject({ nodeId: second, status: { powerState: "stopped" } });
});

for (const keeps of [true, false])
	test(`when it is taken over, what it left on a third node is ${keeps ? "discarded all the same" : "kept, as by members of before"}`, async () => {
		await apply(moveTo(second));
		await apply(moved(first, second, 0x7000));
		for (const { id } of store.all("task", { kind: "vm.move" }))
			await apply({ kind: "taskUpdate", id, state: "succeeded" });
		await apply({ kind: "nodeLost", id: second, reason: "not heard of", lost: true });
		const update = task("vm.update", second);
		await apply({ kind: "vmUpdate", id: vmId, name: "renamed", task: update });
		await apply({
			...{ kind: "vmMove", id: vmId, nodeId: third, confirmNodeOff: "node-2", onlyLost: true },
			...{ task: task("vm.move", third), ...(keeps ? { keepDiscards: true } : {}) },
		});
		expect(vm()?.nodeId).toBe(third);
		expect(store.get("task", update.id)?.state).toBe("canceled");
		expect(store.get("task", fixtureId(0x7000))?.state).toBe(keeps ? "pending" : "canceled");
	});
