/**
 * The store of this node on its data folder:
 *
 *   lock            held while this process owns the folder (data-lock.ts)
 *   raft/           the log's segments and `hard-state`: what is durable
 *   state.db        the state, rebuilt from the newest snapshot and the log when it is missing
 *   ballast         what the log keeps of the disk, while nobody needs it (ballast-file.ts)
 *   snapshots/      two copies of the state, by index; the log is cut below the older one
 *
 * Refuses to start, changing nothing, when something that was acknowledged cannot be read.
 */
import { existsSync, rmSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { UndoStack } from "../lib/undo.ts";
import { emptyConfiguration } from "../raft/configuration.ts";
import type { ConfigurationAt } from "../raft/types.ts";
import { rebuildAdvice, unfinishedRestoreAdvice } from "./advice.ts";
import { backups } from "./backup.ts";
import { Ballast } from "./ballast.ts";
import type { CommittedHandler } from "./consensus.ts";
import { lockDataFolder } from "./data-lock.ts";
import { defaultReserveBytes } from "./disk-reserve.ts";
import { openDiskFiles } from "./log/disk-files.ts";
import type { LogFiles } from "./log/files.ts";
import { openRaft } from "./raft/open-raft.ts";
import type { RaftConsensus } from "./raft/raft-consensus.ts";
import type { RaftConsensusOptions } from "./raft/raft-options.ts";
import { ReplicatedStore } from "./replicated-store.ts";
import { checkState, clusterOfSnapshot, openStateFile } from "./sqlite/database.ts";
import { defaultPolicy, Maintenance, type MaintenancePolicy } from "./sqlite/maintenance.ts";
import { metaOf, SnapshotExchange } from "./sqlite/snapshot-exchange.ts";
import {
	clearSnapshotFolder,
	installSnapshot,
	listSnapshots,
	newestSnapshot,
	type SnapshotFile,
} from "./sqlite/snapshot-files.ts";
import { sealStateFile } from "./sqlite/state-check.ts";
import type { StateDatabase } from "./sqlite/state-database.ts";
import type { Store } from "./store.ts";

/** Who this node is. `founder`: its cluster began with it alone; a node that joined one is told who the members are. */
export type StoreIdentity = {
	clusterId: string;
	nodeId: string;
	founder: boolean;
	/** It has had a log: one that is missing is lost. */
	started?: boolean;
};

/** How this node reaches the others. */
export type StoreLinks = Pick<RaftConsensusOptions, "transport" | "forward" | "onLeader">;

export type OpenStoreOptions = {
	dataDir: string;
	identity: StoreIdentity;
	clock: Clock;
	logger: Logger;
	/** In [0, 1): spreads elections. */
	random: () => number;
	/** Left out: it is alone. */
	links?: StoreLinks;
	/** Before anything is handed over to the state: what the links give what they receive to. */
	onConsensus?: (consensus: RaftConsensus) => void;
	/** A snapshot of another node took the place of the whole state. */
	onReplaced?: () => void;
	/** False leaves out fsync of the log: for tests only. */
	fsync: boolean;
	/** Something failed that must end the process: nothing more is acknowledged. */
	onFatal: (error: AppError) => void;
	policy?: Partial<MaintenancePolicy>;
	/** See disk-reserve.ts. */
	reserveBytes?: number;
	/** A file holds the reserve. Left out: it is only looked whether so much is free. */
	ballast?: boolean;
	segmentBytes?: number;
	/** Ticks, elections and waits; see RaftConsensusOptions. */
	timing?: Pick<RaftConsensusOptions, "tickMs" | "tickJitterMs" | "limits">;
};

/** Short beside what a person, or another node, notices. */
const gatherMs = 10;

const alone: StoreLinks = { transport: { send() {}, sendSnapshot() {} } };

export const pathsOf = (dataDir: string) => ({
	log: join(dataDir, "raft"),
	state: join(dataDir, "state.db"),
	ballast: join(dataDir, "ballast"),
	snapshots: join(dataDir, "snapshots"),
	/** There while a restore is not finished; see ../cluster/restore-files.ts. */
	restoring: join(dataDir, "restoring"),
	/** What a restore makes, before it is moved to its places. */
	restoreWork: join(dataDir, "restore.tmp"),
});

/** `in-use`: another process has the folder; `corrupt`: see the message; `unsupported`: a newer version was here. */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
	const { dataDir, logger } = options;
	await using undo = new UndoStack((what, error) =>
		logger.warn(`could not undo: ${what}`, { error: toAppError(error) }),
	);
	await mkdir(dataDir, { recursive: true, mode: 0o700 });
	const lock = lockDataFolder(dataDir);
	undo.add("lock of the data folder", () => lock.release());
	const paths = pathsOf(dataDir);
	refuseUnfinishedRestore(dataDir);
	const ballast = ballastOf(options);
	ballast?.makeRoomToStart();
	await clearSnapshotFolder(paths.snapshots);
	const { state, made } = await openState(paths.state, await listSnapshots(paths.snapshots), options);
	undo.add("state database", () => {
		state.close();
		// A start that is refused leaves nothing that was not there.
		if (made) for (const suffix of ["", "-wal", "-shm"]) rmSync(paths.state + suffix, { force: true });
	});
	const given = ballast === null ? {} : { ballast: { path: paths.ballast, reserveBytes: reserveOf(options) } };
	const files = await openDiskFiles({ directory: paths.log, sync: options.fsync, ...given });
	undo.add("files of the log", () => files.close());
	const store = await openReplicated(options, { state, files, ballast }, async () => {
		await files.close();
		state.close();
		await seal(paths.state, logger);
		lock.release();
	});
	undo.clear();
	ballast?.start();
	return store;
}

const reserveOf = ({ reserveBytes = defaultReserveBytes }: OpenStoreOptions): number => reserveBytes;

function ballastOf(options: OpenStoreOptions): Ballast | null {
	const { dataDir, clock, logger, ballast } = options;
	const reserveBytes = reserveOf(options);
	return ballast && reserveBytes > 0
		? new Ballast({ path: pathsOf(dataDir).ballast, reserveBytes, clock, logger })
		: null;
}

/** `corrupt` beside the mark of a restore that was interrupted: what is there is of two states. */
export function refuseUnfinishedRestore(dataDir: string): void {
	const { restoring } = pathsOf(dataDir);
	if (!existsSync(restoring)) return;
	throw new AppError(
		"corrupt",
		`A restore into ${dataDir} was not finished (the file ${restoring} is there). Nothing was changed. ${unfinishedRestoreAdvice(dataDir)}`,
	);
}

async function openReplicated(
	options: OpenStoreOptions,
	{ state, files, ballast }: { state: StateDatabase; files: LogFiles; ballast: Ballast | null },
	release: () => Promise<void>,
): Promise<Store> {
	const { dataDir, logger, clock } = options;
	const paths = pathsOf(dataDir);
	const founders = foundersOf(options.identity);
	let consensus: RaftConsensus | null = null;
	let store: ReplicatedStore | null = null;
	const maintenance = new Maintenance(
		{
			state,
			statePath: paths.state,
			snapshotDirectory: paths.snapshots,
			policy: { ...defaultPolicy, ...options.policy },
			clock,
			logger,
			logBytesAfter: (index) => consensus?.logBytesAfter(index) ?? 0,
			compact: async (index) => consensus?.compact(index),
			held: (work) => store?.held(work) ?? work(),
			onFatal: (error) => (store === null ? options.onFatal(error) : store.fail(error)),
			fits: (bytes) => ballast?.fits(bytes) ?? true,
			makeRoom: async () => ballast?.makeRoomForUpkeep() ?? false,
		},
		await newestSnapshot(paths.snapshots),
	);
	const exchange = new SnapshotExchange({
		...{ directory: paths.snapshots, statePath: paths.state, state, founders },
		make: () => maintenance.snapshotNow(),
		...(ballast === null ? {} : { room: ballast }),
		exclusively: (work) => maintenance.exclusively(work),
		onReplaced() {
			onStateReplaced();
			options.onReplaced?.();
		},
	});
	let onStateReplaced = () => {};
	const connect = async (onCommitted: CommittedHandler, _appliedIndex: number, onReplaced: () => void) => {
		onStateReplaced = onReplaced;
		const { clusterId, nodeId } = options.identity;
		const opened = await openRaft({
			...{ clusterId, nodeId, clock, logger, files, onCommitted },
			...(options.links ?? alone),
			...options.timing,
			random: options.random,
			snapshots: exchange,
			base: metaOf(state, founders),
			reportsApplied: true,
			makeStateDurable: () => state.makeDurable(),
			onStarting: (starting) => {
				consensus = starting;
				options.onConsensus?.(starting);
			},
			onFatal: options.onFatal,
			reserveBytes: reserveOf(options),
			...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
		});
		exchange.clear();
		return opened;
	};
	const takeSnapshot = (path: string) => maintenance.snapshot(path);
	store = await ReplicatedStore.open({
		...{ state, clock, logger, release, takeSnapshot, connect, gatherMs },
		onFatal: options.onFatal,
		onApplied(appliedIndex) {
			consensus?.applied(appliedIndex);
			maintenance.onApplied(appliedIndex);
		},
		takeBackup: backups(takeSnapshot, paths.snapshots),
		...(ballast === null ? {} : { makeRoom: () => ballast.makeRoom() }),
		async stopUpkeep() {
			await ballast?.stop();
			await maintenance.close();
		},
	});
	return store;
}

/** Before the log says anything about members. */
const foundersOf = ({ nodeId, founder }: StoreIdentity): ConfigurationAt => ({
	index: 0,
	configuration: founder ? { ...emptyConfiguration, voters: [nodeId] } : emptyConfiguration,
});

/**
 * The database, or, when there is none, one made from the newest intact snapshot, or an empty one: the log does the rest.
 * What is of another cluster was put there by somebody, and none of it is served, or sent to others.
 */
async function openState(
	path: string,
	snapshots: readonly SnapshotFile[],
	{ logger, identity: { clusterId } }: Pick<OpenStoreOptions, "logger" | "identity">,
): Promise<{ state: StateDatabase; made: boolean }> {
	if (existsSync(path)) {
		await checkState(path);
		const state = openStateFile(path);
		const [cluster] = state.all("cluster");
		if (cluster === undefined || cluster.id === clusterId) return { state, made: false };
		state.close();
		throw ofAnotherCluster(path, cluster.id);
	}
	for (const snapshot of snapshots) {
		try {
			const found = clusterOfSnapshot(snapshot.path);
			if (found !== null && found !== clusterId) throw ofAnotherCluster(snapshot.path, found);
			const { index } = await installSnapshot(snapshot.path, path);
			logger.warn("the state is rebuilt from a snapshot and the log", { snapshot: snapshot.path, index });
			return { state: openStateFile(path), made: true };
		} catch (error) {
			if (!isAppError(error, "corrupt")) throw error;
			logger.error("a snapshot cannot be used", { snapshot: snapshot.path, error });
		}
	}
	await setAsideStrayLog(path);
	return { state: openStateFile(path), made: true };
}

const ofAnotherCluster = (path: string, clusterId: string): AppError =>
	new AppError(
		"corrupt",
		`The state in ${path} is that of another cluster (${clusterId}). Nothing was changed. Put this node's own back.`,
	);

/** See state-check.ts. */
async function seal(path: string, logger: Logger): Promise<void> {
	try {
		const checked = await sealStateFile(path);
		if ("found" in checked)
			logger.error("the state database is damaged", { found: checked.found, advice: rebuildAdvice(path) });
	} catch (error) {
		logger.warn("the state was not looked at; the next start does that", { error });
	}
}

/** A write-ahead log without its database would be mixed into the new one. */
async function setAsideStrayLog(path: string): Promise<void> {
	for (const suffix of ["-wal", "-shm"])
		if (existsSync(path + suffix)) await rename(path + suffix, `${path}${suffix}.unused`);
}
