/** Rules of VMs, as the store applies them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Task } from "../../model/task.ts";
import type { Vm, VmSpec } from "../../model/vm.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";
import { maxUnfinishedTasks } from "../limits.ts";

let store: MemoryStore;
let nextTask = 0x1000;
beforeEach(async () => {
	store = await openMemoryStore({ commands: [fixtureCluster()] });
});
afterEach(() => store.close());

const vmId = fixtureId(0x100);
const volumeId = fixtureId(0x200);
const task = (kind: Task["kind"], id = vmId): Task =>
	fixtureTask(kind, { kind: "vm", id }, { id: fixtureId(nextTask++), cancelable: true });
const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string) => expect(apply(body)).rejects.toMatchObject({ code });

const diskSpec: VmSpec["disks"][number] = {
	id: "disk-0",
	volumeId,
	bus: "virtio",
	cache: "none",
	discard: true,
	readOnly: false,
};
const nic = (mac: string): VmSpec["nics"][number] => ({
	id: "nic-0",
	networkId: clusterIds.network,
	mac,
	model: "virtio",
	linkUp: true,
});
const specWithDisk = fixtureVmSpec({ disks: [diskSpec], bootOrder: ["disk-0"] });
const create = (changes: Partial<Vm> = {}, volumes = [fixtureVolume()]) =>
	apply({
		kind: "vmCreate",
		vm: fixtureVm({ spec: specWithDisk, ...changes }),
		volumes,
		task: task("vm.create", changes.id),
	});
const finishTasks = async () => {
	for (const { id } of store.all("task", { state: ["pending", "running"] }))
		await apply({ kind: "taskUpdate", id, state: "succeeded" });
};
const report = (status: Partial<Vm["status"]>, nodeId = clusterIds.node) =>
	apply({ kind: "vmStatus", id: vmId, nodeId, status: fixtureVmStatus(status) });
const action = (kind: Task["kind"]): CommandBody => ({ kind: "vmAction", id: vmId, task: task(kind) });
const vm = () => {
	const found = store.get("vm", vmId);
	if (!found) throw new Error("the VM is there");
	return found;
};

describe("create", () => {
	test("makes the VM, its volumes and its task, and attaches the volumes", async () => {
		const applied = await create();
		expect(applied.targets).toEqual([
			{ kind: "vm", id: vmId },
			{ kind: "volume", id: volumeId },
		]);
		expect(store.get("volume", volumeId)).toMatchObject({ vmId, phase: "pending" });
		expect(store.get("task", applied.taskId ?? "")).toMatchObject({ kind: "vm.create", state: "pending" });
	});

	test("refuses a taken name, whatever its case", async () => {
		await create({ name: "Web" }, [fixtureVolume()]);
		const other = fixtureVm({ id: fixtureId(0x101), name: "web" });
		await refused({ kind: "vmCreate", vm: other, volumes: [], task: task("vm.create", other.id) }, "already-exists");
		expect(store.count("vm")).toBe(1);
		expect(store.count("task")).toBe(1);
	});

	test("takes MAC addresses of one machine only", async () => {
		for (const mac of ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"]) {
			await refused(
				{
					kind: "vmCreate",
					vm: fixtureVm({ spec: fixtureVmSpec({ nics: [nic(mac)] }) }),
					volumes: [],
					task: task("vm.create"),
				},
				"invalid",
			);
		}
		await create({ spec: fixtureVmSpec({ nics: [nic("52:54:00:00:00:01")] }) }, []);
		await finishTasks();
		for (const mac of ["00:00:00:00:00:00", "01:00:5e:00:00:01"])
			await refused(
				{ kind: "vmUpdate", id: vmId, spec: fixtureVmSpec({ nics: [nic(mac)] }), task: task("vm.update") },
				"invalid",
			);
	});

	test("refuses a MAC address that another VM has", async () => {
		const mac = "52:54:00:00:00:01";
		await create({ spec: fixtureVmSpec({ nics: [nic(mac)] }) }, []);
		expect(store.macInUse(mac)).toBe(true);
		const other = fixtureVm({ id: fixtureId(0x101), name: "other", spec: fixtureVmSpec({ nics: [nic(mac)] }) });
		await refused({ kind: "vmCreate", vm: other, volumes: [], task: task("vm.create", other.id) }, "already-exists");
	});

	test("refuses references to nothing, and a refused command changes nothing", async () => {
		await refused(
			{ kind: "vmCreate", vm: fixtureVm({ spec: specWithDisk }), volumes: [], task: task("vm.create") },
			"invalid",
		);
		const badNode = fixtureVm({ nodeId: fixtureId(0x999) });
		await refused({ kind: "vmCreate", vm: badNode, volumes: [fixtureVolume()], task: task("vm.create") }, "invalid");
		expect([store.count("vm"), store.count("volume"), store.count("task")]).toEqual([0, 0, 0]);
	});

	test("refuses a volume that is attached elsewhere", async () => {
		await create();
		const other = fixtureVm({ id: fixtureId(0x101), name: "other", spec: specWithDisk });
		await refused({ kind: "vmCreate", vm: other, volumes: [], task: task("vm.create", other.id) }, "in-use");
	});

	test("refuses a spec whose parts do not fit", async () => {
		const spec = fixtureVmSpec({ bootOrder: ["nothing"], cpu: { vcpus: 4, maxVcpus: 2, model: "host" } });
		const body: CommandBody = { kind: "vmCreate", vm: fixtureVm({ spec }), volumes: [], task: task("vm.create") };
		await expect(apply(body)).rejects.toMatchObject({
			code: "invalid",
			fields: [{ path: "/spec/cpu/maxVcpus" }, { path: "/spec/bootOrder/0" }],
		});
	});
});

describe("update", () => {
	test("counts generations of what a person wants, not of status or power", async () => {
		await create();
		await finishTasks();
		await report({ powerState: "running", observedGeneration: 1 });
		await apply(action("vm.shutdown"));
		expect(vm()).toMatchObject({ generation: 1, desiredPower: "stopped" });
		await apply({ kind: "vmUpdate", id: vmId, description: "x", expectedGeneration: 1, task: task("vm.update") });
		expect(vm().generation).toBe(2);
		await refused(
			{ kind: "vmUpdate", id: vmId, name: "y", expectedGeneration: 1, task: task("vm.update") },
			"stale-etag",
		);
	});

	test("detaches a volume that is no disk any more", async () => {
		await create();
		await apply({ kind: "vmUpdate", id: vmId, spec: fixtureVmSpec(), task: task("vm.update") });
		expect(store.get("volume", volumeId)?.vmId).toBeNull();
	});
});

describe("actions", () => {
	beforeEach(async () => {
		await create();
	});

	test("are judged by state, and by the work that is under way", async () => {
		await finishTasks();
		await refused(action("vm.pause"), "wrong-state");
		await apply(action("vm.start"));
		expect(vm().desiredPower).toBe("running");
		await refused(action("vm.start"), "wrong-state");
		await apply(action("vm.pause"));
		await apply(action("vm.stop"));
		await refused(action("vm.reset"), "wrong-state");
		await apply(action("vm.start"));
	});

	test("wait in a queue that has an end", async () => {
		await finishTasks();
		await apply(action("vm.start"));
		for (let count = 1; count < maxUnfinishedTasks; count++) await apply(action(count % 2 ? "vm.pause" : "vm.resume"));
		await refused(action("vm.stop"), "too-many-requests");
		await apply({ kind: "vmDelete", id: vmId, deleteVolumes: true, task: task("vm.delete") });
	});

	test("stop is possible during a shut-down", async () => {
		await finishTasks();
		await report({ powerState: "stopping" });
		await apply(action("vm.stop"));
	});

	test("the node's conclusion does not undo what a person asked for since", async () => {
		await finishTasks();
		await apply(action("vm.start"));
		const status = fixtureVmStatus();
		await apply({ kind: "vmStatus", id: vmId, nodeId: clusterIds.node, status, desiredPower: "stopped" });
		expect(vm().desiredPower).toBe("running");
		await finishTasks();
		await apply({ kind: "vmStatus", id: vmId, nodeId: clusterIds.node, status, desiredPower: "stopped" });
		expect(vm().desiredPower).toBe("stopped");
	});

	test("a report of a node that does not own the VM is refused", async () => {
		await expect(report({ powerState: "running" }, fixtureId(0x999))).rejects.toMatchObject({ code: "wrong-state" });
		expect(vm().status.powerState).toBe("stopped");
	});
});

describe("adoption", () => {
	const error = { code: "storage", message: "The disk is gone." } as const;
	const undo: CommandBody = { kind: "vmUnadopt", id: vmId, nodeId: clusterIds.node, error };
	const adopt = async () => {
		const vm = fixtureVm({ spec: specWithDisk, status: fixtureVmStatus({ powerState: "running" }) });
		const applied = await apply({ kind: "vmAdopt", vm, volumes: [fixtureVolume()], task: task("vm.adopt") });
		return applied.taskId ?? "";
	};

	test("claims nothing before it is done, and nothing is asked of the VM meanwhile", async () => {
		const taskId = await adopt();
		expect(store.get("volume", volumeId)).toMatchObject({ phase: "pending", vmId });
		await refused(action("vm.stop"), "wrong-state");
		await refused({ kind: "vmDelete", id: vmId, deleteVolumes: true, task: task("vm.delete") }, "wrong-state");
		await refused({ kind: "vmUpdate", id: vmId, name: "other", task: task("vm.update") }, "wrong-state");
		await apply({ kind: "taskUpdate", id: taskId, state: "succeeded" });
		await apply(action("vm.stop"));
	});

	test("is undone with all that it made, and its task says why", async () => {
		const taskId = await adopt();
		await refused({ ...undo, nodeId: fixtureId(0x77) }, "wrong-state");
		await apply(undo);
		expect([store.get("vm", vmId), store.get("volume", volumeId)]).toEqual([null, null]);
		expect(store.get("task", taskId)).toMatchObject({ state: "failed", error, cancelable: false });
		await refused(undo, "not-found");
		await adopt();
	});

	test("is not undone once it is done, nor is anything else", async () => {
		const taskId = await adopt();
		await apply({ kind: "taskUpdate", id: taskId, state: "succeeded" });
		await refused(undo, "wrong-state");
		expect(vm().name).toBe("vm-1");
	});
});

describe("delete", () => {
	const remove = (deleteVolumes: boolean) =>
		apply({ kind: "vmDelete", id: vmId, deleteVolumes, task: task("vm.delete") });

	test("takes the volumes along when asked, and ends tasks that nobody will carry out", async () => {
		const { taskId } = await create();
		await remove(true);
		expect(vm()).toMatchObject({ deleting: true, desiredPower: "stopped" });
		expect(store.get("volume", volumeId)?.phase).toBe("deleting");
		expect(store.get("task", taskId ?? "")).toMatchObject({ state: "pending", cancelRequested: true });
		await expect(remove(true)).rejects.toMatchObject({ code: "wrong-state" });
		await apply({ kind: "vmGone", id: vmId, nodeId: clusterIds.node });
		expect([store.count("vm"), store.count("volume")]).toEqual([0, 0]);
		expect(store.get("task", taskId ?? "")).toMatchObject({ state: "canceled", error: { code: "canceled" } });
	});

	test("frees the volumes otherwise", async () => {
		await create();
		await remove(false);
		await apply({ kind: "vmGone", id: vmId, nodeId: clusterIds.node });
		expect(store.get("volume", volumeId)).toMatchObject({ vmId: null, phase: "pending" });
	});

	test("needs to have been asked for", async () => {
		await create();
		await refused({ kind: "vmGone", id: vmId, nodeId: clusterIds.node }, "wrong-state");
	});

	test("is refused while another volume shares data with a disk", async () => {
		await create();
		await apply({ kind: "vmUpdate", id: vmId, spec: fixtureVmSpec(), task: task("vm.update") });
		await apply({ kind: "volumeStatus", id: volumeId, phase: "ready" });
		const clone = fixtureVolume({
			id: fixtureId(0x201),
			name: "clone",
			source: { kind: "clone", volumeId, fullCopy: false },
		});
		await apply({ kind: "volumeCreate", volume: clone, task: task("volume.create", clone.id) });
		await refused({ kind: "vmUpdate", id: vmId, spec: specWithDisk, task: task("vm.update") }, "in-use");
		await refused({ kind: "volumeDelete", id: volumeId, task: task("volume.delete", volumeId) }, "in-use");
	});
});

test("an image stays while a volume is made from it or a drive holds it", async () => {
	const imageId = fixtureId(0x300);
	await apply({ kind: "imageCreate", image: fixtureImage(), task: task("image.import", imageId) });
	await apply({ kind: "imageStatus", id: imageId, phase: "ready", virtualSizeBytes: 1024 });
	const volume = fixtureVolume({ source: { kind: "image", imageId, fullCopy: false } });
	await create({ spec: fixtureVmSpec({ disks: [diskSpec], cdroms: [{ id: "cd-0", imageId }] }) }, [volume]);
	await refused({ kind: "imageDelete", id: imageId, task: task("image.delete", imageId) }, "in-use");
	await apply({ kind: "vmUpdate", id: vmId, spec: specWithDisk, task: task("vm.update") });
	await refused({ kind: "imageDelete", id: imageId, task: task("image.delete", imageId) }, "in-use");
	await refused({ kind: "networkDelete", id: fixtureId(0x999), task: task("network.delete") }, "not-found");
	await refused({ kind: "poolDelete", id: clusterIds.pool, task: task("pool.delete", clusterIds.pool) }, "in-use");
});
