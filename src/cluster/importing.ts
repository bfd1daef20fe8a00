/**
 * The last step of a join: what the node had been before becomes part of the cluster, by one command, as soon as this copy
 * has the node's own record. Until it is done the node's record says `joining`, and nothing on the host is touched.
 */
import { existsSync } from "node:fs";
import { normalize } from "node:path";
import { type Clock, delay } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { formatBytes } from "../lib/units.ts";
import type { CommandBody } from "../store/command.ts";
import { maxCommandBytes } from "../store/limits.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import { SqliteReader } from "../store/sqlite/reader.ts";
import type { Proposer, Store, StoreReader } from "../store/store.ts";
import { ownPools } from "./belongings.ts";
import { formerStateOf, type JoinHints } from "./switch.ts";

/** Pools of type local on this host: their folders say whose they are. */
export type PoolFolders = {
	/** Nothing happens when the folder is not that of `fromPoolId`. */
	handOver(path: string, fromPoolId: string, toPoolId: string): Promise<void>;
	/** Nobody's from now on. */
	release(path: string, poolId: string): Promise<void>;
};

export type ImportingDeps = {
	dataDir: string;
	nodeId: string;
	hints: JoinHints;
	store: Store;
	proposer: Pick<Proposer, "proposeSystem">;
	poolFolders: PoolFolders;
	clock: Clock;
	logger: Logger;
};

type NodeImport = Extract<CommandBody, { kind: "nodeImport" }>;
/** More than the rest of the command takes. */
const envelopeBytes = 64 * 1024;
const pauseMs = 250;
const failedPauseMs = 5_000;

/** Resolves when the node is a member with all that it brings; rejects only when `signal` ends it. */
export async function importFormer(deps: ImportingDeps, signal: AbortSignal): Promise<void> {
	const { store, nodeId, clock, logger } = deps;
	let renames = deps.hints.rename;
	for (;;) {
		const node = store.get("node", nodeId);
		if (node !== null && node.status.phase !== "joining") return handOverPools(deps);
		if (node === null) {
			await delay(clock, pauseMs, signal);
			continue;
		}
		try {
			await deps.proposer.proposeSystem(planImport(deps, renames ? node.name : null));
			return await handOverPools(deps);
		} catch (error) {
			signal.throwIfAborted();
			// Something took a name since the node asked.
			const taken = isAppError(error, "already-exists") && !renames;
			if (taken) renames = true;
			else logger.warn("what this node brings could not be recorded yet; it is tried again", { error });
			await delay(clock, taken ? 0 : failedPauseMs, signal);
		}
	}
}

/** A pool that became part of one of the cluster has that one's id. At each start: it may have been interrupted. */
async function handOverPools({ dataDir, hints, store, nodeId, poolFolders }: ImportingDeps): Promise<void> {
	const path = formerStateOf(dataDir, hints.formerNodeId);
	if (!existsSync(path)) return;
	const state = openStateFile(path);
	const former = new SqliteReader(state).all("pool");
	state.close();
	const now = store.all("pool").filter(({ nodeIds }) => nodeIds.includes(nodeId));
	for (const { id, type, config } of former) {
		const heir = now.find((pool) => pool.type === type && samePath(pool.config.path, config.path));
		if (type === "local" && config.path !== undefined && heir !== undefined && heir.id !== id)
			await poolFolders.handOver(config.path, id, heir.id);
	}
}

const samePath = (one: string | undefined, other: string | undefined): boolean =>
	one !== undefined && other !== undefined && normalize(one) === normalize(other);

function planImport({ dataDir, nodeId, hints }: ImportingDeps, renameSuffix: string | null): NodeImport {
	const { formerNodeId } = hints;
	const path = formerStateOf(dataDir, formerNodeId);
	const nothing = { pools: [], networks: [], images: [], volumes: [], vms: [] };
	const common = { kind: "nodeImport", nodeId, formerNodeId, renameSuffix } as const;
	if (!existsSync(path)) return { ...common, ...nothing };
	const state = openStateFile(path);
	try {
		return { ...common, ...ownObjects(new SqliteReader(state), formerNodeId) };
	} finally {
		state.close();
	}
}

function ownObjects(reader: Pick<StoreReader, "all">, nodeId: string) {
	const here = { nodeId };
	return {
		pools: ownPools(reader, nodeId),
		networks: reader.all("network"),
		images: reader.all("image", here),
		volumes: reader.all("volume", here),
		vms: reader.all("vm", here),
	};
}

/** `too-large`, before a node joins: it would be a member that can never say what it brings. */
export function checkImportable(reader: Pick<StoreReader, "all">, nodeId: string): void {
	const bytes = Buffer.byteLength(JSON.stringify(ownObjects(reader, nodeId)));
	if (bytes <= maxCommandBytes - envelopeBytes) return;
	throw new AppError(
		"too-large",
		`What this node would bring takes ${formatBytes(bytes)}, and at most ${formatBytes(maxCommandBytes)} can be brought at once. Nothing was done. Delete VMs that are not needed, or cloud-init data that is large, first.`,
	);
}
