/**
 * The thread that copies the state database into snapshot files and moves its write-ahead log into it: both read and
 * fsync a lot. See worker-client.ts for why this function may refer to nothing outside it.
 */
import type { Database } from "bun:sqlite";
import type { StateDigest } from "./state-digest.ts";

export type SnapshotWorkerCalls = {
	/**
	 * Durable when it answers. `target`: the file, or a folder in which it is named by its index (which is known only
	 * when the copy is made). `temporary` lies in the same folder. Fails with the code "corrupt", and leaves nothing, when
	 * the copy is not what was written: then the source is not, either.
	 */
	snapshot: { source: string; temporary: string; target: string; newestVersion: number };
	/** Reads all of a file of the state and says what it is (FileReport). Changes nothing. */
	check: { path: string; newestVersion: number };
	/** The hash of a file, as stateDigest has it. */
	hash: { path: string };
	/** Durable when it answers. */
	checkpoint: { source: string };
	/** Lets go of what it holds, before it ends. */
	release: Record<string, never>;
};

/** `found`: what is wrong with it; null when nothing is, and when it is of a version that is newer than those known. */
export type FileReport = { version: number; found: string | null; index: number; term: number };

export function snapshotWorker(makeStateDigest: () => StateDigest): void {
	const stateDigest = makeStateDigest();
	const fs = process.getBuiltinModule("node:fs");
	const path = process.getBuiltinModule("node:path");
	const { Database } = process.getBuiltinModule("bun:sqlite") as typeof import("bun:sqlite");
	const scope = globalThis as unknown as {
		onmessage: (event: MessageEvent) => void;
		postMessage(message: unknown): void;
	};

	const sync = (name: string) => {
		const handle = fs.openSync(name, "r");
		try {
			fs.fsyncSync(handle);
		} finally {
			fs.closeSync(handle);
		}
	};
	/**
	 * Of the database whose write-ahead log is moved. It stays open: to close one of its handles would end the locks that SQLite has
	 * on the file in this process. An error of its sync has a code of its own, also where the disk is only full: what was there before is
	 * perhaps lost, and the next sync would not say so.
	 */
	let kept: { name: string; inode: number; handle: number } | null = null;
	const syncKeepingOpen = (name: string) => {
		const { ino } = fs.statSync(name);
		if (kept === null || kept.name !== name || kept.inode !== ino) {
			// The one before was replaced, and nobody has it open any more.
			if (kept !== null) fs.closeSync(kept.handle);
			kept = { name, inode: ino, handle: fs.openSync(name, "r") };
		}
		try {
			fs.fsyncSync(kept.handle);
		} catch (error) {
			throw Object.assign(new Error(String(error)), { code: "ESYNC" });
		}
	};
	const report = (database: Database, newestVersion: number): FileReport => {
		const version = stateDigest.version(database);
		const nothing = { version, found: null, index: 0, term: 0 };
		if (version > newestVersion) return nothing;
		if (version <= 0) {
			const isEmpty = database.query("SELECT 1 FROM sqlite_schema").get() === null;
			return isEmpty ? nothing : { ...nothing, found: "it does not say its version" };
		}
		const found = stateDigest.damageOfStructure(database) ?? stateDigest.damageOfRows(database);
		const meta = (key: string) =>
			(database.query("SELECT value FROM meta WHERE key = ?").get(key) as { value: number } | null)?.value ?? 0;
		return { version, found, index: meta("appliedIndex"), term: meta("appliedTerm") };
	};
	const check = (name: string, newestVersion: number): FileReport => {
		const database = new Database(name, { readonly: true });
		try {
			// Indices are looked up in any order. More than this (64 MB) made it no faster, at 300 MB of state.
			database.run("PRAGMA cache_size = -8000");
			return report(database, newestVersion);
		} finally {
			database.close();
		}
	};
	const calls: { [K in keyof SnapshotWorkerCalls]: (args: SnapshotWorkerCalls[K]) => unknown } = {
		snapshot({ source, temporary, target, newestVersion }) {
			fs.rmSync(temporary, { force: true });
			// It holds hashes of secrets: never readable for others, not for a moment. SQLite fills an empty file.
			const handle = fs.openSync(temporary, "wx", 0o600);
			let added: string | null = null;
			try {
				const database = new Database(source, { readonly: true });
				try {
					database.run("VACUUM INTO ?", [temporary]);
				} finally {
					database.close();
				}
				const { found, index } = check(temporary, newestVersion);
				if (found !== null) throw Object.assign(new Error(found), { code: "corrupt" });
				// By a handle that was there from the beginning: it is told also of what failed to be written before this.
				fs.fsyncSync(handle);
				const isFolder = fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false;
				const name = isFolder ? path.join(target, `${String(index).padStart(16, "0")}.db`) : target;
				if (!fs.existsSync(name)) added = name;
				fs.renameSync(temporary, name);
				sync(path.dirname(name));
				return { index, bytes: fs.statSync(name).size };
			} catch (error) {
				for (const made of [temporary, added]) if (made !== null) fs.rmSync(made, { force: true });
				throw error;
			} finally {
				fs.closeSync(handle);
			}
		},
		check: ({ path: name, newestVersion }) => check(name, newestVersion),
		hash: ({ path: name }) => stateDigest.hashOfFile(name),
		checkpoint({ source }) {
			const database = new Database(source, { readwrite: true, create: false });
			try {
				database.run("PRAGMA busy_timeout = 1000");
				database.run("PRAGMA synchronous = NORMAL");
				database.run("PRAGMA wal_checkpoint(PASSIVE)");
			} finally {
				database.close();
			}
			// SQLite does so only when it has come to the end of the log, which it does not while somebody writes.
			syncKeepingOpen(source);
		},
		release() {
			if (kept !== null) fs.closeSync(kept.handle);
			kept = null;
		},
	};

	scope.onmessage = ({ data: { id, operation, args } }) => {
		try {
			const call = calls[operation as keyof SnapshotWorkerCalls] as (args: unknown) => unknown;
			scope.postMessage({ id, value: call(args) });
		} catch (error) {
			const { code, message } = error as { code?: unknown; message?: unknown };
			const known = typeof code === "string" ? code : null;
			scope.postMessage({ id, error: { code: known, message: String(message) } });
		}
	};
}
