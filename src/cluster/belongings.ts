/** What a node has and brings along when it joins; and what the cluster has, that it may clash with. */
import type { Brought, Holdings, Present } from "../model/join-clashes.ts";
import type { Pool } from "../model/storage.ts";
import { isShared } from "../model/storage-rules.ts";
import type { StoreReader } from "../store/store.ts";

type Reader = Pick<StoreReader, "all" | "get">;

/** Only what clashes are found by: a VM's cloud-init alone may be larger than a whole request to join. */
function holdingsOf(store: Reader): Holdings {
	return {
		pools: store.all("pool").map(({ id, name, type, config }) => ({ id, name, type, config })),
		networks: store.all("network").map(({ id, name, config }) => ({ id, name, config })),
		images: store.all("image").map(({ id, name, nodeId, poolId }) => ({ id, name, nodeId, poolId })),
		volumes: store.all("volume").map(({ id, name, nodeId, poolId }) => ({ id, name, nodeId, poolId })),
		vms: store.all("vm").map(({ id, name, nodeId, spec }) => ({ id, name, nodeId, spec: { nics: spec.nics } })),
	};
}

/**
 * Of a node that joins. One that was removed has a whole cluster in its copy, of which only a part is its own: pools that it
 * was in, or that something of its own lies in. `marked`: pools whose folders bear its marks; its copy has forgotten that it was in
 * them when it has heard of its removal.
 */
export function broughtBy(store: Reader, nodeId: string, marked: ReadonlySet<string>): Brought {
	const all = holdingsOf(store);
	const isOwn = (object: { nodeId: string | null }) => object.nodeId === nodeId;
	const poolIds = new Set(ownPools(store, nodeId, marked).map(({ id }) => id));
	const needed = new Set(sharedPoolsOf(store, nodeId).map(({ id }) => id));
	return {
		pools: all.pools.filter((pool) => poolIds.has(pool.id) && (!isShared(pool) || needed.has(pool.id))),
		networks: all.networks,
		images: all.images.filter(isOwn),
		volumes: all.volumes.filter(isOwn),
		vms: all.vms.filter(isOwn),
		nodeId,
		nodeName: store.get("node", nodeId)?.name ?? nodeId,
	};
}

export function ownPools(store: Pick<Reader, "all">, nodeId: string, marked: ReadonlySet<string>): Pool[] {
	const used = [...store.all("image", { nodeId }), ...store.all("volume", { nodeId })].map(({ poolId }) => poolId);
	const ids = new Set([...used, ...marked, ...sharedPoolsOf(store, nodeId).map(({ id }) => id)]);
	return store.all("pool").filter(({ id, nodeIds }) => nodeIds.includes(nodeId) || ids.has(id));
}

/**
 * Shared pools that are this node's affair: all of its own cluster, if it is alone in it; else those that its VMs have disks or discs in. The others are
 * those of the members that stay there.
 */
export function sharedPoolsOf(store: Pick<Reader, "all">, nodeId: string): Pool[] {
	const shared = store.all("pool").filter(isShared);
	if (!hasOthers(store, nodeId)) return shared;
	const used = new Set(poolsOfVms(store, nodeId));
	return shared.filter(({ id }) => used.has(id));
}

export const hasOthers = (store: Pick<Reader, "all">, nodeId: string): boolean =>
	store.all("node").some(({ id, status }) => id !== nodeId && status.phase !== "left");

function poolsOfVms(store: Pick<Reader, "all">, nodeId: string): string[] {
	const vms = store.all("vm", { nodeId });
	const vmIds = new Set(vms.map(({ id }) => id));
	const discs = new Set(vms.flatMap(({ spec }) => spec.cdroms.map(({ imageId }) => imageId)));
	return [
		...store.all("volume").flatMap(({ vmId, poolId }) => (vmId !== null && vmIds.has(vmId) ? [poolId] : [])),
		...store.all("image").flatMap(({ id, poolId }) => (discs.has(id) ? [poolId] : [])),
	];
}

export const presentIn = (store: Reader): Present => ({
	...holdingsOf(store),
	memberIds: store.all("node").flatMap(({ id, status }) => (status.phase === "left" ? [] : [id])),
});
