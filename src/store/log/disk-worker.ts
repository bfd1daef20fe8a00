/**
 * The thread that does the log's file operations: writes and fdatasync may wait for the disk as long as they like. See
 * worker-client.ts for why this function may refer to nothing outside it.
 */
import type { BallastPlace, ballastFile } from "../ballast-file.ts";
import type { Urgency } from "../disk-reserve.ts";

export type DiskWorkerCalls = {
	/** `ballast`: the file that is given up when the disk is full (ballast-file.ts); null when there is none. */
	start: { directory: string; sync: boolean; ballast: BallastPlace | null };
	list: Record<string, never>;
	open: { name: string; create: boolean };
	append: {
		handle: number;
		offset: number;
		data: Uint8Array;
		keepFreeBytes: number;
		urgency: Urgency;
		sync: boolean;
	};
	sync: { handle: number };
	read: { handle: number; offset: number; length: number };
	truncate: { handle: number; sizeBytes: number };
	close: { handle: number };
	rename: { from: string; to: string };
	remove: { name: string };
	syncDirectory: Record<string, never>;
};

export function diskWorker(openBallast: typeof ballastFile): void {
	const fs = process.getBuiltinModule("node:fs");
	const scope = globalThis as unknown as {
		onmessage: (event: MessageEvent) => void;
		postMessage(message: unknown): void;
	};
	/** What one command takes of the same disk beside the log, with room to spare: pages of the database. */
	const besideBytes = 256 * 1024;
	let directory = "";
	let durable = true;
	let ballast = openBallast(null, directory);

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
	/** What has to be written is written in the place of the ballast. `work` has changed nothing when it finds no space. */
	const insisting = <T>(work: () => T): T => {
		for (;;) {
			try {
				return work();
			} catch (error) {
				const { code } = error as { code?: unknown };
				const isFull = code === "ENOSPC" || code === "EDQUOT";
				if (!isFull || !ballast.shorten()) throw error;
			}
		}
	};
	const makeFree = (bytes: number, keepFreeBytes: number, urgency: Urgency) => {
		const { ownBytes, othersBytes } = ballast.free();
		const freeBytes = urgency === "growing" ? othersBytes : ownBytes;
		const wanted = bytes + keepFreeBytes;
		if (freeBytes < wanted) {
			// What makes the cluster larger is not written in the place of the ballast.
			const countsBallast = urgency === "essential" || freeBytes >= ballast.stepBytes;
			if (!countsBallast || freeBytes + ballast.heldBytes() < wanted) throw noSpace();
		}
		// Before it is written: a file system may notice only later that it has no place for it.
		if (bytes > 0 && ownBytes < bytes + besideBytes) ballast.makeFree(bytes + besideBytes);
	};
	const calls: { [K in keyof DiskWorkerCalls]: (args: DiskWorkerCalls[K]) => unknown } = {
		start(args) {
			directory = args.directory;
			durable = args.sync;
			fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
			ballast = openBallast(args.ballast, directory);
		},
		list: () => fs.readdirSync(directory),
		open({ name, create }) {
			const { O_RDWR, O_CREAT, O_EXCL } = fs.constants;
			const flags = create ? O_RDWR | O_CREAT | O_EXCL : O_RDWR;
			const handle = insisting(() => fs.openSync(`${directory}/${name}`, flags, 0o600));
			return { handle, sizeBytes: fs.fstatSync(handle).size };
		},
		append({ handle, offset, data, keepFreeBytes, urgency, sync }) {
			makeFree(data.length, keepFreeBytes, urgency);
			let written = 0;
			while (written < data.length) {
				written += insisting(() => {
					const count = fs.writeSync(handle, data, written, data.length - written, offset + written);
					if (count === 0) throw noSpace();
					return count;
				});
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
		rename: ({ from, to }) => insisting(() => fs.renameSync(`${directory}/${from}`, `${directory}/${to}`)),
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
