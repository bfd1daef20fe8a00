/**
 * Snapshot files: whole copies of the state database, one folder, named by the index up to which they hold the log.
 * A file under its final name is complete and durable; `.tmp` is what an interrupted copy leaves.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AppError } from "../../lib/errors.ts";
import { checkStateFile, type StateFile } from "./state-check.ts";

export type SnapshotFile = { path: string; index: number };

const namePattern = /^(\d{16})\.db$/;
export const snapshotName = (index: number): string => `${String(index).padStart(16, "0")}.db`;

/** At a start, before anybody else writes there: makes the folder if missing and removes what interrupted copies left. */
export async function clearSnapshotFolder(directory: string): Promise<void> {
	await mkdir(directory, { recursive: true, mode: 0o700 });
	for (const name of await readdir(directory))
		if (name.includes(".tmp")) await rm(join(directory, name), { force: true });
}

/** Newest first. */
export async function listSnapshots(directory: string): Promise<SnapshotFile[]> {
	const names = await readdir(directory);
	return names
		.flatMap((name) => {
			const match = namePattern.exec(name);
			return match ? [{ path: join(directory, name), index: Number(match[1]) }] : [];
		})
		.sort((a, b) => b.index - a.index);
}

/**
 * On a disk that has no room for another one: all but the newest go. The log reaches back to before it, and the second one is only for
 * when it is damaged. False when there was nothing that could go.
 */
export async function dropOlderSnapshots(directory: string): Promise<boolean> {
	const [, ...older] = await listSnapshots(directory);
	for (const { path } of older) await rm(path, { force: true });
	return older.length > 0;
}

/** Of none: 0 and 0. */
export async function newestSnapshot(directory: string): Promise<{ index: number; bytes: number }> {
	const [newest] = await listSnapshots(directory);
	return newest === undefined ? { index: 0, bytes: 0 } : { index: newest.index, bytes: (await stat(newest.path)).size };
}

/** What it holds; `corrupt` when it is damaged or no snapshot. `shownAs`: its name for people. */
export async function checkSnapshot(path: string, shownAs = path): Promise<StateFile> {
	const file = await checkStateFile(path);
	if (!("found" in file) && file.index > 0) return file;
	const found = "found" in file ? file.found : "there is nothing in it";
	throw new AppError("corrupt", `The file ${shownAs} is no intact snapshot (${found}).`);
}

/**
 * Puts a copy of a snapshot in the place of the state database, durably. What was there, with its write-ahead log, is
 * replaced: a log of another database would be mixed into the new one. `corrupt` when the copy is not intact; then nothing
 * was changed.
 */
export async function installSnapshot(snapshotPath: string, statePath: string): Promise<StateFile> {
	const temporary = `${statePath}.tmp`;
	await copyDurably(snapshotPath, temporary);
	let held: StateFile;
	try {
		held = await checkSnapshot(temporary, snapshotPath);
	} catch (error) {
		await rm(temporary, { force: true });
		throw error;
	}
	await rm(`${statePath}-wal`, { force: true });
	await rm(`${statePath}-shm`, { force: true });
	await syncPath(dirname(statePath));
	await rename(temporary, statePath);
	await syncPath(dirname(statePath));
	return held;
}

/** The file is durable, its name is not. */
export async function copyDurably(from: string, to: string): Promise<void> {
	await rm(to, { force: true });
	// Not copyFile: that gives the copy the mode of the source for a moment, and there are hashes of secrets in it.
	await pipeline(createReadStream(from), createWriteStream(to, { flags: "wx", mode: 0o600 }));
	await syncPath(to);
}

export async function syncPath(path: string): Promise<void> {
	const handle = await open(path, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}
