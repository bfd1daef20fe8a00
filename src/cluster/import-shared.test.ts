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
type Cluster = Parameters<typeof withoutShared>[3];
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
	const work = () => withoutShared(objects, true, "node-2", clusterWith({}));
	const message = expect.stringMatching(
		/pool nas .* `limiquantix cluster leave` on node-2 makes it what it was before/,
	);
	expect(work).toThrow(expect.objectContaining({ code: "wrong-state", message }));
	const unshared = { ...objects, pools: [local], vms: [here] };
	expect(withoutShared(unshared, true, "node-2", clusterWith({})).objects.vms).toEqual([here]);
});

const disk = fixtureVolume({ id: fixtureId(0xd15c), poolId: nas.id, nodeId: null, phase: "ready" });

test("one that was a member comes back to the pools and VMs that the cluster has", () => {
	const known = clusterWith({ pools: [nas], vms: [there], volumes: [{ ...disk, vmId: there.id }] });
	expect(withoutShared(objects, false, "node-2", known)).toEqual({ objects, leftOut: [] });
	expect(withoutShared(objects, false, "node-2", clusterWith({})).objects.pools).toEqual([local]);
});

test("a VM that was deleted while its node was away comes back for as long as its disk is there, and is nobody else's", () => {
	const known = (volumes: Volume[], pools = [nas]) =>
		withoutShared(objects, false, "node-2", clusterWith({ pools, volumes }));
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
