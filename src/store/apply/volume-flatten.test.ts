/** Copy-on-write copies that are made to stand alone: when they may, what that keeps from happening, and what is so afterwards. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Volume } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import { localCapabilities } from "../../storage/local/capabilities.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureNfs,
	fixturePool,
	fixtureSnapshot,
	fixtureTask,
	fixtureTime,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

let store: MemoryStore;
let nextTask = 0x1000;
const [base, copy, last] = [fixtureId(0x200), fixtureId(0x201), fixtureId(0x202)];
const vmId = fixtureId(0x100);

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string, message: string) =>
	expect(apply(body)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
const taskOf = (kind: Task["kind"], id: string): Task =>
	fixtureTask(kind, { kind: "volume", id }, { id: fixtureId(nextTask++), cancelable: true });
const finish = (id: string) => apply({ kind: "taskUpdate", id, state: "succeeded" });
const volume = (id: string) => store.get("volume", id) as Volume;
const flatten = (id = copy): CommandBody => ({ kind: "volumeFlatten", id, task: taskOf("volume.flatten", id) });
const flattened = (taskId: string, id = copy): CommandBody => ({
	kind: "volumeFlattened",
	id,
	taskId,
	allocatedBytes: 77,
});
const underWay = (): Task => {
	const [task] = store.all("task", { kind: "volume.flatten", state: ["pending", "running"] });
	if (!task) throw new Error("nothing is made to stand alone");
	return task;
};

async function create(id: string, source: Volume["source"], ready = true, place: Partial<Volume> = {}): Promise<void> {
	const made = fixtureVolume({ id, name: `volume-${id.slice(-3)}`, sizeBytes: 2 ** 30, source, ...place });
	const task = taskOf("volume.create", id);
	await apply({ kind: "volumeCreate", volume: made, task });
	if (!ready) return;
	await apply({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 8192 });
	await finish(task.id);
}

async function vmWith(volumeId: string, powerState: "running" | "stopped"): Promise<void> {
	const disk = { id: "disk-0", volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	const task = fixtureTask("vm.create", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) });
	const vm = fixtureVm({ id: vmId, spec: fixtureVmSpec({ disks: [disk] }) });
	await apply({ kind: "vmCreate", vm, volumes: [], task });
	await finish(task.id);
	await apply({ kind: "vmStatus", id: vmId, nodeId: clusterIds.node, status: { ...vm.status, powerState } });
}

/** As its node says: a VM must not have it open, or (Ceph) may. */
async function poolCan(online: boolean): Promise<void> {
	const { flattenOnline: _reason, ...others } = localCapabilities.reasons;
	const capabilities = online ? { ...localCapabilities, reasons: others } : localCapabilities;
	const figures = { totalBytes: null, usedBytes: null, availableBytes: null, capabilities, updatedAt: fixtureTime };
	await apply({
		...{ kind: "poolNodeStatus", id: clusterIds.pool },
		status: { nodeId: clusterIds.node, health: "healthy", reason: null, ...figures },
	});
}

beforeEach(async () => {
	store = await openMemoryStore({ clock: new ManualClock(), commands: [fixtureCluster()] });
	await poolCan(false);
	await create(base, { kind: "empty" });
	await create(copy, { kind: "clone", volumeId: base, fullCopy: false });
});
afterEach(() => store.close());

test("all of what rests on a volume is named, when it is to go or to grow", async () => {
	for (let number = 0; number < 11; number++)
		await create(fixtureId(0x210 + number), { kind: "clone", volumeId: base, fullCopy: false });
	const remove: CommandBody = { kind: "volumeDelete", id: base, task: taskOf("volume.delete", base) };
	const names = "volume-201, volume-210, volume-211, volume-212, volume-213, volume-214, volume-215, volume-216";
	await refused(remove, "in-use", `The volumes ${names}, volume-217, volume-218 and 2 more are made from the volume`);
	const task = taskOf("volume.resize", base);
	await refused({ kind: "volumeResize", id: base, sizeBytes: 2 ** 40, task }, "in-use", names);
});

test("what it was made of can go once its node says that it stands alone, and not before", async () => {
	const remove = (): CommandBody => ({ kind: "volumeDelete", id: base, task: taskOf("volume.delete", base) });
	await refused(remove(), "in-use", "is made from the volume");
	await apply(flatten());
	expect(underWay()).toMatchObject({ cancelable: true, input: {} });
	await refused(remove(), "in-use", "is made from the volume");
	await apply(flattened(underWay().id));
	expect(volume(copy)).toMatchObject({
		...{ source: { kind: "clone", volumeId: base, fullCopy: true }, allocatedBytes: 77, phase: "ready" },
		generation: 1,
	});
	await apply(remove());
});

test("only what depends on something, and only for its own task", async () => {
	await refused(flatten(base), "wrong-state", "depends on nothing");
	await refused(flattened(fixtureId(0xaaaa)), "wrong-state", "Nobody asked");
	await apply(flatten());
	const { id } = underWay();
	await refused(flattened(store.all("task", { kind: "volume.create" })[0]?.id ?? ""), "wrong-state", "Nobody asked");
	await apply({ kind: "taskUpdate", id, state: "canceled" });
	await refused(flattened(id), "wrong-state", "Nobody asked");
	await apply(flatten());
	await apply(flattened(underWay().id));
	await finish(underWay().id);
	await refused(flatten(), "wrong-state", "depends on nothing");
});

test("nothing else happens to it meanwhile", async () => {
	await vmWith(copy, "stopped");
	await apply(flatten());
	const check = { kind: "volumeCheck", id: copy, repair: false, task: taskOf("volume.check", copy) } as const;
	await refused(check, "wrong-state", "stand alone");
	await refused(flatten(), "wrong-state", "stand alone");
	await refused(
		{ kind: "volumeResize", id: copy, sizeBytes: 2 ** 31, task: taskOf("volume.resize", copy) },
		"wrong-state",
		"stand alone",
	);
	await expect(create(last, { kind: "clone", volumeId: copy, fullCopy: true })).rejects.toMatchObject({
		code: "wrong-state",
	});
	const snapshot = fixtureSnapshot({ id: fixtureId(0x280), vmId });
	const task = fixtureTask("vm.snapshot", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) });
	await refused({ kind: "snapshotCreate", snapshot, task }, "wrong-state", "under way");
	await apply({ kind: "taskUpdate", id: underWay().id, state: "canceled" });
	await apply({ kind: "snapshotCreate", snapshot, task });
	await refused(flatten(), "wrong-state", "Work on snapshots");
	await apply({ kind: "snapshotStatus", id: snapshot.id, phase: "ready", powerState: "stopped" });
	await finish(task.id);
	await apply(flatten());
	const removal = fixtureTask("snapshot.delete", { kind: "snapshot", id: snapshot.id }, { id: fixtureId(nextTask++) });
	await refused({ kind: "snapshotDelete", id: snapshot.id, task: removal }, "wrong-state", "stand alone");
});

test("its VM has to be off where the pool says so, and so have those of its copies", async () => {
	await vmWith(copy, "running");
	await refused(flatten(), "wrong-state", "shut it down first. Only QEMU itself");
	await poolCan(true);
	await apply(flatten());
});

test("copies of copies that run, or are being made, keep it as it is", async () => {
	await create(last, { kind: "clone", volumeId: copy, fullCopy: false }, false);
	await refused(flatten(), "wrong-state", "being made from");
	await apply({ kind: "volumeStatus", id: last, phase: "ready", allocatedBytes: 0 });
	const far = fixtureId(0x203);
	await create(far, { kind: "clone", volumeId: last, fullCopy: false });
	await vmWith(far, "running");
	await refused(flatten(), "in-use", "rests on volume-201, and its VM runs");
	await poolCan(true);
	await apply(flatten());
});

test("the VM of what rests on it does not get it open meanwhile, where its files are needed", async () => {
	const far = fixtureId(0x203);
	await create(last, { kind: "clone", volumeId: copy, fullCopy: false });
	await create(far, { kind: "clone", volumeId: last, fullCopy: false });
	await vmWith(far, "stopped");
	const branch = fixtureId(0x204);
	await create(branch, { kind: "clone", volumeId: copy, fullCopy: false });
	await apply(flatten());
	const start = (): CommandBody => {
		const task = fixtureTask("vm.start", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) });
		return { kind: "vmAction", id: vmId, desiredPower: "running", task };
	};
	await refused(start(), "wrong-state", "volume-201 is being made to stand alone");
	const disk = (volumeId: string, id: string) =>
		({ id, volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false }) as const;
	const [other, fresh] = [fixtureId(0x101), fixtureId(0x102)];
	const vm = fixtureVm({ id: other, name: "other", spec: fixtureVmSpec({ disks: [] }) });
	const created = (of: typeof vm): CommandBody => ({
		...{ kind: "vmCreate", vm: of, volumes: [] },
		task: fixtureTask("vm.create", { kind: "vm", id: of.id }, { id: fixtureId(nextTask++) }),
	});
	// One that is to start at once, and one that runs and gets it plugged in.
	const begun = fixtureVm({
		...{ id: fresh, name: "fresh", spec: fixtureVmSpec({ disks: [disk(branch, "disk-0")] }), desiredPower: "running" },
	});
	await refused(created(begun), "wrong-state", "volume-201 is being made to stand alone");
	await apply(created(vm));
	const status = { ...vm.status, powerState: "running" } as const;
	await apply({ kind: "vmStatus", id: other, nodeId: clusterIds.node, status });
	const [made] = store.all("task", { kind: "vm.create", targetId: other });
	await finish(made?.id ?? "");
	const plug = (): CommandBody => ({
		...{ kind: "vmUpdate", id: other, expectedGeneration: 1 },
		spec: fixtureVmSpec({ disks: [disk(branch, "disk-1")] }),
		task: fixtureTask("vm.update", { kind: "vm", id: other }, { id: fixtureId(nextTask++) }),
	});
	await refused(plug(), "wrong-state", "volume-201 is being made to stand alone");
	// Where VMs may have it open, nothing is in their way.
	await poolCan(true);
	await apply(plug());
	await poolCan(false);
	await apply({ kind: "taskUpdate", id: underWay().id, state: "canceled" });
	await apply(start());
});

test("the pool keeps the node that does it", async () => {
	const nfs = fixturePool({ id: fixtureId(0x500), name: "files", type: "nfs", config: fixtureNfs });
	await apply({
		...{ kind: "poolCreate", pool: nfs },
		task: fixtureTask("pool.create", { kind: "pool", id: nfs.id }, { id: fixtureId(nextTask++) }),
	});
	const [below, above] = [fixtureId(0x210), fixtureId(0x211)];
	await create(below, { kind: "empty" }, true, { poolId: nfs.id, nodeId: null });
	await create(above, { kind: "clone", volumeId: below, fullCopy: false }, true, { poolId: nfs.id, nodeId: null });
	const without = (): CommandBody => ({
		...{ kind: "poolUpdate", id: nfs.id, expectedGeneration: 1, nodeIds: [] },
	});
	await apply(flatten(above));
	await refused(without(), "in-use", "it makes the volume volume-211 stand alone");
	await apply({ kind: "taskUpdate", id: underWay().id, state: "canceled" });
	const image = fixtureImage({
		...{ id: fixtureId(0x310), name: "copied", poolId: nfs.id, nodeId: null, phase: "importing" },
		source: { kind: "image", imageId: fixtureId(0x311) },
	});
	const origin = fixtureImage({ id: fixtureId(0x311), name: "origin" });
	await apply({
		...{ kind: "imageCreate", image: origin },
		task: fixtureTask("image.import", { kind: "image", id: origin.id }, { id: fixtureId(nextTask++) }),
	});
	const size = { fileSizeBytes: 10, virtualSizeBytes: 512, receivedBytes: 10, sha256: "0".repeat(64) };
	await apply({ kind: "imageStatus", id: origin.id, phase: "ready", ...size });
	const task = fixtureTask("image.import", { kind: "image", id: image.id }, { id: fixtureId(nextTask++) });
	await apply({ kind: "imageCreate", image, task });
	await refused(without(), "in-use", "it copies the image copied into it");
});

test("deleting its VM calls it off", async () => {
	await vmWith(copy, "stopped");
	await apply(flatten());
	const task = fixtureTask("vm.delete", { kind: "vm", id: vmId }, { id: fixtureId(nextTask++) });
	await apply({ kind: "vmDelete", id: vmId, deleteVolumes: true, task });
	expect(underWay().cancelRequested).toBe(true);
});
