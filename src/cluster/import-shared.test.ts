/** What a node brings of storage pools that nodes share: nothing but that it is in them, where they are the cluster's. */
import { expect, test } from "bun:test";
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
const clusterWith = (...known: string[]) => ({
	get: ((_table: string, id: string) => (known.includes(id) ? { id } : null)) as unknown as Parameters<
		typeof withoutShared
	>[3]["get"],
});

test("one that had a cluster of its own is told that its pool does not come along, instead of losing it", () => {
	const work = () => withoutShared(objects, true, "node-2", clusterWith());
	expect(work).toThrow(expect.objectContaining({ code: "wrong-state", message: expect.stringContaining("pool nas") }));
	const unshared = { ...objects, pools: [local], vms: [here] };
	expect(withoutShared(unshared, true, "node-2", clusterWith()).objects.vms).toEqual([here]);
});

test("one that was a member comes back to the pools and VMs that the cluster has, and without those that it deleted", () => {
	const back = withoutShared(objects, false, "node-2", clusterWith(nas.id, there.id));
	expect(back).toEqual({ objects, leftOut: [] });
	const deleted = withoutShared(objects, false, "node-2", clusterWith(nas.id));
	expect(deleted.leftOut).toEqual([there]);
	expect([deleted.objects.vms, deleted.objects.snapshots]).toEqual([[here], snapshots.slice(0, 1)]);
	const gone = withoutShared(objects, false, "node-2", clusterWith());
	expect(gone.objects.pools).toEqual([local]);
});
