/** How well a pool works on its nodes, and which of them is asked first. Pure: placement, the API, the nodes and the UI all go by this. */
import type { Pool } from "./storage.ts";

type Parts = Pick<Pool, "nodes">;

/** 0: it is healthy there. 1: it works, with a warning. 2: the node has not looked at it yet. 3: it does not work there. */
export type PartRank = 0 | 1 | 2 | 3;

export function partRank({ nodes }: Parts, nodeId: string): PartRank {
	switch (nodes.find((part) => part.nodeId === nodeId)?.health) {
		case undefined:
			return 2;
		case "healthy":
			return 0;
		case "degraded":
			return 1;
		default:
			return 3;
	}
}

/** Whether what the part says of itself is so now, sizes too. */
export const isWorking = ({ health }: Pick<Pool["nodes"][number], "health">): boolean =>
	health === "healthy" || health === "degraded";

export const worksOn = (pool: Parts, nodeId: string): boolean => partRank(pool, nodeId) <= 1;

/** Also on a node that has not looked at it yet: what goes there waits until it has. */
export const mayWorkOn = (pool: Parts, nodeId: string): boolean => partRank(pool, nodeId) <= 2;

/** What is left there now; null while that is not known. What a part said last before it failed is of no use to anybody. */
export function availableOn({ nodes }: Parts, nodeId: string): number | null {
	const part = nodes.find((one) => one.nodeId === nodeId);
	return part !== undefined && isWorking(part) ? part.availableBytes : null;
}

/** The node on which all of these pools work best, the first of several; null for none. */
export function bestNode(nodeIds: readonly string[], pools: readonly Parts[]): string | null {
	const rank = (nodeId: string) => Math.max(0, ...pools.map((pool) => partRank(pool, nodeId)));
	return [...nodeIds].sort((one, other) => rank(one) - rank(other))[0] ?? null;
}
