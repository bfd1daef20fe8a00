/**
 * Folders of pools that bear this node's marks, which keep them from any other pool. The state alone does not say which: it forgets a
 * node's part in its pools when the node is removed, which the node may hear of before it is let go, and a witness has none
 * in it. The node's own file does (node/pool-places.ts).
 */

import { existsSync } from "node:fs";
import type { Logger } from "../lib/log.ts";
import { localPath } from "../model/storage-rules.ts";
import { leftInPools } from "../node/left-in-pools.ts";
import { placeRecords } from "../node/pool-places.ts";
import { readRecords } from "../node/record-file.ts";
import { vmFolders as folders } from "../node/vm-folder.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { StoreReader } from "../store/store.ts";
import type { PoolFolders } from "./importing.ts";
import { clusterPathsOf } from "./node-file.ts";

export type MarkedPool = { id: string; path: string };
type Parts = {
	dataDir: string;
	node: Pick<StoreIdentity, "nodeId" | "clusterId">;
	store: Pick<StoreReader, "all" | "get">;
	poolFolders: Pick<PoolFolders, "release">;
	logger: Logger;
};

/** Of this member; nothing of what it was before. */
export async function markedPools({ dataDir, node, store, logger }: Omit<Parts, "poolFolders">): Promise<MarkedPool[]> {
	const { nodeId, clusterId } = node;
	const pools = new Map<string, MarkedPool>();
	for (const [id, place] of await readRecords({ dataDir, logger, folders }, placeRecords))
		if (place.type === "local" && place.path !== undefined && place.nodeId === nodeId && place.clusterId === clusterId)
			pools.set(id, { id, path: place.path });
	for (const pool of store.all("pool")) {
		const path = localPath(pool);
		if (path !== undefined && pool.nodeIds.includes(nodeId)) pools.set(pool.id, { id: pool.id, path });
	}
	return [...pools.values()];
}

/**
 * What a witness had pools in before it was one: it brought nothing that lay there, and has no pools. Not before it has arrived: until then it may
 * still become what it was. Never fails; what fails is tried again at the next start.
 */
export async function freeFormerPools({ dataDir, node, store, poolFolders, logger }: Parts): Promise<void> {
	if (!existsSync(clusterPathsOf(dataDir).imported)) return;
	const failed = (error: unknown, pool?: MarkedPool) =>
		logger.warn("the folder of a pool that this witness had before is not free yet", { ...pool, error });
	try {
		const places = await readRecords({ dataDir, logger, folders }, placeRecords);
		const local = [...places].flatMap(([id, { type, path }]) =>
			type === "local" && path !== undefined ? [{ id, path }] : [],
		);
		await releasePools({ dataDir, node, store, poolFolders, logger }, local, failed);
	} catch (error) {
		failed(error);
	}
}

/** Each with what this node has left in it. One that fails keeps no other: `failed` hears of it. */
export async function releasePools(
	{ dataDir, node, store, poolFolders, logger }: Parts,
	pools: readonly MarkedPool[],
	failed: (error: unknown, pool: MarkedPool) => void,
): Promise<void> {
	const left = await leftInPools({ dataDir, nodeId: node.nodeId, store, folders, logger });
	for (const pool of pools) {
		const { volumes, images } = left.find(({ poolId }) => poolId === pool.id) ?? { volumes: [], images: [] };
		await poolFolders.release(pool.path, pool.id, { volumes, images }).catch((error) => failed(error, pool));
	}
}
