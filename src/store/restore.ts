/**
 * A snapshot file becomes the state of an empty data folder: how a backup is restored. The log begins anew after the
 * snapshot's index. A node whose folder holds anything is refused: its state would be lost.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { AppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { UndoStack } from "../lib/undo.ts";
import { lockDataFolder } from "./data-lock.ts";
import { openDiskFiles } from "./log/disk-files.ts";
import { writeHardState } from "./log/hard-state.ts";
import { SegmentLog } from "./log/segment-log.ts";
import { pathsOf } from "./open-store.ts";
import { checkSnapshot, installSnapshot, listSnapshots } from "./sqlite/snapshot-files.ts";

/**
 * `corrupt`: the file is no intact snapshot; `in-use`: a daemon runs on the folder; `already-exists`: it is not empty.
 * The log is made last: what an interruption leaves is a state without a log, which does not start.
 */
export async function restoreSnapshot(options: {
	snapshotPath: string;
	dataDir: string;
	logger: Logger;
}): Promise<{ index: number }> {
	const { snapshotPath, dataDir, logger } = options;
	const { index } = await checkSnapshot(snapshotPath);
	await mkdir(dataDir, { recursive: true, mode: 0o700 });
	await using cleanup = new UndoStack((what, error) =>
		logger.warn(`could not close: ${what}`, { error: toAppError(error) }),
	);
	const lock = lockDataFolder(dataDir);
	cleanup.add("lock of the data folder", () => lock.release());
	const paths = pathsOf(dataDir);
	const files = await openDiskFiles({ directory: paths.log, sync: true });
	cleanup.add("files of the log", () => files.close());
	const taken = existsSync(paths.state) || (await files.list()).length > 0;
	if (taken || (await listSnapshots(paths.snapshots)).length > 0)
		throw new AppError(
			"already-exists",
			`The data folder ${dataDir} holds a state already. Restore into an empty one.`,
		);
	await installSnapshot(snapshotPath, paths.state);
	await writeHardState(files, { term: 0, vote: null });
	const log = await SegmentLog.open({ files, logger, onFatal: () => {}, knownIndex: 0 }, index + 1);
	await log.close();
	return { index };
}
