/**
 * Numbers of nodes for sanlock, which tells hosts of a shared volume group apart by them: 1 to 2000, one for each node in the whole
 * cluster, since a host has one for all of its groups. A node keeps the number that it has.
 */
import { AppError } from "../../lib/errors.ts";
import type { PoolConfig } from "../../model/pool-config.ts";
import type { Pool } from "../../model/storage.ts";

const maxHostId = 2000;

/** `config` with a number for each of `nodeIds`; any other pool's as it is. */
export function withHostIds(config: PoolConfig, nodeIds: readonly string[], pools: readonly Pool[]): PoolConfig {
	if (!("hostIds" in config)) return config;
	const known = new Map<string, number>();
	for (const pool of pools)
		if ("hostIds" in pool.config) for (const [nodeId, id] of Object.entries(pool.config.hostIds)) known.set(nodeId, id);
	const taken = new Set(known.values());
	const hostIds: Record<string, number> = {};
	for (const nodeId of nodeIds) {
		let id = known.get(nodeId);
		for (let next = 1; id === undefined && next <= maxHostId; next++) if (!taken.has(next)) id = next;
		if (id === undefined)
			throw new AppError("wrong-state", "There are no numbers left for the nodes of shared volume groups.");
		taken.add(id);
		hostIds[nodeId] = id;
	}
	return { ...config, hostIds };
}
