/**
 * Numbers of nodes for sanlock, which tells hosts of a shared volume group apart by them: 1 to 2000, each another one in a pool. A node
 * has one number in all pools, and nobody else has it in any, as far as that can be: what two requests chose at the same time, before that
 * was checked where commands apply, stays as it is until somebody changes the pool.
 */
import { AppError } from "../lib/errors.ts";
import type { PoolConfig } from "./pool-config.ts";
import type { Pool } from "./storage.ts";

const maxHostId = 2000;

type Numbered = Pick<Pool, "id" | "config">;
type HostIds = Readonly<Record<string, number>>;

const hostIdsOf = ({ config }: { config: PoolConfig }): HostIds => ("hostIds" in config ? config.hostIds : {});

/**
 * `config` with a number for each of `nodeIds`; any other pool's as it is. `poolId`: of the pool, whose nodes keep the numbers that they have in
 * it, since they hold leases with them. `pools`: all that there are.
 */
export function withHostIds(
	config: PoolConfig,
	nodeIds: readonly string[],
	pools: readonly Numbered[],
	poolId: string,
): PoolConfig {
	if (!("hostIds" in config)) return config;
	const before = pools.find(({ id }) => id === poolId);
	const kept = before === undefined ? {} : hostIdsOf(before);
	const taken = new Set(pools.flatMap((pool) => Object.values(hostIdsOf(pool))));
	const used = new Set(nodeIds.flatMap((nodeId) => kept[nodeId] ?? []));
	const hostIds: Record<string, number> = {};
	for (const nodeId of nodeIds) {
		const elsewhere = numbersOf(nodeId, pools).find((id) => !used.has(id));
		const id = kept[nodeId] ?? elsewhere ?? lowestFree(taken);
		used.add(id);
		taken.add(id);
		hostIds[nodeId] = id;
	}
	return { ...config, hostIds };
}

/**
 * As `withHostIds`, for a request to change the pool. Nodes that have one number in it, from before that was checked, get different ones: the first
 * of `nodeIds` keeps it, and only one of them can have been in the volume group at a time.
 */
export function withOwnHostIds(
	config: PoolConfig,
	nodeIds: readonly string[],
	pools: readonly Numbered[],
	poolId: string,
): PoolConfig {
	const distinct = (pool: Numbered): Numbered => {
		if (pool.id !== poolId || !("hostIds" in pool.config)) return pool;
		const { hostIds } = pool.config;
		const holders = nodeIds.filter((nodeId) => nodeId in hostIds);
		const isFirst = (nodeId: string) => holders.find((one) => hostIds[one] === hostIds[nodeId]) === nodeId;
		// A node that is taken out of the pool counts for what is taken only.
		const kept = Object.entries(hostIds).filter(([nodeId]) => isFirst(nodeId) || !holders.includes(nodeId));
		return { ...pool, config: { ...pool.config, hostIds: Object.fromEntries(kept) } };
	};
	return withHostIds(config, nodeIds, pools.map(distinct), poolId);
}

/** What the node is called in these pools, lowest first. */
const numbersOf = (nodeId: string, pools: readonly Numbered[]): number[] =>
	pools.flatMap((pool) => hostIdsOf(pool)[nodeId] ?? []).sort((one, other) => one - other);

function lowestFree(taken: ReadonlySet<number>): number {
	for (let id = 1; id <= maxHostId; id++) if (!taken.has(id)) return id;
	throw new AppError("wrong-state", "There are no numbers left for the nodes of shared volume groups.");
}

/**
 * Why the numbers of a new or changed pool are not as `withHostIds` would give them now, as a sentence: they were chosen before something else
 * changed. `pools`: as they are, with the pool as it was.
 */
export function hostIdsProblem(
	pool: Pick<Pool, "id" | "config" | "nodeIds">,
	pools: readonly Numbered[],
): string | null {
	if (!("hostIds" in pool.config)) return null;
	const { hostIds } = pool.config;
	const numbers = Object.values(hostIds);
	const isWhole = pool.nodeIds.every((nodeId) => nodeId in hostIds) && new Set(numbers).size === numbers.length;
	const isKnown = (nodeId: string, id: number) => numbersOf(nodeId, pools).includes(id);
	const isTaken = (id: number) => pools.some((other) => Object.values(hostIdsOf(other)).includes(id));
	/** One that it has elsewhere, and that is nobody else's here. */
	const hasOther = (nodeId: string) => numbersOf(nodeId, pools).some((id) => !numbers.includes(id));
	const fits = ([nodeId, id]: [string, number]) => isKnown(nodeId, id) || !(isTaken(id) || hasOther(nodeId));
	if (isWhole && Object.entries(hostIds).every(fits)) return null;
	return "Another storage pool got numbers for its nodes at the same time. Nothing was done: try again.";
}
