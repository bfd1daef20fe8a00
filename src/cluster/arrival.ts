/**
 * A node that was admitted to a cluster and has not arrived there: what it brings along is not in the cluster's state yet, but
 * in what it was (`former/`). Until it is, that is what counts: when the node joins again, and when it gives up.
 */
import { existsSync } from "node:fs";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { clusterPathsOf } from "./node-file.ts";
import type { JoinHints } from "./switch.ts";

export type ArrivalParts = {
	dataDir: string;
	node: Pick<StoreIdentity, "nodeId">;
	hints: JoinHints | null;
	store: Pick<Store, "get" | "count">;
};

/** What it was told when it was admitted; null for a node that has arrived, or never joined. */
export function arrivingWith({ dataDir, node, hints, store }: ArrivalParts): JoinHints | null {
	if (hints === null || existsSync(clusterPathsOf(dataDir).imported)) return null;
	const record = store.get("node", node.nodeId);
	if (record === null || record.status.phase === "joining") return hints;
	// Removed on the way, or after it had come: then it has something here, or nothing that could be lost.
	return record.status.phase === "left" && hasNothing(store, node.nodeId) ? hints : null;
}

/** No object of the state is on this node. */
export const hasNothing = (store: Pick<Store, "count">, nodeId: string): boolean =>
	(["vm", "volume", "image"] as const).every((table) => store.count(table, { nodeId }) === 0);
