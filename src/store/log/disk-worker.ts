/**
 * The thread that does the log's file operations: writes and fdatasync may wait for the disk as long as they like. See
 * worker-client.ts for why this function may refer to nothing outside it.
 */

export type DiskWorkerCalls = {
	start: { directory: string; sync: boolean };
	list: Record<string, never>;
	open: { name: string; create: boolean };
	append: { handle: number; offset: number; data: Uint8Array; keepFreeBytes: number; sync: boolean };
	sync: { handle: number };
	read: { handle: number; offset: number; length: number };
	truncate: { handle: number; sizeBytes: number };
	close: { handle: number };
	rename: { from: string; to: string };
	remove: { name: string };
	syncDirectory: Record<string, never>;
};

export function diskWorker(): void {
	const fs = process.getBuiltinModule("node:fs");
	const scope = globalThis as unknown as {
		onmessage: (event: MessageEvent) => void;
		postMessage(message: unknown): void;
	};
	let directory = "";
	let durable = true;

	const noSpace = () => Object.assign(new Error("the disk is nearly full"), { code: "ENOSPC" });
	/** An error here has a code of its own: even "no space" means that what was written before may be lost. */
	const syncing = (sync: () => void) => {
		try {
			sync();
		} catch (error) {
			throw Object.assign(new Error(String(error)), { code: "ESYNC" });
		}
	};
	const datasync = (handle: number) => {
		if (durable) syncing(() => fs.fdatasyncSync(handle));
	};
	const calls: { [K in keyof DiskWorkerCalls]: (args: DiskWorkerCalls[K]) => unknown } = {
		start(args) {
			directory = args.directory;
			durable = args.sync;
			fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
		},
		list: () => fs.readdirSync(directory),
		open({ name, create }) {
			const { O_RDWR, O_CREAT, O_EXCL } = fs.constants;
			const handle = fs.openSync(`${directory}/${name}`, create ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0o600);
			return { handle, sizeBytes: fs.fstatSync(handle).size };
		},
		append({ handle, offset, data, keepFreeBytes, sync }) {
			const space = fs.statfsSync(directory);
			if (space.bavail * space.bsize < data.length + keepFreeBytes) throw noSpace();
			let written = 0;
			while (written < data.length) {
				const count = fs.writeSync(handle, data, written, data.length - written, offset + written);
				if (count === 0) throw noSpace();
				written += count;
			}
			if (sync) datasync(handle);
		},
		sync: ({ handle }) => datasync(handle),
		read({ handle, offset, length }) {
			const data = new Uint8Array(length);
			let done = 0;
			while (done < length) {
				const count = fs.readSync(handle, data, done, length - done, offset + done);
				if (count === 0) break;
				done += count;
			}
			return data.subarray(0, done);
		},
		truncate: ({ handle, sizeBytes }) => fs.ftruncateSync(handle, sizeBytes),
		close: ({ handle }) => fs.closeSync(handle),
		rename: ({ from, to }) => fs.renameSync(`${directory}/${from}`, `${directory}/${to}`),
		remove: ({ name }) => fs.unlinkSync(`${directory}/${name}`),
		syncDirectory() {
			if (!durable) return;
			const handle = fs.openSync(directory, "r");
			try {
				syncing(() => fs.fsyncSync(handle));
			} finally {
				fs.closeSync(handle);
			}
		},
	};

	scope.onmessage = ({ data: { id, operation, args } }) => {
		try {
			const call = calls[operation as keyof DiskWorkerCalls] as (args: unknown) => unknown;
			scope.postMessage({ id, value: call(args) });
		} catch (error) {
			const { code, message } = error as { code?: unknown; message?: unknown };
			const known = typeof code === "string" ? code : null;
			scope.postMessage({ id, error: { code: known, message: String(message) } });
		}
	};
}
