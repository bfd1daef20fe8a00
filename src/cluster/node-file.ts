/**
 * `<data>/node.json`: who this node is. The first thing that a start makes, and what the consensus is opened with; its key
 * and certificate for the links are beside it, in `peer/` (docs/decisions/0043-cluster.md).
 *
 * A data folder from before there were clusters has the ids in its state.
 */
import { Database } from "bun:sqlite";
import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { writeSecret } from "../peer/identity.ts";
import { restoreAdvice } from "../store/advice.ts";
import { lockDataFolder } from "../store/data-lock.ts";
import { pathsOf, refuseUnfinishedRestore, type StoreIdentity } from "../store/open-store.ts";

export const clusterPathsOf = (dataDir: string) => ({
	node: join(dataDir, "node.json"),
	/** That of before, while a restore is under way. */
	nodeBefore: join(dataDir, "node.json.before"),
	peer: join(dataDir, "peer"),
	identity: join(dataDir, "peer", "identity.pem"),
	/** Members and their addresses, for a node whose state does not know them yet. */
	members: join(dataDir, "peer", "members.json"),
	/** Where other members are, as was said on this node alone; see local-addresses.ts. */
	addresses: join(dataDir, "peer", "addresses.json"),
	/** Written once all that this node brought is the cluster's; see arrival.ts. */
	imported: join(dataDir, "peer", "imported"),
	/** There as long as all that this node brought may be the cluster's without this node knowing; see arrival.ts. */
	importing: join(dataDir, "peer", "importing"),
	/** Written once this node was told that it is no member any more. */
	removed: join(dataDir, "peer", "removed"),
	/** This node wants to leave; see leaving.ts. */
	leaving: join(dataDir, "peer", "leaving"),
	/** A join that is not done yet; see switch.ts. */
	joining: join(dataDir, "joining"),
	switching: join(dataDir, "switching.json"),
	former: join(dataDir, "former"),
	/** What a recovery makes of a survivor; see recover.ts. */
	recoverWork: join(dataDir, "recover.tmp"),
});

/** Null when there is none; `corrupt` when it cannot be read. */
export async function readNodeFile(path: string): Promise<StoreIdentity | null> {
	if (!existsSync(path)) return null;
	try {
		const { nodeId, clusterId, founder, started } = JSON.parse(await readFile(path, "utf8")) as StoreIdentity;
		if (!isUuid(nodeId) || !isUuid(clusterId) || typeof founder !== "boolean") throw new Error("without ids");
		return { nodeId, clusterId, founder, ...(started === true ? { started } : {}) };
	} catch (cause) {
		throw new AppError(
			"corrupt",
			`The file ${path}, which says who this node is, cannot be read. Nothing was changed. Put it back from a copy of the data folder.`,
			{ cause },
		);
	}
}

export const writeNodeFile = (path: string, { nodeId, clusterId, founder, started }: StoreIdentity): Promise<void> =>
	writeSecret(path, `${JSON.stringify({ nodeId, clusterId, founder, ...(started === true ? { started } : {}) })}\n`);

/** Once the store has been opened: from now on a log that is missing is one that was lost. */
export async function noteStarted(dataDir: string, identity: StoreIdentity): Promise<void> {
	if (identity.started !== true) await writeNodeFile(clusterPathsOf(dataDir).node, { ...identity, started: true });
}

/** Who this node is: as the file says, as the state of before says, or somebody new. */
export async function openNodeFile(dataDir: string, newId: () => string): Promise<StoreIdentity> {
	const { node } = clusterPathsOf(dataDir);
	refuseUnfinishedRestore(dataDir);
	// Two that start at once on a new folder would each make their own.
	const lock = lockDataFolder(dataDir);
	try {
		return await readOrMake(dataDir, node, newId);
	} finally {
		lock.release();
	}
}

async function readOrMake(dataDir: string, node: string, newId: () => string): Promise<StoreIdentity> {
	const known = await readNodeFile(node);
	if (known?.started === true && isEmptyFolder(pathsOf(dataDir).log)) throw lostLog(dataDir);
	if (known !== null) return known;
	const ids = idsOfState(dataDir) ?? { nodeId: newId(), clusterId: newId() };
	const identity = { ...ids, founder: true };
	await writeNodeFile(node, identity);
	return identity;
}

/** From a state of one node; null when there is no state. */
function idsOfState(dataDir: string): Pick<StoreIdentity, "nodeId" | "clusterId"> | null {
	const { state, log } = pathsOf(dataDir);
	if (!existsSync(state)) {
		if (!existsSync(log)) return null;
		throw new AppError(
			"corrupt",
			`There is a log in ${log}, and neither node.json nor state.db say whose it is. Nothing was changed. Put them back from a copy of the data folder.`,
		);
	}
	const database = new Database(state, { readonly: true });
	try {
		const ids = (table: string) =>
			(database.query(`SELECT id FROM ${table} LIMIT 2`).all() as { id: string }[]).map(({ id }) => id);
		const [nodes, clusters] = [ids("node"), ids("cluster")];
		const [nodeId] = nodes;
		const [clusterId] = clusters;
		if (nodes.length === 0 && clusters.length === 0) return null;
		if (nodes.length === 1 && nodeId !== undefined && clusterId !== undefined) return { nodeId, clusterId };
		throw new AppError(
			"corrupt",
			`The file node.json is missing in ${dataDir}, and the state has several nodes: which of them this is cannot be known. Nothing was changed. Put node.json back from a copy of the data folder.`,
		);
	} finally {
		database.close();
	}
}

const isEmptyFolder = (path: string): boolean => !existsSync(path) || readdirSync(path).length === 0;

/** A node that began anew with the same id could vote twice, or be a second cluster with the ids of the first. */
const lostLog = (dataDir: string): AppError =>
	new AppError(
		"corrupt",
		`This node's log is missing: ${pathsOf(dataDir).log} is empty, and node.json says that there was one. Nothing was changed. Put the log's folder, raft/, back from a copy of the data folder, with snapshots/ and state.db. In a cluster with others: remove this node there, move node.json and peer/ away here, and join again. ${restoreAdvice}`,
	);
