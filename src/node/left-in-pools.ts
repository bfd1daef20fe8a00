/**
 * What a node has in its pools although no record of the state says so, when it leaves or the pool is deleted: copies of other nodes'
 * images, what came of VMs that were moving here, disks that have moved away and were not removed yet. Nobody would know of it
 * afterwards, and a pool that is made in the same folder needs an empty one.
 */
import type { Logger } from "../lib/log.ts";
import type { Store } from "../store/store.ts";
import { discardOf } from "./discard.ts";
import { copyRecords } from "./image-copies.ts";
import { moveRecords } from "./moves.ts";
import { readRecords } from "./record-file.ts";
import type { VmFolders } from "./vm-folder.ts";
import { volumeMoveRecords } from "./volume-moves.ts";

export type LeftInPools = {
	dataDir: string;
	nodeId: string;
	store: Pick<Store, "all" | "get">;
	folders: Pick<VmFolders, "readRecord">;
	logger: Logger;
};
export type LeftInPool = { poolId: string; volumes: string[]; images: string[] };

/** By pool. Nothing that is this node's by its copy of the state is among it. Call when the node's loops have ended. */
export const leftInPools = (parts: LeftInPools): Promise<LeftInPool[]> => collect(parts, knowsThatItLeft(parts));

/** Of a pool that is gone from a state that is up to date. */
export async function leftOfPool(parts: LeftInPools, poolId: string): Promise<LeftInPool> {
	const left = await collect(parts, true);
	return left.find((one) => one.poolId === poolId) ?? { poolId, volumes: [], images: [] };
}

async function collect(parts: LeftInPools, upToDate: boolean): Promise<LeftInPool[]> {
	const { store, nodeId } = parts;
	const pools = new Map<string, LeftInPool>();
	const add = (kind: "volumes" | "images", poolId: string, id: string) => {
		const left = pools.get(poolId) ?? { poolId, volumes: [], images: [] };
		pools.set(poolId, left);
		if (!left[kind].includes(id)) left[kind].push(id);
	};
	for (const [id, { poolId }] of await readRecords(parts, copyRecords))
		if (store.get("image", id)?.nodeId !== nodeId) add("images", poolId, id);
	// Of a copy that may be behind: a VM may have come here since, and then these disks are all there is of it.
	if (!upToDate) return [...pools.values()];
	const isElsewhere = (id: string, poolId: string) => {
		const volume = store.get("volume", id);
		return volume?.poolId !== poolId || (volume.nodeId !== nodeId && volume.nodeId !== null);
	};
	for (const [, { volumes }] of await readRecords(parts, moveRecords))
		for (const { id, poolId } of volumes) if (isElsewhere(id, poolId)) add("volumes", poolId, id);
	for (const [id, { toPoolId }] of await readRecords(parts, volumeMoveRecords))
		if (isElsewhere(id, toPoolId)) add("volumes", toPoolId, id);
	for (const task of store.all("task", { kind: "volume.discard", nodeId })) {
		const discard = discardOf(task);
		const isDue =
			discard?.kind === "volume" && task.state !== "succeeded" && isElsewhere(discard.volumeId, discard.poolId);
		if (isDue) add("volumes", discard.poolId, discard.volumeId);
	}
	return [...pools.values()];
}

/** Its copy has everything up to the end of its membership, and nothing can come to it after that. */
function knowsThatItLeft({ store, nodeId }: LeftInPools): boolean {
	const record = store.get("node", nodeId);
	return record === null || record.status.phase === "left";
}

/** Work of this node without which something that it has put on the host would stay behind, as people call it. */
export function unfinishedDiscards({ store, nodeId }: Pick<LeftInPools, "store" | "nodeId">): string[] {
	const unfinished = store.all("task", { kind: "volume.discard", nodeId, state: ["pending", "running"] });
	return [...new Set(unfinished.flatMap(({ targets }) => targets.map(({ id, name }) => name ?? id)))];
}
