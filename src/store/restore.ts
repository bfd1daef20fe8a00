/**
 * A snapshot file becomes the state of a data folder that has none: how one goes back to a backup. The log begins anew
 * after the snapshot's index, and the snapshot lies in `snapshots/`, where a damaged state is rebuilt from. A folder that
 * holds any state is refused: it would be lost. What else is in it (disks, certificates, what belongs to VMs) stays.
 *
 * All sessions and join tokens of the backup end: whoever signed out since, or lost the cookie to somebody, would be signed in again.
 * Tokens, users and passwords come back as they were; the operator is told to look at them.
 *
 * May be interrupted at any point. The file `restoring` is there until all is done, and a node does not start beside it
 * (open-store.ts). Everything is made in `restore.tmp/` and moved to its places at the end; to restore again takes away
 * what the first attempt made, and refuses when anything else is there (restore-files.ts).
 */
import { closeSync, openSync, statSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { AppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { UndoStack } from "../lib/undo.ts";
import { lockDataFolder } from "./data-lock.ts";
import { openDiskFiles } from "./log/disk-files.ts";
import { writeHardState } from "./log/hard-state.ts";
import { SegmentLog } from "./log/segment-log.ts";
import { pathsOf } from "./open-store.ts";
import {
	beginMarker,
	checkHasNoState,
	checkIsAllMade,
	type Made,
	readMade,
	recordMade,
	removeMade,
} from "./restore-files.ts";
import { openStateFile } from "./sqlite/database.ts";
import { checkSnapshot, installSnapshot, snapshotName, syncPath } from "./sqlite/snapshot-files.ts";
import type { StateFile } from "./sqlite/state-check.ts";

export type RestoreOptions = {
	snapshotPath: string;
	dataDir: string;
	logger: Logger;
	/** For tests: called after each step, so that they see what a crash there leaves. */
	afterStep?: (step: string) => void;
};

/**
 * `not-found`: there is no such file; `corrupt`: it is no intact snapshot; `in-use`: a daemon runs on the folder;
 * `already-exists`: the folder holds a state. After a failure the folder is as before.
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<{ index: number }> {
	const { logger, afterStep = () => {} } = options;
	const [snapshotPath, dataDir] = [resolve(options.snapshotPath), resolve(options.dataDir)];
	await checkIsWhole(snapshotPath);
	// As `limiquantix serve` makes it: QEMU's user passes through it.
	await mkdir(dataDir, { recursive: true, mode: 0o711 });
	await using cleanup = new UndoStack((what, error) =>
		logger.warn(`could not close: ${what}`, { error: toAppError(error) }),
	);
	const lock = lockDataFolder(dataDir);
	cleanup.add("lock of the data folder", () => lock.release());
	const interrupted = readMade(dataDir);
	if (interrupted === null) {
		await checkHasNoState(dataDir);
		await beginMarker(dataDir);
	} else await checkIsAllMade(dataDir, interrupted);
	afterStep("begun");
	let made: Made = interrupted ?? new Map();
	try {
		await removeMade(dataDir, made);
		afterStep("cleared");
		const { index } = await build(snapshotPath, dataDir, logger, afterStep);
		made = await recordMade(dataDir);
		afterStep("recorded");
		await moveIn(dataDir, afterStep);
		return { index };
	} catch (error) {
		await removeMade(dataDir, made);
		// That of an interrupted restore stays: nothing of it has been put right.
		if (interrupted === null) await rm(pathsOf(dataDir).restoring, { force: true });
		throw error;
	}
}

async function checkIsWhole(snapshotPath: string): Promise<void> {
	if ((statSync(`${snapshotPath}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0)
		throw new AppError(
			"invalid",
			`Beside ${snapshotPath} lies ${snapshotPath}-wal: it is the database of a node that runs or was killed, and not whole without it. Take a file of the folder snapshots/, or one that limiquantix cluster backup made.`,
		);
	await checkSnapshot(snapshotPath);
}

/** All of it, durable, in `restore.tmp/`. */
async function build(
	snapshotPath: string,
	dataDir: string,
	logger: Logger,
	afterStep: (step: string) => void,
): Promise<StateFile> {
	const { restoreWork } = pathsOf(dataDir);
	await mkdir(restoreWork, { mode: 0o700 });
	const paths = pathsOf(restoreWork);
	const held = await buildSnapshot(snapshotPath, paths.snapshots, join(restoreWork, "backup.db"));
	afterStep("snapshot made");
	await installSnapshot(join(paths.snapshots, snapshotName(held.index)), paths.state);
	afterStep("state made");
	const files = await openDiskFiles({ directory: paths.log, sync: true });
	try {
		// Terms go on from those of the log that made the snapshot; the vote of the old log is gone with it.
		await writeHardState(files, { term: held.term, vote: null });
		const log = await SegmentLog.open({ files, logger, onFatal: () => {}, knownIndex: 0 }, held.index + 1);
		await log.close();
		await syncPath(paths.log);
	} finally {
		await files.close();
	}
	await syncPath(restoreWork);
	afterStep("log made");
	return held;
}

/** The backup without its sessions, in the schema of this version, in the folder of snapshots under the name that it has there. */
async function buildSnapshot(snapshotPath: string, snapshots: string, copy: string): Promise<StateFile> {
	await installSnapshot(snapshotPath, copy);
	const state = openStateFile(copy);
	try {
		state.transaction(() => {
			state.deleteAllSessions();
			state.deleteAllJoinTokens();
		});
		const { appliedIndex: index, appliedTerm: term } = state;
		await mkdir(snapshots, { mode: 0o700 });
		const path = join(snapshots, snapshotName(index));
		// It holds hashes of secrets. SQLite fills an empty file.
		closeSync(openSync(path, "wx", 0o600));
		// And not those of the sessions: what was deleted is not copied.
		state.database.run("VACUUM INTO ?", [path]);
		await syncPath(path);
		await syncPath(snapshots);
		return { index, term };
	} finally {
		state.close();
		for (const suffix of ["", "-wal", "-shm"]) await rm(copy + suffix, { force: true });
	}
}

async function moveIn(dataDir: string, afterStep: (step: string) => void): Promise<void> {
	const { restoring, restoreWork } = pathsOf(dataDir);
	const [from, to] = [pathsOf(restoreWork), pathsOf(dataDir)];
	for (const part of ["snapshots", "log", "state"] as const) {
		await rename(from[part], to[part]);
		await syncPath(dataDir);
		afterStep(`${basename(to[part])} moved`);
	}
	await rm(restoreWork, { recursive: true });
	await syncPath(dataDir);
	afterStep("work removed");
	await rm(restoring);
	await syncPath(dataDir);
}
