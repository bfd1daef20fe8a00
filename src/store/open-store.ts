/**
 * The store of this node on its data folder:
 *
 *   lock            held while this process owns the folder (data-lock.ts)
 *   raft/           the log's segments and `hard-state`: what is durable
 *   state.db        the state, rebuilt from the newest snapshot and the log when it is missing
 *   snapshots/      two copies of the state, by index; the log is cut below the older one
 *
 * Refuses to start, changing nothing, when something that was acknowledged cannot be read.
 */
import { existsSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { UndoStack } from "../lib/undo.ts";
import { rebuildAdvice, restoreAdvice, unfinishedRestoreAdvice } from "./advice.ts";
import { backups } from "./backup.ts";
import { lockDataFolder } from "./data-lock.ts";
import { defaultReserveBytes } from "./disk-reserve.ts";
import { openDiskFiles } from "./log/disk-files.ts";
import { SegmentLog } from "./log/segment-log.ts";
import { ReplicatedStore } from "./replicated-store.ts";
import { SingleVoter } from "./single-voter.ts";
import { checkState, openStateFile } from "./sqlite/database.ts";
import { defaultPolicy, Maintenance, type MaintenancePolicy } from "./sqlite/maintenance.ts";
import { installSnapshot, listSnapshots, type SnapshotFile } from "./sqlite/snapshot-files.ts";
import { sealStateFile } from "./sqlite/state-check.ts";
import type { StateDatabase } from "./sqlite/state-database.ts";
import type { Store } from "./store.ts";

export type OpenStoreOptions = {
	dataDir: string;
	clock: Clock;
	logger: Logger;
	/** False leaves out fsync of the log: for tests only. */
	fsync: boolean;
	/** Something failed that must end the process: nothing more is acknowledged. */
	onFatal: (error: AppError) => void;
	policy?: Partial<MaintenancePolicy>;
	/** See disk-reserve.ts. */
	reserveBytes?: number;
	segmentBytes?: number;
};

export const pathsOf = (dataDir: string) => ({
	log: join(dataDir, "raft"),
	state: join(dataDir, "state.db"),
	snapshots: join(dataDir, "snapshots"),
	/** There while a restore is not finished; see restore-files.ts. */
	restoring: join(dataDir, "restoring"),
	/** What a restore makes, before it is moved to its places. */
	restoreWork: join(dataDir, "restore.tmp"),
});

/** `in-use`: another process has the folder; `corrupt`: see the message; `unsupported`: a newer version was here. */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
	const { dataDir, logger, clock } = options;
	await using undo = new UndoStack((what, error) =>
		logger.warn(`could not undo: ${what}`, { error: toAppError(error) }),
	);
	await mkdir(dataDir, { recursive: true, mode: 0o700 });
	const lock = lockDataFolder(dataDir);
	undo.add("lock of the data folder", () => lock.release());
	const paths = pathsOf(dataDir);
	if (existsSync(paths.restoring))
		throw new AppError(
			"corrupt",
			`A restore into ${dataDir} was not finished (the file ${paths.restoring} is there). Nothing was changed. ${unfinishedRestoreAdvice(dataDir)}`,
		);
	const snapshots = await listSnapshots(paths.snapshots);
	let found = await openState(paths.state, snapshots, logger);
	undo.add("state database", () => found?.close());
	const files = await openDiskFiles({ directory: paths.log, sync: options.fsync });
	undo.add("files of the log", () => files.close());
	const newest = snapshots[0]?.index ?? 0;
	const knownIndex = Math.max(found?.appliedIndex ?? 0, newest);
	const log = await SegmentLog.open(
		{
			files,
			logger,
			onFatal: options.onFatal,
			knownIndex,
			...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
		},
		knownIndex === 0 ? 1 : null,
	);
	undo.add("the log", () => log.close());
	if ((found?.appliedIndex ?? 0) + 1 < log.firstIndex) {
		// A power cut can take the database back to before the snapshot that the log was cut behind.
		found?.close();
		found = await rebuild(paths.state, snapshots, log.firstIndex, logger);
	}
	// An empty one only when the log begins at the beginning: it does the rest.
	found ??= await openEmptyState(paths.state);
	const state = found;
	const reserveBytes = options.reserveBytes ?? defaultReserveBytes;
	let maintenance: Maintenance | null = null;
	const takeSnapshot = async (path: string) => {
		if (maintenance === null) throw new AppError("unavailable", "The store is starting.");
		return maintenance.snapshot(path);
	};
	const store = await ReplicatedStore.open({
		state,
		clock,
		logger,
		onFatal: options.onFatal,
		async connect(onCommitted, appliedIndex) {
			const consensus = await SingleVoter.start({ files, log, appliedIndex, onCommitted, reserveBytes });
			const policy = { ...defaultPolicy, ...options.policy };
			maintenance = new Maintenance(
				{
					state,
					statePath: paths.state,
					snapshotDirectory: paths.snapshots,
					policy,
					clock,
					logger,
					logBytesAfter: (index) => consensus.logBytesAfter(index),
					compact: (index) => consensus.compact(index),
				},
				newest,
			);
			return consensus;
		},
		onApplied: (appliedIndex) => maintenance?.onApplied(appliedIndex),
		takeSnapshot,
		takeBackup: backups(takeSnapshot, paths.snapshots),
		stopUpkeep: async () => maintenance?.close(),
		async release() {
			await files.close();
			state.close();
			await seal(paths.state, logger);
			lock.release();
		},
	});
	undo.clear();
	return store;
}

/** The database, or, when there is none, one made from the newest snapshot (the log does the rest); null without any. */
async function openState(
	path: string,
	snapshots: readonly SnapshotFile[],
	logger: Logger,
): Promise<StateDatabase | null> {
	if (existsSync(path)) {
		await checkState(path);
		return openStateFile(path);
	}
	return snapshots.length > 0 ? rebuild(path, snapshots, 0, logger) : null;
}

async function openEmptyState(path: string): Promise<StateDatabase> {
	await setAsideStrayLog(path);
	return openStateFile(path);
}

/** From the newest snapshot that is intact and reaches the log. */
async function rebuild(
	path: string,
	snapshots: readonly SnapshotFile[],
	firstLogIndex: number,
	logger: Logger,
): Promise<StateDatabase> {
	for (const snapshot of snapshots) {
		if (snapshot.index + 1 < firstLogIndex) break;
		try {
			const { index } = await installSnapshot(snapshot.path, path);
			logger.warn("the state is rebuilt from a snapshot and the log", { snapshot: snapshot.path, index });
			return openStateFile(path);
		} catch (error) {
			if (!isAppError(error, "corrupt")) throw error;
			logger.error("a snapshot is damaged", { snapshot: snapshot.path, error });
		}
	}
	throw new AppError(
		"corrupt",
		`The state database ${path} is missing or too old, and no intact snapshot reaches the log, which begins at ${firstLogIndex}. Nothing was changed. Put state.db or a file of snapshots/ back from a copy of the data folder. ${restoreAdvice}`,
	);
}

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
