/** VMs that go to another node: when they may, who owns what afterwards, and what is left behind. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Task } from "../../model/task.ts";
import type { VmSpec } from "../../model/vm.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureMember,
	fixtureNode,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const clock = new ManualClock();
let store: MemoryStore;
let nextTask = 0x1000;
const first = clusterIds.node;
const second = fixtureId(0x998);
const vmId = fixtureId(0x100);
const volumeId = fixtureId(0x200);
const secondVolumeId = fixtureId(0x201);
const imageId = fixtureId(0x300);
const bothPool = fixtureId(0x500);
const otherPool = fixtureId(0x501);

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string, message = "") =>
	expect(apply(body)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
const taskOn = (kind: Task["kind"], target: Parameters<typeof fixtureTask>[1], nodeId = first): Task =>
	fixtureTask(kind, target, { id: fixtureId(nextTask++), nodeId, cancelable: true });
const vmTask = (kind: Task["kind"], nodeId = first) => taskOn(kind, { kind: "vm", id: vmId }, nodeId);
const finishTasks = async () => {
	for (const { id } of store.all("task", { state: ["pending", "running"] }))
		await apply({ kind: "taskUpdate", id, state: "succeeded" });
};
const disk = (id: string, volume: string): VmSpec["disks"][number] => ({
	...{ id, volumeId: volume, bus: "virtio", cache: "none", discard: true, readOnly: false },
});
const volume = (id: string, name: string, changes: Parameters<typeof fixtureVolume>[0] = {}) =>
	fixtureVolume({ id, name, ...changes });
const move = (changes: Partial<Extract<CommandBody, { kind: "vmMove" }>> = {}): CommandBody => ({
	...{ kind: "vmMove", id: vmId, nodeId: second, confirmNodeOff: null },
	task: vmTask("vm.move", changes.nodeId ?? second),
	...changes,
});
const moved = (changes: Partial<Extract<CommandBody, { kind: "vmMoved" }>> = {}): CommandBody => ({
	...{ kind: "vmMoved", id: vmId, nodeId: second, fromNodeId: first },
	volumes: [
		{ id: volumeId, poolId: bothPool },
		{ id: secondVolumeId, poolId: otherPool },
	],
	discardTaskIds: [fixtureId(0x7000), fixtureId(0x7001), fixtureId(0x7002)],
	...changes,
});
const nodePhase = (id: string, phase: "ready" | "not-ready" | "maintenance") =>
	apply({ kind: "nodeStatus", id, status: { ...fixtureNode().status, phase } });

/** A pool on both nodes, one on the second only, and a stopped VM with two disks on the first. */
beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const body of fixtureMember({ id: second, name: "node-2" }, clock.nowMs())) await apply(body);
	const pools = [
		fixturePool({ id: bothPool, name: "both", config: { path: "/both" }, nodeIds: [first, second] }),
		fixturePool({ id: otherPool, name: "other", config: { path: "/other" }, nodeIds: [second] }),
	];
	for (const pool of pools)
		await apply({ kind: "poolCreate", pool, task: taskOn("pool.create", { kind: "pool", id: pool.id }) });
});
afterEach(() => store.close());
const createVm = async (nodeId: string | null = first, vmNodeId = first) => {
	const disks = [disk("disk-0", volumeId), disk("disk-1", secondVolumeId)];
	await apply({
		kind: "vmCreate",
		vm: fixtureVm({ nodeId: vmNodeId, spec: fixtureVmSpec({ disks, tpm: true }), desiredPower: "running" }),
		volumes: [volume(volumeId, "a", { nodeId }), volume(secondVolumeId, "b", { nodeId })],
		task: vmTask("vm.create", vmNodeId),
	});
	await finishTasks();
	for (const id of [volumeId, secondVolumeId]) await apply({ kind: "volumeStatus", id, phase: "ready" });
};
const states = () => Object.fromEntries(store.all("task", { nodeId: first }).map((task) => [task.id, task.state]));

describe("asking for a move", () => {
	test("makes a task for the node that the VM goes to, and the VM is to stay stopped", async () => {
		await createVm();
		const { taskId, targets } = await apply(move());
		expect(targets).toEqual([{ kind: "vm", id: vmId }]);
		expect(store.get("task", taskId ?? "")).toMatchObject({ kind: "vm.move", state: "pending", nodeId: second });
		expect(store.get("vm", vmId)).toMatchObject({ nodeId: first, desiredPower: "stopped", generation: 1 });
	});

	test("is for a node that can take it", async () => {
		await createVm();
		await refused(move({ nodeId: first }), "wrong-state", "already");
		await refused(move({ nodeId: fixtureId(0x900) }), "invalid");
		await refused(move({ task: vmTask("vm.move", first) }), "invalid");
		await refused(move({ task: vmTask("vm.start", second) }), "invalid");
		for (const phase of ["not-ready", "maintenance"] as const) {
			await nodePhase(second, phase);
			await refused(move(), "wrong-state", phase);
		}
		const witness = { id: fixtureId(0x997), name: "node-3", witness: true };
		for (const body of fixtureMember(witness, clock.nowMs())) await apply(body);
		await refused(move({ nodeId: witness.id }), "wrong-state", "witness");
	});

	test("is for a VM that is stopped, with nothing to do", async () => {
		await createVm();
		const report = (powerState: "running" | "stopped" | "unknown") =>
			apply({ kind: "vmStatus", id: vmId, nodeId: first, status: fixtureVmStatus({ powerState }) });
		for (const powerState of ["running", "unknown"] as const) {
			await report(powerState);
			await refused(move(), "wrong-state", powerState);
		}
		await report("stopped");
		await apply({ kind: "vmUpdate", id: vmId, name: "renamed", task: vmTask("vm.update") });
		await refused(move(), "wrong-state", "under way");
		await finishTasks();
		await apply(move());
		await refused(move(), "wrong-state", "being moved");
	});

	test("is for a VM whose node answers and whose disks nothing else needs", async () => {
		await createVm();
		await nodePhase(first, "not-ready");
		await refused(move(), "wrong-state", "is not ready");
		await nodePhase(first, "ready");
		const clone = volume(fixtureId(0x210), "clone", { source: { kind: "clone", volumeId, fullCopy: true } });
		await apply({
			kind: "volumeCreate",
			volume: clone,
			task: taskOn("volume.create", { kind: "volume", id: clone.id }),
		});
		await refused(move(), "in-use", "clone");
		await apply({ kind: "volumeStatus", id: clone.id, phase: "ready" });
		await apply({
			...{ kind: "volumeResize", id: volumeId, sizeBytes: 20 * 2 ** 30 },
			task: taskOn("volume.resize", { kind: "volume", id: volumeId }),
		});
		await refused(move(), "wrong-state", "resizing");
	});
});

describe("while a VM is being moved", () => {
	beforeEach(async () => {
		await createVm();
		await apply(move());
	});

	test("nothing starts it, changes its hardware or touches its disks", async () => {
		await refused({ kind: "vmAction", id: vmId, task: vmTask("vm.start") }, "wrong-state", "being moved");
		const spec = fixtureVmSpec({ tpm: false });
		await refused({ kind: "vmUpdate", id: vmId, spec, task: vmTask("vm.update") }, "wrong-state", "being moved");
		await refused(
			{
				...{ kind: "volumeResize", id: volumeId, sizeBytes: 20 * 2 ** 30 },
				task: taskOn("volume.resize", { kind: "volume", id: volumeId }),
			},
			"wrong-state",
			"being moved",
		);
		const clone = volume(fixtureId(0x210), "clone", { source: { kind: "clone", volumeId, fullCopy: true } });
		const create = taskOn("volume.create", { kind: "volume", id: clone.id });
		await refused({ kind: "volumeCreate", volume: clone, task: create }, "wrong-state", "being moved");
		const image = fixtureImage({ id: imageId, source: { kind: "volume", volumeId } });
		const make = taskOn("image.import", { kind: "image", id: imageId });
		await refused({ kind: "imageCreate", image, task: make }, "wrong-state", "being moved");
	});

	test("it is renamed; deleting it calls the move off", async () => {
		await apply({ kind: "vmUpdate", id: vmId, name: "renamed", task: vmTask("vm.update") });
		await apply({ kind: "vmDelete", id: vmId, deleteVolumes: false, task: vmTask("vm.delete") });
		expect(store.all("task", { kind: "vm.move" })).toMatchObject([{ cancelRequested: true }]);
		await refused(moved(), "wrong-state", "being deleted");
	});

	test("its own node has it until the other one says that it is there", async () => {
		const status = fixtureVmStatus();
		await refused({ kind: "vmStatus", id: vmId, nodeId: second, status }, "wrong-state");
		await apply(moved());
		await apply({ kind: "vmStatus", id: vmId, nodeId: second, status });
		await refused({ kind: "vmStatus", id: vmId, nodeId: first, status }, "wrong-state");
	});
});

describe("a VM that has moved", () => {
	test("is on the other node with its disks, and the first one discards what it had", async () => {
		await createVm();
		await apply(move());
		await apply(moved());
		expect(store.get("vm", vmId)).toMatchObject({ nodeId: second, status: { powerState: "stopped" } });
		expect(store.get("volume", volumeId)).toMatchObject({ nodeId: second, poolId: bothPool, vmId });
		expect(store.get("volume", secondVolumeId)).toMatchObject({ nodeId: second, poolId: otherPool });
		expect(store.all("task", { kind: "volume.discard" })).toMatchObject([
			{ id: fixtureId(0x7000), nodeId: first, state: "pending", input: { poolId: clusterIds.pool, volumeId } },
			{ id: fixtureId(0x7001), input: { poolId: clusterIds.pool, volumeId: secondVolumeId } },
			{ id: fixtureId(0x7002), input: { vmId }, targets: [{ kind: "vm", id: vmId, name: "vm-1" }] },
		]);
		expect(store.all("task", { kind: "vm.move" })).toMatchObject([{ state: "pending" }]);
		await refused(
			moved({ discardTaskIds: [0, 1, 2].map((n) => fixtureId(0x7100 + n)) }),
			"wrong-state",
			"another node",
		);
	});

	test("does not come back before what it left there is gone", async () => {
		await createVm();
		await apply(move());
		await apply(moved());
		const [moving] = store.all("task", { kind: "vm.move" });
		await apply({ kind: "taskUpdate", id: moving?.id ?? "", state: "succeeded" });
		await refused(move({ nodeId: first }), "wrong-state", "still being removed");
		for (const id of [0x7000, 0x7001]) await apply({ kind: "taskUpdate", id: fixtureId(id), state: "succeeded" });
		await refused(move({ nodeId: first }), "wrong-state", "still being removed");
		await apply({ kind: "vmAction", id: vmId, task: vmTask("vm.start", second) });
		await finishTasks();
		await apply(move({ nodeId: first }));
	});

	test("goes, and what it left elsewhere is discarded all the same", async () => {
		await createVm();
		await apply(move());
		await apply(moved());
		await apply({ kind: "vmDelete", id: vmId, deleteVolumes: true, task: vmTask("vm.delete", second) });
		await apply({ kind: "vmGone", id: vmId, nodeId: second });
		expect(states()).toMatchObject({
			...{ [fixtureId(0x7000)]: "pending", [fixtureId(0x7001)]: "pending", [fixtureId(0x7002)]: "pending" },
		});
	});

	test("shares its data with nothing any more", async () => {
		const image = fixtureImage({ id: imageId, poolId: clusterIds.pool });
		await apply({ kind: "imageCreate", image, task: taskOn("image.import", { kind: "image", id: imageId }) });
		await apply({
			kind: "vmCreate",
			vm: fixtureVm({ spec: fixtureVmSpec({ disks: [disk("disk-0", volumeId), disk("disk-1", secondVolumeId)] }) }),
			volumes: [
				volume(volumeId, "made", { source: { kind: "image", imageId, fullCopy: false } }),
				volume(secondVolumeId, "not-made", { source: { kind: "image", imageId, fullCopy: false } }),
			],
			task: vmTask("vm.create"),
		});
		await finishTasks();
		await apply({ kind: "volumeStatus", id: volumeId, phase: "ready" });
		await apply(move());
		await apply(moved());
		expect(store.get("volume", volumeId)?.source).toEqual({ kind: "image", imageId, fullCopy: true });
		expect(store.get("volume", secondVolumeId)?.source).toEqual({ kind: "image", imageId, fullCopy: false });
	});

	test("is there only when the move was asked for, with all its disks, in pools that are there", async () => {
		await createVm();
		await refused(moved(), "wrong-state", "Nobody asked");
		await apply(move());
		await refused(moved({ nodeId: first, fromNodeId: second }), "wrong-state", "another node");
		await refused(moved({ nodeId: fixtureId(0x997) }), "wrong-state", "Nobody asked");
		const one = [{ id: volumeId, poolId: bothPool }];
		await refused(moved({ volumes: one, discardTaskIds: [fixtureId(0x7000), fixtureId(0x7001)] }), "wrong-state");
		await refused(moved({ discardTaskIds: [fixtureId(0x7000)] }), "invalid");
		const wrong = (poolId: string) => [
			{ id: secondVolumeId, poolId: bothPool },
			{ id: volumeId, poolId },
		];
		await refused(moved({ volumes: wrong(clusterIds.pool) }), "invalid", "not on that node");
		const taken = volume(fixtureId(0x211), "A", { nodeId: second, poolId: otherPool });
		await apply({
			kind: "volumeCreate",
			volume: taken,
			task: taskOn("volume.create", { kind: "volume", id: taken.id }),
		});
		await refused(moved({ volumes: wrong(otherPool) }), "already-exists");
		expect(store.count("task", { kind: "volume.discard" })).toBe(0);
	});

	test("has left nothing to do for a node that was removed meanwhile", async () => {
		await createVm();
		await apply(move());
		await apply({ kind: "nodeRemove", id: first, leaving: false, confirmName: "node-1" });
		await apply(moved());
		expect(store.get("vm", vmId)).toMatchObject({ nodeId: second, status: { powerState: "stopped", reason: null } });
		expect(store.count("task", { kind: "volume.discard" })).toBe(0);
	});
});

describe("a VM of a node that is off", () => {
	const confirmed = (confirmNodeOff = "node-1") => move({ confirmNodeOff });

	test("goes at once when its disks lie in shared pools and the node's name was typed", async () => {
		await createVm(null);
		await refused(confirmed(), "wrong-state", "it is not off");
		await nodePhase(first, "not-ready");
		await apply({ kind: "vmUpdate", id: vmId, name: "renamed", task: vmTask("vm.update") });
		await apply({ kind: "vmStatus", id: vmId, nodeId: first, status: fixtureVmStatus({ powerState: "unknown" }) });
		for (const name of ["", "node-2", "Node-1"]) await refused(confirmed(name), "invalid");
		const { taskId } = await apply(confirmed());
		expect(store.get("task", taskId ?? "")).toMatchObject({ kind: "vm.move", state: "succeeded", progress: 100 });
		expect(store.get("vm", vmId)).toMatchObject({
			...{ nodeId: second, desiredPower: "stopped", status: { powerState: "stopped", reason: null } },
		});
		expect(store.all("task", { kind: "vm.update" })).toMatchObject([{ state: "canceled" }]);
		await apply({ kind: "vmAction", id: vmId, task: vmTask("vm.start", second) });
	});

	test("stays when a disk lies on that node", async () => {
		await createVm();
		await apply({ kind: "nodeRemove", id: first, leaving: false, confirmName: "node-1" });
		await refused(confirmed(), "wrong-state", "The disk a of the VM lies on the node node-1");
		await refused(move(), "wrong-state", "Confirm that it is off");
	});

	test("leaves what was typed in the audit", async () => {
		await createVm(null);
		await apply({ kind: "nodeRemove", id: first, leaving: false, confirmName: "node-1" });
		await store.proposer.propose(confirmed(), {
			...{ requester: { kind: "local", id: null, name: "root" }, remoteAddress: null, operation: "vmMove" },
			...{ idempotencyKey: null, credential: null },
		});
		expect(store.all("audit")).toMatchObject([
			{
				operation: "vmMove",
				outcome: "accepted",
				confirmation: "node-1 is off",
				targets: [{ id: vmId, name: "vm-1" }],
			},
		]);
	});
});

describe("what lies on another node", () => {
	const place = (id: string, changes: Parameters<typeof fixtureVolume>[0]): CommandBody => ({
		kind: "volumeCreate",
		volume: volume(id, `v-${id.slice(-3)}`, changes),
		task: taskOn("volume.create", { kind: "volume", id }, second),
	});

	test("an image is fetched from there, a volume is not", async () => {
		const image = fixtureImage({ id: imageId, poolId: bothPool });
		await apply({ kind: "imageCreate", image, task: taskOn("image.import", { kind: "image", id: imageId }) });
		const source = { kind: "image", imageId, fullCopy: false } as const;
		await apply(place(fixtureId(0x220), { nodeId: second, poolId: bothPool, source }));
		await refused(
			place(fixtureId(0x221), { nodeId: second, poolId: otherPool, source }),
			"invalid",
			"Ask for a full copy",
		);
		await apply(place(fixtureId(0x221), { nodeId: second, poolId: otherPool, source: { ...source, fullCopy: true } }));
		const origin = place(fixtureId(0x222), { nodeId: first, poolId: bothPool });
		await apply(origin);
		await apply({ kind: "volumeStatus", id: fixtureId(0x222), phase: "ready" });
		const clone = { kind: "clone", volumeId: fixtureId(0x222), fullCopy: true } as const;
		await refused(
			place(fixtureId(0x223), { nodeId: second, poolId: bothPool, source: clone }),
			"invalid",
			"node of its source",
		);
		const copy = fixtureImage({ ...{ id: fixtureId(0x301), name: "copy", nodeId: second, poolId: bothPool } });
		await refused(
			{
				...{ kind: "imageCreate", image: { ...copy, source: { kind: "volume", volumeId: fixtureId(0x222) } } },
				task: taskOn("image.import", { kind: "image", id: copy.id }),
			},
			"invalid",
			"node of its source",
		);
	});

	test("a disc is fetched into the same pool, where the VM's node has it", async () => {
		for (const [id, name, poolId] of [
			[imageId, "near", bothPool],
			[fixtureId(0x301), "far", clusterIds.pool],
		] as const)
			await apply({
				...{ kind: "imageCreate", image: fixtureImage({ id, name, poolId }) },
				task: taskOn("image.import", { kind: "image", id }),
			});
		const vmWith = (disc: string): CommandBody => ({
			kind: "vmCreate",
			vm: fixtureVm({ nodeId: second, spec: fixtureVmSpec({ cdroms: [{ id: "cd-0", imageId: disc }] }) }),
			volumes: [],
			task: vmTask("vm.create", second),
		});
		await refused(vmWith(fixtureId(0x301)), "invalid", "not on the node of the VM");
		await apply(vmWith(imageId));
	});
});
