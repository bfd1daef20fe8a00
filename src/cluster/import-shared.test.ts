/** What a node brings of storage pools that nodes share: nothing but that it is in them, where they are the cluster's. */
import { expect, test } from "bun:test";
import type { Pool, Volume } from "../model/storage.ts";
import type { Vm } from "../model/vm.ts";
import {
	fixtureId,
	fixtureNfs,
	fixturePool,
	fixtureSnapshot,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { withoutShared } from "./import-shared.ts";

const local = fixturePool({ id: fixtureId(1), name: "local" });
const nas = fixturePool({ id: fixtureId(2), name: "nas", type: "nfs", config: fixtureNfs });
const volume = fixtureVolume({ id: fixtureId(3), poolId: local.id });
const vmWith = (number: number, volumeId: string) =>
	fixtureVm({
		id: fixtureId(number),
		spec: fixtureVmSpec({
			disks: [{ id: "disk-0", volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false }],
		}),
	});
const [here, there] = [vmWith(4, volume.id), vmWith(5, fixtureId(0xd15c))];
const snapshots = [here, there].map(({ id: vmId }) => fixtureSnapshot({ id: `of ${vmId}`, vmId }));
const objects = { pools: [local, nas], volumes: [volume], vms: [here, there], snapshots };
const node2 = (alone: boolean, freesSources = true) => ({ alone, nodeName: "node-2", freesSources });
type Cluster = Parameters<typeof withoutShared>[2];
const clusterWith = (known: { pools?: Pool[]; vms?: Vm[]; volumes?: Volume[] }): Cluster => {
	const { pools = [], vms = [], volumes = [] } = known;
	const tables: Record<string, { id: string }[]> = { pool: pools, vm: vms, volume: volumes };
	return {
		get: ((table: string, id: string) => tables[table]?.find((one) => one.id === id) ?? null) as Cluster["get"],
		all: ((_table: string, filter: { sourceVolumeId: string }) =>
			volumes.filter(
				({ source }) => source.kind === "clone" && source.volumeId === filter.sourceVolumeId,
			)) as Cluster["all"],
	};
};

test("one that had a cluster of its own is told that its pool does not come along, instead of losing it", () => {
	const work = () => withoutShared(objects, node2(true), clusterWith({}));
	const message = expect.stringMatching(
		/pool nas .* `limiquantix cluster leave` on node-2 makes it what it was before/,
	);
	expect(work).toThrow(expect.objectContaining({ code: "wrong-state", message }));
	const unshared = { ...objects, pools: [local], vms: [here] };
	expect(withoutShared(unshared, node2(true), clusterWith({})).objects.vms).toEqual([here]);
});

const disk = fixtureVolume({ id: fixtureId(0xd15c), poolId: nas.id, nodeId: null, phase: "ready" });

test("one that was a member comes back to the pools and VMs that the cluster has", () => {
	const known = clusterWith({ pools: [nas], vms: [there], volumes: [{ ...disk, vmId: there.id }] });
	expect(withoutShared(objects, node2(false), known)).toEqual({ objects, leftOut: [] });
	expect(withoutShared(objects, node2(false), clusterWith({})).objects.pools).toEqual([local]);
});

test("a VM that was deleted while its node was away comes back for as long as its disk is there, and is nobody else's", () => {
	const known = (volumes: Volume[], pools = [nas]) =>
		withoutShared(objects, node2(false), clusterWith({ pools, volumes }));
	expect(known([disk])).toEqual({ objects, leftOut: [] });
	const copy = fixtureVolume({ id: fixtureId(9), source: { kind: "clone", volumeId: disk.id, fullCopy: false } });
	for (const { leftOut, objects: brought } of [
		known([]),
		known([{ ...disk, vmId: fixtureId(8) }]),
		known([{ ...disk, phase: "deleting" }]),
		known([disk, copy]),
		known([{ ...disk, poolId: fixtureId(7) }]),
		known([disk], []),
	])
		expect([leftOut, brought.vms, brought.snapshots]).toEqual([[there], [here], snapshots.slice(0, 1)]);
});

test("copies that stand alone keep no disk from its VM, once all members know of them; nor do any a disk that is read only", () => {
	const config = { monitors: ["10.0.0.6"], user: "vms", cephPool: "vms", namespace: null, dataPool: null };
	const rbd = fixturePool({ id: nas.id, name: "rbd", type: "ceph-rbd", config });
	const copy = fixtureVolume({
		...{ id: fixtureId(9), poolId: nas.id, nodeId: null, phase: "ready" },
		source: { kind: "clone", volumeId: disk.id, fullCopy: false },
	});
	const back = (pool: Pool, volumes: Volume[], { freesSources = true, vm = there } = {}) => {
		const brought = { ...objects, pools: [local, pool], vms: [vm] };
		return (
			withoutShared(brought, node2(false, freesSources), clusterWith({ pools: [pool], volumes })).leftOut.length === 0
		);
	};
	const readOnly = {
		...there,
		spec: { ...there.spec, disks: there.spec.disks.map((one) => ({ ...one, readOnly: true })) },
	};
	expect(back(rbd, [disk, copy])).toBe(true);
	expect(back(rbd, [disk, { ...copy, phase: "creating" }])).toBe(false);
	expect(back(rbd, [disk, copy], { freesSources: false })).toBe(false);
	expect(back(nas, [disk, copy])).toBe(false);
	expect(back(nas, [disk, copy], { vm: readOnly })).toBe(true);
});
