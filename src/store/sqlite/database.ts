/**
 * Opens the state database. The Raft log is what is durable, so the database may lose its newest transactions in a
 * power cut (they are replayed), but must not become inconsistent: WAL with synchronous=NORMAL gives exactly that.
 */
import { constants, Database } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { damagedState } from "../advice.ts";
import { isDamage, isFull } from "./failures.ts";
import { migrate } from "./migrations.ts";
import { checkStateFile, isSealed } from "./state-check.ts";
import { StateDatabase } from "./state-database.ts";

export function openMemoryState(): StateDatabase {
	const database = new Database(":memory:", { strict: true });
	migrate(database);
	return new StateDatabase(database);
}

/** Reads all of the file: `corrupt` when it is damaged, `unsupported` when a newer version wrote it. */
export async function checkState(path: string): Promise<void> {
	if (isSealed(path)) return;
	const file = await checkStateFile(path);
	if ("found" in file) throw damagedState(path, file.found);
}

/** The file is not there yet, or `checkState` has found it intact. */
export const openStateFile = (path: string): StateDatabase => new StateDatabase(openDatabase(path));

/** Whose state a snapshot is; null when it has no cluster, or cannot be read. Leaves no file beside it. */
export function clusterOfSnapshot(path: string): string | null {
	let database: Database | null = null;
	try {
		const flags = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI;
		database = new Database(`${pathToFileURL(path).href}?immutable=1`, flags);
		return (database.query("SELECT id FROM cluster LIMIT 1").get() as { id: string } | null)?.id ?? null;
	} catch {
		return null;
	} finally {
		database?.close();
	}
}

/** As openStateFile, without what reads and writes its rows. */
export function openDatabase(path: string): Database {
	let database: Database | null = null;
	try {
		// It holds hashes of secrets; SQLite gives the files beside it the same mode.
		closeSync(openSync(path, "a", 0o600));
		database = new Database(path, { create: true, readwrite: true, strict: true });
		database.run("PRAGMA journal_mode = WAL");
		database.run("PRAGMA synchronous = NORMAL");
		database.run("PRAGMA temp_store = MEMORY");
		database.run("PRAGMA cache_size = -8000");
		database.run("PRAGMA busy_timeout = 5000");
		// The write-ahead log goes into the database in a thread of its own (snapshots.ts).
		database.run("PRAGMA wal_autocheckpoint = 0");
		database.run(`PRAGMA journal_size_limit = ${4 * MiB}`);
		migrate(database);
		return database;
	} catch (error) {
		database?.close();
		if (error instanceof AppError) throw error;
		const found = error instanceof Error ? error.message : String(error);
		if (isDamage(error)) throw damagedState(path, found, error);
		if (isFull(error))
			throw new AppError("no-space", `The disk of ${path} is full. Make some space.`, { cause: error });
		throw new AppError("storage", `The state database ${path} cannot be opened (${found}).`, { cause: error });
	}
}
