/** What a pool has and no record names, and records without content: as rows, and what becomes of those that are to go. Pure. */
import type { PoolOrphan } from "../../../../src/model/pool-orphan.ts";

/** Each node has its own part of a local pool, so an id can be there more than once. */
export type OrphanRow = PoolOrphan & { orphanId: string };

export const rowsOf = (items: readonly PoolOrphan[]): OrphanRow[] =>
	items.map((item) => ({ ...item, orphanId: item.id, id: `${item.nodeId}/${item.kind}/${item.id}` }));

export type Deletion = {
	/** One question for each part of the pool. `nodeId` undefined: all nodes see the same. */
	content: { nodeId: string | undefined; volumeIds: string[]; imageIds: string[] }[];
	records: OrphanRow[];
};

/** `shared`: any node of the pool sees all of it. */
export function deletionOf(rows: readonly OrphanRow[], shared: boolean): Deletion {
	const parts = new Map<string | undefined, Deletion["content"][number]>();
	for (const { found, kind, nodeId: looked, orphanId } of rows) {
		if (found !== "no-record") continue;
		const nodeId = shared ? undefined : looked;
		const part = parts.get(nodeId) ?? { nodeId, volumeIds: [], imageIds: [] };
		parts.set(nodeId, part);
		part[kind === "volume" ? "volumeIds" : "imageIds"].push(orphanId);
	}
	return { content: [...parts.values()], records: rows.filter(({ found }) => found === "no-content") };
}

export const bytesOf = (rows: readonly OrphanRow[]): number =>
	rows.reduce((sum, { allocatedBytes, sizeBytes }) => sum + (allocatedBytes ?? sizeBytes ?? 0), 0);
