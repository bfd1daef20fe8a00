/** How far the networks and pools that a VM needs are ready on a node. Pure. What is not will wait there; another node may do better. */
import type { Network } from "../model/network.ts";
import { type PartRank, partRank } from "../model/pool-parts.ts";
import type { Pool } from "../model/storage.ts";

/**
 * Ranks are those of pools: the worst of what is needed. `degraded`: what works, with a warning, and `unready`: what does not yet, as in
 * "the network NAME".
 */
export type Readiness = { rank: PartRank; degraded: readonly string[]; unready: readonly string[] };

type NeededNetwork = Pick<Network, "name" | "nodes">;
/** Any of `anyOf` does. */
type NeededPool = { anyOf: readonly Pick<Pool, "name" | "nodes">[] };
type Judged = { what: string; rank: PartRank };

function networkRank({ nodes }: NeededNetwork, nodeId: string): PartRank {
	const health = nodes.find((part) => part.nodeId === nodeId)?.health;
	return health === "healthy" ? 0 : health === undefined ? 2 : 3;
}

export function readinessOn(
	nodeId: string,
	{ networks, pools }: { networks: readonly NeededNetwork[]; pools: readonly NeededPool[] },
): Readiness {
	const judged = [
		...networks.map((network) => ({ what: `the network ${network.name}`, rank: networkRank(network, nodeId) })),
		...pools.map(({ anyOf }) => bestOf(anyOf, nodeId)),
	];
	const names = (isSo: (rank: PartRank) => boolean) =>
		[...new Set(judged.filter(({ rank }) => isSo(rank)).map(({ what }) => what))].sort();
	return {
		rank: Math.max(0, ...judged.map(({ rank }) => rank)) as PartRank,
		degraded: names((rank) => rank === 1),
		unready: names((rank) => rank > 1),
	};
}

function bestOf(pools: NeededPool["anyOf"], nodeId: string): Judged {
	const ranked = pools.map((pool) => ({ what: `the storage pool ${pool.name}`, rank: partRank(pool, nodeId) }));
	const [best] = ranked.sort((a, b) => a.rank - b.rank);
	return best ?? { what: "storage", rank: 3 };
}
