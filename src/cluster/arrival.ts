/**
 * A node that was admitted to a cluster and has not arrived there: what it brings along is not in the cluster's state yet, but
 * in what it was (`former/`). Until it is, that is what counts: when the node joins again, and when it gives up.
 *
 * That it has arrived is in its record until it leaves, and then only in `peer/imported`. So that is written as soon as the record
 * says so, whatever becomes of the folders of its pools, and before the node leaves: one that had arrived, and became what it was,
 * would have records of VMs that others run by then. What the file holds says whether the folders are handed over.
 */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import type { Node } from "../model/node.ts";
import { writeSecret } from "../peer/identity.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { clusterPathsOf } from "./node-file.ts";
import type { JoinHints } from "./switch.ts";

type HasRecord = { store: Pick<Store, "get"> };
export type ArrivalParts = {
	dataDir: string;
	node: Pick<StoreIdentity, "nodeId">;
	hints: JoinHints | null;
	store: Pick<Store, "get" | "count">;
};

/** What it was told when it was admitted; null for a node that has arrived, or never joined. */
export function arrivingWith({ dataDir, node, hints, store }: ArrivalParts): JoinHints | null {
	if (hasArrived({ dataDir, node, hints, store })) return null;
	// Removed on the way, or after it had come: then it has something here, or nothing that could be lost.
	const isLeft = store.get("node", node.nodeId)?.status.phase === "left";
	return isLeft && !hasNothing(store, node.nodeId) ? null : hints;
}

/** All that it brought is the cluster's; also of a node that never joined. */
export function hasArrived({ dataDir, node, hints, store }: Omit<ArrivalParts, "store"> & HasRecord): boolean {
	return (
		hints === null || existsSync(clusterPathsOf(dataDir).imported) || isPastJoining(store.get("node", node.nodeId))
	);
}

/** Of one that has left the record does not say whether it had arrived. */
export const isPastJoining = (record: Node | null): boolean =>
	record !== null && record.status.phase !== "joining" && record.status.phase !== "left";

/** Before it is proposed. Whoever is cut off then, and removed, may never hear whether it came about. */
export async function noteImporting(dataDir: string): Promise<void> {
	const { importing } = clusterPathsOf(dataDir);
	if (!existsSync(importing)) await writeSecret(importing, "");
}

/** It was refused. That says nothing of what it brought as another member before. */
export async function noteNotImported(dataDir: string): Promise<void> {
	const { importing } = clusterPathsOf(dataDir);
	if ((await readFile(importing, "utf8")) !== ofBefore) await rm(importing, { force: true });
}

/** It joins again with what it was before. `made`: the folder of the new member. */
export async function passOnImporting(dataDir: string, made: { importing: string }): Promise<void> {
	const { importing, imported } = clusterPathsOf(dataDir);
	if (existsSync(importing) && !existsSync(imported)) await writeSecret(made.importing, ofBefore);
}
const ofBefore = "Another member, which this node was before, may have brought all it had.\n";

/** Nothing here says that it has arrived, and nothing that it has not: others may run its VMs by now. */
export const mayHaveArrived = (parts: Parameters<typeof hasArrived>[0]): boolean =>
	!hasArrived(parts) && existsSync(clusterPathsOf(parts.dataDir).importing);

/** Before there were two steps the file was written after both, and empty. */
const foldersToCome = "Folders of pools are not handed over yet.\n";

/** The first step: what this node was does not count any more. */
export async function noteArrived(dataDir: string): Promise<void> {
	const { imported } = clusterPathsOf(dataDir);
	if (!existsSync(imported)) await writeSecret(imported, foldersToCome);
}

/** The second: it is not looked at any more. */
export const noteHandedOver = (dataDir: string): Promise<void> => writeSecret(clusterPathsOf(dataDir).imported, "");

export async function isHandedOver(dataDir: string): Promise<boolean> {
	const { imported } = clusterPathsOf(dataDir);
	return existsSync(imported) && (await readFile(imported, "utf8")) !== foldersToCome;
}

/** No object of the state is on this node. */
export const hasNothing = (store: Pick<Store, "count">, nodeId: string): boolean =>
	(["vm", "volume", "image"] as const).every((table) => store.count(table, { nodeId }) === 0);
