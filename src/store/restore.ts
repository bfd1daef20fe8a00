/**
 * A snapshot file becomes the state of a data folder that has none: how one goes back to a backup. The log begins anew
 * after the snapshot's index. A folder that holds any state is refused: it would be lost. What else is in it (disks,
 * certificates, what belongs to VMs) stays.
 *
 * May be interrupted at any point: the file `restoring` is there until all is done, and a node does not start beside it
 * (open-store.ts); to restore again takes away what the first attempt left.
 */
import { existsSync, statSync } from "node:fs";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { UndoStack } from "../lib/undo.ts";
import { lockDataFolder } from "./data-lock.ts";
import { openDiskFiles } from "./log/disk-files.ts";
import { writeHardState } from "./log/hard-state.ts";
import { SegmentLog } from "./log/segment-log.ts";
import { pathsOf } from "./open-store.ts";
import { checkSnapshot, installSnapshot, syncPath } from "./sqlite/snapshot-files.ts";
import type { StateFile } from "./sqlite/state-check.ts";

/**
 * `not-found`: there is no such file; `corrupt`: it is no intact snapshot; `in-use`: a daemon runs on the folder;
 * `already-exists`: the folder holds a state.
 */
export async function restoreSnapshot(options: {
	snapshotPath: string;
	dataDir: string;
	logger: Logger;
}): Promise<{ index: number }> {
	const { logger } = options;
	const [snapshotPath, dataDir] = [resolve(options.snapshotPath), resolve(options.dataDir)];
	await checkIsWhole(snapshotPath);
	// As `limiquantix serve` makes it: QEMU's user passes through it.
	await mkdir(dataDir, { recursive: true, mode: 0o711 });
	await using cleanup = new UndoStack((what, error) =>
		logger.warn(`could not close: ${what}`, { error: toAppError(error) }),
	);
	const lock = lockDataFolder(dataDir);
	cleanup.add("lock of the data folder", () => lock.release());
	const { restoring } = pathsOf(dataDir);
	const again = existsSync(restoring);
	if (!again) await checkHasNoState(dataDir);
	await (await open(restoring, "w", 0o600)).close();
	await syncPath(dataDir);
	try {
		if (again) await removeState(dataDir);
		const held = await build(snapshotPath, dataDir, logger);
		await rm(restoring);
		await syncPath(dataDir);
		return { index: held.index };
	} catch (error) {
		await removeState(dataDir);
		await rm(restoring, { force: true });
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

/** The parts of a state, whole or not. */
const isState = (name: string): boolean => name.startsWith("state.db") || name === "raft" || name === "snapshots";

async function checkHasNoState(dataDir: string): Promise<void> {
	for (const name of (await readdir(dataDir)).filter(isState)) {
		const path = join(dataDir, name);
		if (statSync(path).isDirectory() && (await readdir(path)).length === 0) continue;
		throw new AppError(
			"already-exists",
			`The data folder ${dataDir} holds a state already (${name}). Nothing was changed. Move raft/, snapshots/ and state.db* out of it first.`,
		);
	}
}

async function removeState(dataDir: string): Promise<void> {
	for (const name of (await readdir(dataDir)).filter(isState))
		await rm(join(dataDir, name), { recursive: true, force: true });
}

async function build(snapshotPath: string, dataDir: string, logger: Logger): Promise<StateFile> {
	const paths = pathsOf(dataDir);
	const held = await installSnapshot(snapshotPath, paths.state);
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
	return held;
}
