/** What a node has and brings along when it joins; and what the cluster has, that it may clash with. */
import type { Brought, Holdings, Present } from "../model/join-clashes.ts";
import type { Pool } from "../model/storage.ts";
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
	return {
		pools: all.pools.filter(({ id }) => poolIds.has(id)),
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
	return store.all("pool").filter(({ id, nodeIds }) => nodeIds.includes(nodeId) || used.includes(id) || marked.has(id));
}

export const presentIn = (store: Reader): Present => ({
	...holdingsOf(store),
	memberIds: store.all("node").flatMap(({ id, status }) => (status.phase === "left" ? [] : [id])),
});
