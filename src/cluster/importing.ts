/**
 * The last step of a join: what the node had been before becomes part of the cluster, by one command, as soon as this copy
 * has the node's own record. Until it is done the node's record says `joining`, and nothing on the host is touched.
 */

import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, normalize } from "node:path";
import { type Clock, delay, toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { Logger } from "../lib/log.ts";
import { formatBytes } from "../lib/units.ts";
import type { Node } from "../model/node.ts";
import { localPath } from "../model/storage-rules.ts";
import type { LeftInPool } from "../node/left-in-pools.ts";
import { nodeHasLeft } from "../store/apply/checks.ts";
import type { CommandBody } from "../store/command.ts";
import type { Feature } from "../store/command-features.ts";
import { maxCommandBytes } from "../store/limits.ts";
import { mayHaveHappened } from "../store/raft/refusals.ts";
import { SqliteReader } from "../store/sqlite/reader.ts";
import type { Proposer, Store, StoreReader } from "../store/store.ts";
import { isHandedOver, isPastJoining, noteArrived, noteHandedOver, noteImporting, noteNotImported } from "./arrival.ts";
import { hasOthers, ownPools } from "./belongings.ts";
import { asKnown } from "./import-known.ts";
import { withoutShared } from "./import-shared.ts";
import { type MarkedPool, markedPools } from "./marked-pools.ts";
import { clusterPathsOf, readNodeFile } from "./node-file.ts";
import { collect } from "./recover.ts";
import { formerFolderOf, type JoinHints } from "./switch.ts";

/** Pools of type local on this host: their folders say whose they are. */
export type PoolFolders = {
	/** Nothing happens when the folder is not that of `fromPoolId`. */
	handOver(path: string, fromPoolId: string, toPoolId: string): Promise<void>;
	/** Nobody's from now on; what is named goes with it. */
	release(path: string, poolId: string, left: Omit<LeftInPool, "poolId">): Promise<void>;
};

export type ImportingDeps = {
	dataDir: string;
	nodeId: string;
	hints: JoinHints;
	store: Store;
	proposer: Pick<Proposer, "proposeSystem">;
	poolFolders: PoolFolders;
	/** Do all members know it? */
	everybodyHas(feature: Feature): boolean;
	clock: Clock;
	logger: Logger;
};

type NodeImport = Extract<CommandBody, { kind: "nodeImport" }>;
/** More than the rest of the command takes. */
const envelopeBytes = 64 * 1024;
const pauseMs = 250;
const failedPauseMs = 5_000;

/**
 * Resolves when the node is a member with all that it brings; rejects when `signal` ends it, and with `wrong-state` when the node is
 * no member any more: whether it had brought everything is not known then, unless it is noted.
 */
export async function importFormer(deps: ImportingDeps, signal: AbortSignal): Promise<void> {
	const { store, nodeId, clock } = deps;
	if (await isHandedOver(deps.dataDir)) return;
	passing("membership confirmed");
	let renames = deps.hints.rename;
	for (;;) {
		const node = store.get("node", nodeId);
		if (node?.status.phase === "left") throw nodeHasLeft(node);
		if (isPastJoining(node)) return finish(deps);
		if (node === null) {
			await delay(clock, pauseMs, signal);
			continue;
		}
		try {
			const planned = await planImport(deps, node, renames);
			passing("import planned");
			await propose(deps, planned);
			passing("imported");
			return await finish(deps);
		} catch (error) {
			signal.throwIfAborted();
			// Something took a name since the node asked.
			const taken = isAppError(error, "already-exists") && !renames;
			if (taken) renames = true;
			else await sayWhy(deps, node, error);
			await delay(clock, taken ? 0 : failedPauseMs, signal);
		}
	}
}

/** What may come about although nobody here hears of it is noted before. */
async function propose({ dataDir, proposer, store, nodeId }: ImportingDeps, planned: NodeImport): Promise<void> {
	const triedBefore = existsSync(clusterPathsOf(dataDir).importing);
	// Else there is nothing that anybody could run.
	const brings = planned.vms.length + planned.volumes.length + planned.images.length > 0;
	if (brings) await noteImporting(dataDir);
	try {
		await proposer.proposeSystem(planned);
	} catch (error) {
		// One that was removed meanwhile may have brought it in an attempt before.
		const isJoining = store.get("node", nodeId)?.status.phase === "joining";
		if (brings && isJoining && !mayHaveHappened(error, triedBefore)) await noteNotImported(dataDir);
		throw error;
	}
}

/** Neither step waits for the other, nor do the VMs for them: a pool that is not handed over yet says itself what is wrong with it. */
async function finish(deps: ImportingDeps): Promise<void> {
	const { dataDir, logger } = deps;
	try {
		await noteArrived(dataDir);
		passing("import noted");
	} catch (error) {
		logger.error("that this node has brought everything could not be noted; the next start tries again", { error });
	}
	try {
		await handOverPools(deps);
		passing("pools handed over");
		await noteHandedOver(dataDir);
	} catch (error) {
		logger.error("the folders of this node's pools could not be handed over; the next start tries again", { error });
	}
}

async function sayWhy(
	{ proposer, nodeId, clock, logger }: ImportingDeps,
	{ status }: Node,
	error: unknown,
): Promise<void> {
	logger.warn("what this node brings could not be recorded yet; it is tried again", { error });
	const reason = `What it brings is not recorded: ${toAppError(error).message}`;
	if (status.reason === reason) return;
	await proposer
		.proposeSystem({
			kind: "nodeStatus",
			id: nodeId,
			status: { ...status, reason, updatedAt: toRfc3339(clock.nowMs()) },
		})
		.catch(() => {});
}

/** A pool that became part of one of the cluster has that one's id. At each start: it may have been interrupted. */
async function handOverPools(deps: ImportingDeps): Promise<void> {
	const { store, nodeId, poolFolders } = deps;
	const former = await poolsToHandOver(deps);
	const now = store.all("pool").filter(({ type, nodeIds }) => type === "local" && nodeIds.includes(nodeId));
	for (const { id, path } of former) {
		const heir = now.find((pool) => samePath(localPath(pool), path));
		if (heir !== undefined && heir.id !== id) await poolFolders.handOver(path, id, heir.id);
	}
}

/** Local pools of what this node was: their folders may bear its ids still. None once they are handed over. */
export async function poolsToHandOver(
	{ dataDir, hints, logger }: Pick<ImportingDeps, "dataDir" | "hints" | "logger">,
	workName?: string,
): Promise<MarkedPool[]> {
	// Set aside by somebody, long after: it has been done.
	if ((await isHandedOver(dataDir)) || !existsSync(formerFolderOf(dataDir, hints.formerNodeId))) return [];
	const read = (reader: SqliteReader) => reader.all("pool");
	const pools = await withFormerState(dataDir, hints.formerNodeId, logger, read, workName);
	return pools.flatMap((pool) => {
		const path = localPath(pool);
		return path === undefined ? [] : [{ id: pool.id, path }];
	});
}

const samePath = (one: string | undefined, other: string | undefined): boolean =>
	one !== undefined && other !== undefined && normalize(one) === normalize(other);

async function planImport(deps: ImportingDeps, { name }: Node, renames: boolean): Promise<NodeImport> {
	const { dataDir, nodeId, hints, store, logger } = deps;
	const { formerNodeId } = hints;
	const former = await withFormerState(dataDir, formerNodeId, logger, (reader, marked) => ({
		brings: ownObjects(reader, formerNodeId, marked),
		alone: !hasOthers(reader, formerNodeId),
	}));
	const freesSources = deps.everybodyHas("free-sources-1");
	const { objects, leftOut } = withoutShared(
		former.brings,
		{ alone: former.alone, nodeName: name, freesSources },
		store,
	);
	for (const vm of leftOut)
		logger.warn(
			"a VM that the cluster has deleted does not come back: its disks in storage pools that nodes share are gone, in use, or copies rest on them",
			{
				...{ vmId: vm.id, name: vm.name },
			},
		);
	return {
		kind: "nodeImport",
		nodeId,
		formerNodeId,
		renameSuffix: renames ? name : null,
		...(deps.everybodyHas("host-ids-1") ? { givesHostIds: true as const } : {}),
		...(freesSources ? { freeSources: true as const } : {}),
		...asKnown(objects, (feature) => deps.everybodyHas(feature)),
	};
}

/**
 * What this node was, with everything that its log has: the database alone may be behind it, when the power went before it
 * was set aside; and which pools' folders bear its marks. `corrupt` when it is not there: that a node brings nothing is for nobody to guess.
 */
export async function withFormerState<Result>(
	dataDir: string,
	formerNodeId: string,
	logger: Logger,
	read: (reader: SqliteReader, marked: ReadonlySet<string>) => Result,
	workName = "import.tmp",
): Promise<Result> {
	const folder = formerFolderOf(dataDir, formerNodeId);
	const identity = await readNodeFile(clusterPathsOf(folder).node);
	if (identity === null)
		throw new AppError("corrupt", `What this node was before it joined is missing: ${folder}. Put it back.`);
	const work = join(folder, workName);
	await rm(work, { recursive: true, force: true });
	await mkdir(work, { mode: 0o700 });
	try {
		const { state } = await collect(folder, work, identity, logger, "confirmed");
		try {
			const reader = new SqliteReader(state);
			const marked = await markedPools({ dataDir, node: identity, store: reader, logger });
			return read(reader, new Set(marked.map(({ id }) => id)));
		} finally {
			state.close();
		}
	} finally {
		await rm(work, { recursive: true, force: true });
	}
}

function ownObjects(reader: Pick<StoreReader, "all">, nodeId: string, marked: ReadonlySet<string>) {
	const here = { nodeId };
	const vms = reader.all("vm", here);
	const vmIds = new Set(vms.map(({ id }) => id));
	const snapshots = reader.all("snapshot").filter(({ vmId }) => vmIds.has(vmId));
	return {
		...(snapshots.length === 0 ? {} : { snapshots }),
		pools: ownPools(reader, nodeId, marked),
		networks: reader.all("network"),
		images: reader.all("image", here),
		volumes: reader.all("volume", here),
		vms,
	};
}

/** `too-large`, before a node joins: it would be a member that can never say what it brings. */
export function checkImportable(reader: Pick<StoreReader, "all">, nodeId: string, marked: ReadonlySet<string>): void {
	const bytes = Buffer.byteLength(JSON.stringify(ownObjects(reader, nodeId, marked)));
	if (bytes <= maxCommandBytes - envelopeBytes) return;
	throw new AppError(
		"too-large",
		`What this node would bring takes ${formatBytes(bytes)}, and at most ${formatBytes(maxCommandBytes)} can be brought at once. Nothing was done. Delete VMs that are not needed, or cloud-init data that is large, first.`,
	);
}
