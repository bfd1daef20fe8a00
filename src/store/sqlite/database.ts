/**
 * Opens the state database. The Raft log is what is durable, so the database may lose its newest transactions in a
 * power cut (they are replayed), but must not become inconsistent: WAL with synchronous=NORMAL gives exactly that.
 */
import { Database } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { isDamage, isFull } from "./failures.ts";
import { migrate } from "./migrations.ts";
import { StateDatabase } from "./state-database.ts";

export function openMemoryState(): StateDatabase {
	const database = new Database(":memory:", { strict: true });
	migrate(database);
	return new StateDatabase(database);
}

/** `corrupt` when the file is damaged, `unsupported` when a newer version wrote it. */
export function openStateFile(path: string): StateDatabase {
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
		checkIntegrity(database, path);
		migrate(database);
		return new StateDatabase(database);
	} catch (error) {
		database?.close();
		if (error instanceof AppError) throw error;
		const found = error instanceof Error ? error.message : String(error);
		if (isDamage(error)) throw corrupt(path, found, error);
		if (isFull(error))
			throw new AppError("no-space", `The disk of ${path} is full. Make some space.`, { cause: error });
		throw new AppError("storage", `The state database ${path} cannot be opened (${found}).`, { cause: error });
	}
}

/** Reads every page once. */
export function checkIntegrity(database: Database, path: string): void {
	const rows = database.query<{ quick_check: string }, []>("PRAGMA quick_check(5)").all();
	const problems = rows.map((row) => row.quick_check).filter((text) => text !== "ok");
	if (problems.length > 0) throw corrupt(path, problems.join("; "));
}

const corrupt = (path: string, found: string, cause?: unknown): AppError =>
	new AppError(
		"corrupt",
		`The state database ${path} is damaged (${found}). Nothing was changed. Move the file and those that begin with its name (-wal, -shm) elsewhere and start again: the state is then rebuilt from the newest snapshot and the log.`,
		{ cause },
	);
