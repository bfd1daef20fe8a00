/** How full a pool is. A shared pool is the same on every node; others add up. */
import type { Pool } from "../../api/types.ts";

export type Usage = { used: number; total: number; available: number };

/** Null while no node has reported. */
export function poolUsage(pool: Pick<Pool, "nodes" | "type">): Usage | null {
	const known = pool.nodes.filter(({ totalBytes, usedBytes }) => totalBytes !== null && usedBytes !== null);
	const counted = pool.type === "local" ? known : known.slice(0, 1);
	if (counted.length === 0) return null;
	const usage = { used: 0, total: 0, available: 0 };
	for (const { totalBytes, usedBytes, availableBytes } of counted) {
		usage.total += totalBytes ?? 0;
		usage.used += usedBytes ?? 0;
		usage.available += availableBytes ?? 0;
	}
	return usage;
}
