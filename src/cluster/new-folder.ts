/** What a node begins anew with, made of a state: a snapshot, the state database, and an empty log that goes on after it. */
import { closeSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../lib/log.ts";
import { openDiskFiles } from "../store/log/disk-files.ts";
import { writeHardState } from "../store/log/hard-state.ts";
import { SegmentLog } from "../store/log/segment-log.ts";
import { pathsOf } from "../store/open-store.ts";
import { installSnapshot, snapshotName, syncPath } from "../store/sqlite/snapshot-files.ts";
import type { StateDatabase } from "../store/sqlite/state-database.ts";

/** All of it, durable, in the folder `work`, which has none of it yet. */
export async function buildFolder(
	state: StateDatabase,
	work: string,
	{ logger, afterStep = () => {} }: { logger: Logger; afterStep?: (step: string) => void },
): Promise<void> {
	const paths = pathsOf(work);
	const { appliedIndex: index, appliedTerm: term } = state;
	await mkdir(paths.snapshots, { mode: 0o700 });
	const snapshot = join(paths.snapshots, snapshotName(index));
	// It holds hashes of secrets. SQLite fills an empty file.
	closeSync(openSync(snapshot, "wx", 0o600));
	// And not those of what has ended: what was deleted is not copied.
	state.database.run("VACUUM INTO ?", [snapshot]);
	await syncPath(snapshot);
	await syncPath(paths.snapshots);
	afterStep("snapshot made");
	await installSnapshot(snapshot, paths.state);
	afterStep("state made");
	const files = await openDiskFiles({ directory: paths.log, sync: true });
	try {
		// Terms go on from those of the log that made the state; the vote of the old log is gone with it.
		await writeHardState(files, { term, vote: null });
		const log = await SegmentLog.open({ files, logger, onFatal: () => {}, knownIndex: 0 }, index + 1);
		await log.close();
		await syncPath(paths.log);
	} finally {
		await files.close();
	}
	await syncPath(work);
	afterStep("log made");
}
