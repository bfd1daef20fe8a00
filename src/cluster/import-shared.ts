/**
 * Shared pools among what a node brings. One that was removed comes back to those that the cluster has, and to what is in them, which
 * the cluster knows better; pools of another cluster stay behind (sharedPoolClashes in model/join-clashes.ts says why).
 */
import { AppError } from "../lib/errors.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Pool, Volume } from "../model/storage.ts";
import { copiesStandAlone, isShared, needsSource } from "../model/storage-rules.ts";
import type { Vm, VmSpec } from "../model/vm.ts";
import type { StoreReader } from "../store/store.ts";

/** It is a member by now, so on its own it can neither move what is in the pool nor delete it. */
const hasToTurnBack = (poolName: string, nodeName: string): string =>
	`The storage pool ${poolName} is of a type that is not brought along, and nothing that ${nodeName} had is recorded without it. \`limiquantix cluster leave\` on ${nodeName} makes it what it was before: move the volumes and images of the pool to a local one there, or delete them, delete the pool, and join again.`;

type Brought = { pools: Pool[]; volumes: Volume[]; vms: Vm[]; snapshots?: Snapshot[] };

/**
 * As it is brought, and the VMs that are not: the cluster has deleted them, and what has become of their disks in shared pools since keeps
 * them from being attached again. `alone`: it had a cluster of its own, so that what is in its shared pools is nowhere else; it
 * was asked about them before it was admitted, so `wrong-state` is for what came in between, or was admitted by a member of before. `freesSources`:
 * all members know of copies that stand alone ("free-sources-1").
 */
export function withoutShared<T extends Brought>(
	objects: T,
	{ alone, nodeName, freesSources }: { alone: boolean; nodeName: string; freesSources: boolean },
	cluster: Pick<StoreReader, "get" | "all">,
): { objects: T; leftOut: Vm[] } {
	const stays = (pool: Pool) => isShared(pool) && cluster.get("pool", pool.id) === null;
	const lost = objects.pools.find(stays);
	if (alone && lost !== undefined) throw new AppError("wrong-state", hasToTurnBack(lost.name, nodeName));
	const pools = objects.pools.filter((pool) => !stays(pool));
	const own = new Set(objects.volumes.map(({ id }) => id));
	const isFree = ({ volumeId, readOnly }: VmSpec["disks"][number]) => {
		const volume = cluster.get("volume", volumeId);
		if (volume === null || volume.vmId !== null || volume.phase === "deleting" || volume.phase === "error")
			return false;
		const pool = cluster.get("pool", volume.poolId);
		if (pool === null || !pools.some(({ id }) => id === pool.id)) return false;
		// As it is attached (store/apply/vm-spec.ts).
		if (readOnly) return true;
		const standAlone = freesSources && copiesStandAlone(pool);
		const isBeingMade = ({ phase }: Volume) => phase === "pending" || phase === "creating";
		return !cluster
			.all("volume", { sourceVolumeId: volumeId })
			.some((copy) => copy.source.kind === "clone" && needsSource(copy) && (!standAlone || isBeingMade(copy)));
	};
	const isLeftOut = ({ id, spec }: Vm) =>
		cluster.get("vm", id) === null && spec.disks.some((disk) => !own.has(disk.volumeId) && !isFree(disk));
	const leftOut = objects.vms.filter(isLeftOut);
	const ids = new Set(leftOut.map(({ id }) => id));
	return {
		objects: {
			...objects,
			pools,
			vms: objects.vms.filter(({ id }) => !ids.has(id)),
			...(objects.snapshots && { snapshots: objects.snapshots.filter(({ vmId }) => !ids.has(vmId)) }),
		},
		leftOut,
	};
}
