/** What a node has and brings along when it joins; and what the cluster has, that it may clash with. */
import type { Brought, Holdings, Present } from "../model/join-clashes.ts";
import type { StoreReader } from "../store/store.ts";

type Reader = Pick<StoreReader, "all" | "get">;

/** Only what clashes are found by: a VM's cloud-init alone may be larger than a whole request to join. */
function holdingsOf(store: Reader): Holdings {
	return {
		pools: store.all("pool").map(({ id, name, type, config }) => ({ id, name, type, config })),
		networks: store.all("network").map(({ id, name, config }) => ({ id, name, config })),
		images: store.all("image").map(({ id, name, nodeId }) => ({ id, name, nodeId })),
		volumes: store.all("volume").map(({ id, name, nodeId, poolId }) => ({ id, name, nodeId, poolId })),
		vms: store.all("vm").map(({ id, name, nodeId, spec }) => ({ id, name, nodeId, spec: { nics: spec.nics } })),
	};
}

/** Of a node that is alone: all of it is its own. */
export const broughtBy = (store: Reader, nodeId: string): Brought => ({
	...holdingsOf(store),
	nodeId,
	nodeName: store.get("node", nodeId)?.name ?? nodeId,
});

export const presentIn = (store: Reader): Present => ({
	...holdingsOf(store),
	memberIds: store.all("node").flatMap(({ id, status }) => (status.phase === "left" ? [] : [id])),
});
