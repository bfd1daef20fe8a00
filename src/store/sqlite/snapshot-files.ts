/**
 * Snapshot files: whole copies of the state database, one folder, named by the index up to which they hold the log.
 * A file under its final name is complete and durable; `.tmp` is what an interrupted copy leaves.
 */
import { Database } from "bun:sqlite";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AppError } from "../../lib/errors.ts";
import { checkIntegrity } from "./database.ts";
import { isDamage } from "./failures.ts";

export type SnapshotFile = { path: string; index: number };

const namePattern = /^(\d{16})\.db$/;
export const snapshotName = (index: number): string => `${String(index).padStart(16, "0")}.db`;

/** Newest first. Makes the folder if missing and removes what interrupted copies left. */
export async function listSnapshots(directory: string): Promise<SnapshotFile[]> {
	await mkdir(directory, { recursive: true, mode: 0o700 });
	const names = await readdir(directory);
	for (const name of names) if (name.includes(".tmp")) await rm(join(directory, name), { force: true });
	return names
		.flatMap((name) => {
			const match = namePattern.exec(name);
			return match ? [{ path: join(directory, name), index: Number(match[1]) }] : [];
		})
		.sort((a, b) => b.index - a.index);
}

/** The index in it; `corrupt` when it is damaged or no snapshot. */
export function checkSnapshot(path: string): number {
	let database: Database | null = null;
	try {
		database = new Database(path, { readonly: true });
		checkIntegrity(database, path);
		const row = database.query<{ value: number }, []>("SELECT value FROM meta WHERE key = 'appliedIndex'").get();
		return row?.value ?? 0;
	} catch (error) {
		if (error instanceof AppError) throw error;
		const found = error instanceof Error ? error.message : String(error);
		throw new AppError(isDamage(error) ? "corrupt" : "storage", `The file ${path} is no intact snapshot (${found}).`, {
			cause: error,
		});
	} finally {
		database?.close();
	}
}

/**
 * Puts a copy of a snapshot in the place of the state database, durably. What was there, with its write-ahead log, is
 * replaced: a log of another database would be mixed into the new one.
 */
export async function installSnapshot(snapshotPath: string, statePath: string): Promise<void> {
	const temporary = `${statePath}.tmp`;
	await rm(temporary, { force: true });
	// Not copyFile: that gives the copy the mode of the source for a moment, and there are hashes of secrets in it.
	await pipeline(createReadStream(snapshotPath), createWriteStream(temporary, { flags: "wx", mode: 0o600 }));
	await syncPath(temporary);
	await rm(`${statePath}-wal`, { force: true });
	await rm(`${statePath}-shm`, { force: true });
	await syncPath(dirname(statePath));
	await rename(temporary, statePath);
	await syncPath(dirname(statePath));
}

export async function syncPath(path: string): Promise<void> {
	const handle = await open(path, "r");
	try {
		await handle.sync();
	} finally {
		await handle.close();
	}
}
