/** What copies were made of: in pools where they stand alone it is written to, grows and is copied; elsewhere it stays what it is. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { CephRbdPoolConfig, IscsiLvmPoolConfig } from "../../model/pool-config.ts";
import type { Pool } from "../../model/storage.ts";
import type { TaskKind } from "../../model/task.ts";
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

const ceph: CephRbdPoolConfig = {
	monitors: ["10.0.0.6"],
	user: "vms",
	cephPool: "vms",
	namespace: null,
	dataPool: null,
};
const lun = (layout: "thick" | "thin"): IscsiLvmPoolConfig => ({
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.1" },
	...{ chapUser: null, mutualChapUser: null, layout, wipeOnDelete: false, hostIds: { [clusterIds.node]: 1 } },
});
const pools = {
	ceph: { type: "ceph-rbd", config: ceph },
	thin: { type: "iscsi-lvm", config: lun("thin") },
	thick: { type: "iscsi-lvm", config: lun("thick") },
	nfs: { type: "nfs", config: fixtureNfs },
} satisfies Record<string, Pick<Pool, "type" | "config">>;

const [poolId, base, copy, other, vmId] = [0x700, 0x200, 0x201, 0x202, 0x100].map((number) => fixtureId(number)) as [
	...[string, string, string, string, string],
];
let store: MemoryStore;
let nextTask = 0x1000;
const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const task = (kind: TaskKind, id: string, target: "volume" | "vm" | "pool" = "volume") =>
	fixtureTask(kind, { kind: target, id }, { id: fixtureId(nextTask++) });

async function made(id: string, of: string | null, known: { freeSources?: true }, ready = true): Promise<void> {
	const volume = fixtureVolume({
		...{ id, name: `v${id.slice(-3)}`, poolId, nodeId: null, format: "raw", sizeBytes: 2 ** 30 },
		source: of === null ? { kind: "empty" } : { kind: "clone", volumeId: of, fullCopy: false },
	});
	const work = task("volume.create", id);
	await apply({ kind: "volumeCreate", volume, task: work, ...known });
	if (!ready) return;
	await apply({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 8192 });
	await apply({ kind: "taskUpdate", id: work.id, state: "succeeded" });
}
const grown = (known: { freeSources?: true }) =>
	apply({ kind: "volumeResize", id: base, sizeBytes: 2 ** 31, task: task("volume.resize", base), ...known });
const withDisk = (readOnly: boolean) =>
	fixtureVmSpec({ disks: [{ id: "disk-0", volumeId: base, bus: "virtio", cache: "none", discard: true, readOnly }] });
async function attached(known: { freeSources?: true }, readOnly = false): Promise<void> {
	const vm = fixtureVm({ id: vmId, spec: withDisk(readOnly) });
	await apply({ kind: "vmCreate", vm, volumes: [], task: task("vm.create", vmId, "vm"), ...known });
}
const written = (known: { freeSources?: true }) =>
	apply({ kind: "vmUpdate", id: vmId, spec: withDisk(false), task: task("vm.update", vmId, "vm"), ...known });
/** A node that was removed comes back with a VM that the cluster has deleted meanwhile. */
async function comesBack(known: { freeSources?: true }): Promise<void> {
	const [id, formerNodeId] = [fixtureId(0x990), fixtureId(0x991)];
	for (const body of fixtureMember({ id, name: "node-2" }, new ManualClock().nowMs()).slice(0, 2)) await apply(body);
	const pools = store.all("pool").map((pool) => ({ ...pool, nodeIds: [formerNodeId], nodes: [] }));
	const vms = [fixtureVm({ id: vmId, nodeId: formerNodeId, spec: withDisk(false) })];
	const nothing = { networks: [], images: [], volumes: [], renameSuffix: null };
	await apply({ kind: "nodeImport", nodeId: id, formerNodeId, ...nothing, pools, vms, ...known });
}
async function open(kind: keyof typeof pools): Promise<void> {
	store = await openMemoryStore({ clock: new ManualClock(), commands: [fixtureCluster()] });
	const pool = fixturePool({ id: poolId, name: kind, ...pools[kind], nodeIds: [clusterIds.node] });
	await apply({ kind: "poolCreate", pool, task: task("pool.create", poolId, "pool") });
	await made(base, null, {});
}
afterEach(() => store.close());

describe.each(["ceph", "thin"] as const)("in a %s pool", (kind) => {
	beforeEach(() => open(kind));

	test("the source of a copy is attached for writing, and copied again, and grows", async () => {
		await made(copy, base, { freeSources: true });
		await attached({ freeSources: true });
		await made(other, base, { freeSources: true });
		await grown({ freeSources: true });
		expect(store.get("volume", base)).toMatchObject({ vmId, phase: "resizing" });
	});

	test("a disk that is read only becomes one that is written to", async () => {
		await made(copy, base, { freeSources: true });
		await attached({ freeSources: true }, true);
		await written({ freeSources: true });
		expect(store.get("vm", vmId)?.spec.disks).toMatchObject([{ readOnly: false }]);
	});

	test("a VM does not come back with its node by a command of a member of before, with the source as its disk", async () => {
		await made(copy, base, { freeSources: true });
		await expect(comesBack({})).rejects.toMatchObject({ code: "in-use" });
	});

	test("it does by those that know of it", async () => {
		await made(copy, base, { freeSources: true });
		await comesBack({ freeSources: true });
		expect(store.get("volume", base)).toMatchObject({ vmId });
	});

	test("not while the copy is being made", async () => {
		await made(copy, base, { freeSources: true }, false);
		await expect(grown({ freeSources: true })).rejects.toMatchObject({ code: "in-use" });
		await expect(attached({ freeSources: true })).rejects.toMatchObject({ code: "in-use" });
	});

	test("it is not deleted, since the records of the copies name it", async () => {
		await made(copy, base, { freeSources: true });
		const remove = apply({ kind: "volumeDelete", id: base, task: task("volume.delete", base) });
		await expect(remove).rejects.toMatchObject({ code: "in-use", message: expect.stringContaining("v201") });
	});

	test("a VM that runs keeps its disk from being copied", async () => {
		await attached({ freeSources: true });
		const { status } = fixtureVm({ id: vmId });
		await apply({ kind: "vmStatus", id: vmId, nodeId: clusterIds.node, status: { ...status, powerState: "running" } });
		await expect(made(copy, base, { freeSources: true })).rejects.toMatchObject({ code: "wrong-state" });
	});

	test("commands of members of before mean what they meant", async () => {
		await made(copy, base, {});
		await expect(grown({})).rejects.toMatchObject({ code: "in-use" });
		await expect(attached({})).rejects.toMatchObject({ code: "in-use" });
		await attached({ freeSources: true });
		await expect(made(other, base, {})).rejects.toMatchObject({ code: "in-use" });
	});
});

describe.each(["thick", "nfs"] as const)("in a %s pool", (kind) => {
	beforeEach(() => open(kind));

	test("the source stays what it is", async () => {
		await made(copy, base, { freeSources: true });
		await expect(grown({ freeSources: true })).rejects.toMatchObject({ code: "in-use" });
		await expect(attached({ freeSources: true })).rejects.toMatchObject({ code: "in-use" });
	});

	test("a disk that is read only stays that, by commands of members that know of it", async () => {
		await made(copy, base, { freeSources: true });
		await attached({ freeSources: true }, true);
		await expect(written({ freeSources: true })).rejects.toMatchObject({
			...{ code: "in-use", message: expect.stringContaining("share data with v200: v201. It stays read-only.") },
		});
		await written({});
		expect(store.get("vm", vmId)?.spec.disks).toMatchObject([{ readOnly: false }]);
		// One that is written to already is no matter of this.
		await written({ freeSources: true });
	});

	test("the disk of a VM is copied in full", async () => {
		await attached({ freeSources: true });
		await expect(made(copy, base, { freeSources: true })).rejects.toMatchObject({ code: "in-use" });
	});
});
