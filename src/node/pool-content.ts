/** What lies in this node's part of a pool, with the names that the state has for whose it is. */
import { AppError } from "../lib/errors.ts";
import type { PoolContent } from "../model/pool-content.ts";
import type { ContentOwner } from "../storage/content.ts";
import type { StoreReader } from "../store/store.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { isHere, type Pools } from "./pools.ts";

type Parts = { context: NodeContext; pools: Pick<Pools, "driver"> };

export async function poolContent({ context, pools }: Parts, poolId: string, folder: string): Promise<PoolContent> {
	const { store, nodeId } = context;
	const pool = store.get("pool", poolId);
	if (!pool) throw new AppError("not-found", "There is no such storage pool.");
	if (!isHere(pool, nodeId)) throw new AppError("invalid", `The storage pool ${pool.name} is not on this node.`);
	const driver = await pools.driver(poolId);
	const look = (signal: AbortSignal) => driver.listContent(folder, { signal });
	const found = await limited(context, "Looking into the storage pool", limits.poolContentMs, look);
	const items = found.entries.map(({ belongsTo, ...entry }) => ({
		...entry,
		belongsTo: belongsTo && { ...belongsTo, ...recordOf(store, { poolId, nodeId }, belongsTo) },
	}));
	return { nodeId, folder, items, truncated: found.truncated };
}

type Place = { poolId: string; nodeId: string };

/** A volume has its id in two pools while it moves, and what is left of it may lie anywhere: the record says where it belongs. */
function recordOf(store: StoreReader, { poolId, nodeId }: Place, { kind, id, volumeId }: ContentOwner) {
	const isThere = (record: { poolId: string; nodeId: string | null } | null) =>
		record !== null && record.poolId === poolId && (record.nodeId === null || record.nodeId === nodeId);
	if (kind === "pool") return { name: store.get("pool", poolId)?.name ?? null, recorded: true };
	if (kind === "snapshot") {
		const snapshot = store.get("snapshot", id);
		const isOf = snapshot?.disks.some((disk) => disk.volumeId === volumeId) ?? false;
		return { name: snapshot?.name ?? null, recorded: isOf && isThere(store.get("volume", volumeId)) };
	}
	const record = store.get(kind === "volume" ? "volume" : "image", id);
	return { name: record?.name ?? null, recorded: isThere(record) };
}
