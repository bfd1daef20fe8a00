/** The log's files on a disk. Every operation runs in a worker, in the order in which it was asked for. */
import { AppError } from "../../lib/errors.ts";
import { type BallastPlace, ballastFile } from "../ballast-file.ts";
import type { Urgency } from "../disk-reserve.ts";
import { WorkerClient, WorkerError } from "../worker-client.ts";
import { type DiskWorkerCalls, diskWorker } from "./disk-worker.ts";
import type { LogFile, LogFiles } from "./files.ts";

export type DiskFilesOptions = {
	/** Made if missing, mode 0700. */
	directory: string;
	/** False leaves out fsync: for tests only. */
	sync: boolean;
	/** What is given up when the disk is full (../ballast-file.ts). Left out: there is none. */
	ballast?: BallastPlace;
};

export async function openDiskFiles(options: DiskFilesOptions): Promise<LogFiles> {
	const files = new DiskFiles();
	const { directory, sync, ballast = null } = options;
	await files.call("start", { directory, sync, ballast });
	return files;
}

class DiskFiles implements LogFiles {
	readonly #worker = new WorkerClient(diskWorker, ballastFile);

	async call<K extends keyof DiskWorkerCalls>(operation: K, args: DiskWorkerCalls[K]): Promise<unknown> {
		try {
			return await this.#worker.call(operation, args);
		} catch (error) {
			throw storageError(operation, error);
		}
	}

	async list(): Promise<string[]> {
		return (await this.call("list", {})) as string[];
	}

	async open(name: string, mode: "existing" | "create"): Promise<LogFile> {
		const opened = await this.call("open", { name, create: mode === "create" });
		const { handle, sizeBytes } = opened as { handle: number; sizeBytes: number };
		return new DiskFile(this, handle, sizeBytes);
	}

	async rename(from: string, to: string): Promise<void> {
		await this.call("rename", { from, to });
	}

	async remove(name: string): Promise<void> {
		await this.call("remove", { name });
	}

	async syncDirectory(): Promise<void> {
		await this.call("syncDirectory", {});
	}

	async close(): Promise<void> {
		this.#worker.close();
	}
}

class DiskFile implements LogFile {
	readonly #files: DiskFiles;
	readonly #handle: number;
	#sizeBytes: number;

	constructor(files: DiskFiles, handle: number, sizeBytes: number) {
		this.#files = files;
		this.#handle = handle;
		this.#sizeBytes = sizeBytes;
	}

	get sizeBytes(): number {
		return this.#sizeBytes;
	}

	append(data: Uint8Array, keepFreeBytes = 0, urgency: Urgency = "essential"): Promise<void> {
		return this.#append({ data, keepFreeBytes, urgency, sync: false });
	}

	/** One message to the worker instead of two: at one change at a time, that is what the time goes into. */
	appendDurably(data: Uint8Array, keepFreeBytes = 0): Promise<void> {
		return this.#append({ data, keepFreeBytes, urgency: "essential", sync: true });
	}

	async #append(what: Omit<DiskWorkerCalls["append"], "handle" | "offset">): Promise<void> {
		const offset = this.#sizeBytes;
		// What is there after a failure is unknown: at most this. The caller truncates.
		this.#sizeBytes += what.data.length;
		await this.#files.call("append", { ...what, handle: this.#handle, offset });
	}

	async sync(): Promise<void> {
		await this.#files.call("sync", { handle: this.#handle });
	}

	async read(offset: number, length: number): Promise<Uint8Array> {
		return (await this.#files.call("read", { handle: this.#handle, offset, length })) as Uint8Array;
	}

	async truncate(sizeBytes: number): Promise<void> {
		await this.#files.call("truncate", { handle: this.#handle, sizeBytes });
		this.#sizeBytes = sizeBytes;
	}

	async close(): Promise<void> {
		await this.#files.call("close", { handle: this.#handle });
	}
}

const fullCodes = ["ENOSPC", "EDQUOT", "EFBIG"];

function storageError(operation: string, cause: unknown): AppError {
	if (cause instanceof AppError) return cause;
	const code = cause instanceof WorkerError ? cause.code : null;
	if (code !== null && fullCodes.includes(code))
		return new AppError("no-space", "The disk of this node's log is full.", { cause, retryAfterMs: 5000 });
	const context = { operation, errno: code };
	return new AppError("storage", `A file operation on the log failed (${operation}: ${code ?? "unknown"}).`, {
		cause,
		context,
	});
}
