/** How far the networks and pools that a VM needs are ready on a node. Pure. What is not will wait there; another node may do better. */
import type { Network } from "../model/network.ts";
import type { Pool } from "../model/storage.ts";

/** 0: all of it is ready. 1: the node has not looked at some of it yet. 2: some of it does not work there now. */
export type Rank = 0 | 1 | 2;
/** `unready`: what is not, as in "the network NAME". */
export type Readiness = { rank: Rank; unready: readonly string[] };

type NeededNetwork = Pick<Network, "name" | "nodes">;
/** Any of `anyOf` does. */
type NeededPool = { anyOf: readonly Pick<Pool, "name" | "nodes">[] };

type Part = { nodeId: string; health: string };
const rankOf = (parts: readonly Part[], nodeId: string): Rank => {
	const health = parts.find((part) => part.nodeId === nodeId)?.health;
	return health === "healthy" ? 0 : health === undefined ? 1 : 2;
};

export function readinessOn(
	nodeId: string,
	{ networks, pools }: { networks: readonly NeededNetwork[]; pools: readonly NeededPool[] },
): Readiness {
	const judged = [
		...networks.map(({ name, nodes }) => ({ what: `the network ${name}`, rank: rankOf(nodes, nodeId) })),
		...pools.map(({ anyOf }) => bestOf(anyOf, nodeId)),
	];
	const unready = new Set(judged.filter(({ rank }) => rank > 0).map(({ what }) => what));
	return { rank: Math.max(0, ...judged.map(({ rank }) => rank)) as Rank, unready: [...unready].sort() };
}

function bestOf(pools: NeededPool["anyOf"], nodeId: string): { what: string; rank: Rank } {
	const ranked = pools.map(({ name, nodes }) => ({ what: `the storage pool ${name}`, rank: rankOf(nodes, nodeId) }));
	const [best] = ranked.sort((a, b) => a.rank - b.rank);
	return best ?? { what: "storage", rank: 2 };
}
