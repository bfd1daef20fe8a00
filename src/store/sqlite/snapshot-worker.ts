/**
 * The thread that copies the state database into snapshot files and moves its write-ahead log into it: both read and
 * fsync a lot. See worker-client.ts for why this function may refer to nothing outside it.
 */
export type SnapshotWorkerCalls = {
	/**
	 * Durable when it answers. `target`: the file, or a folder in which it is named by its index (which is known only
	 * when the copy is made). `temporary` lies in the same folder.
	 */
	snapshot: { source: string; temporary: string; target: string };
	checkpoint: { source: string };
};

export function snapshotWorker(): void {
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
	const calls: { [K in keyof SnapshotWorkerCalls]: (args: SnapshotWorkerCalls[K]) => unknown } = {
		snapshot({ source, temporary, target }) {
			fs.rmSync(temporary, { force: true });
			// It holds hashes of secrets: never readable for others, not for a moment. SQLite fills an empty file.
			fs.closeSync(fs.openSync(temporary, "wx", 0o600));
			const database = new Database(source, { readonly: true });
			try {
				database.run("VACUUM INTO ?", [temporary]);
			} finally {
				database.close();
			}
			const copy = new Database(temporary, { readonly: true });
			let index = 0;
			try {
				const row = copy.query("SELECT value FROM meta WHERE key = 'appliedIndex'").get() as { value: number } | null;
				index = row?.value ?? 0;
			} finally {
				copy.close();
			}
			sync(temporary);
			const isFolder = fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? false;
			const name = isFolder ? path.join(target, `${String(index).padStart(16, "0")}.db`) : target;
			fs.renameSync(temporary, name);
			sync(path.dirname(name));
			return { index, bytes: fs.statSync(name).size };
		},
		checkpoint({ source }) {
			const database = new Database(source, { readwrite: true, create: false });
			try {
				database.run("PRAGMA busy_timeout = 1000");
				database.run("PRAGMA synchronous = NORMAL");
				database.run("PRAGMA wal_checkpoint(PASSIVE)");
			} finally {
				database.close();
			}
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
