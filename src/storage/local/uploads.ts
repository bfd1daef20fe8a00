/**
 * Where images grow before they are checked: `uploads/<id>.part`, appended to, and its record. Survives a restart of the
 * daemon to the byte; after a power cut, to the last sync (every 64 MiB and at close).
 */
import { type FileHandle, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import { MiB } from "../../lib/units.ts";
import type { UploadFile, UploadOptions, UploadStatus, WholeUpload } from "../driver.ts";
import { syncFile, syncFolder } from "../durable.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { diskSize, requireId } from "../names.ts";
import type { LocalContext } from "./context.ts";
import type { UploadRecord } from "./records.ts";
import { RunningHash } from "./running-hash.ts";
import { SparseWriter } from "./sparse-writer.ts";

const syncEveryBytes = 64 * MiB;
/** Hashes kept for uploads that are between two parts; beyond it the oldest file is read again instead. */
const maxHashes = 256;

export class LocalUploads {
	readonly #context: LocalContext;
	readonly #hashes = new Map<string, RunningHash>();
	readonly #open = new Map<string, OpenUpload>();
	#bootId: Promise<string> | null = null;

	constructor(context: LocalContext) {
		this.#context = context;
	}

	async open(id: string, totalBytes: number | null, options: UploadOptions = {}): Promise<UploadFile> {
		requireId(id, "image");
		if (totalBytes !== null) diskSize(totalBytes, this.#context.inspectLimits.maxVirtualBytes);
		const lock = await this.#lock(id);
		try {
			const { folder } = this.#context;
			if ((await folder.readImage(id)) !== null)
				throw new AppError("already-exists", `Image ${id} is complete already.`);
			return await withFileErrors("opening the upload", async () => {
				if (options.restart) await this.#remove(id);
				const record = await this.#begin(id, totalBytes, options.validator ?? null);
				const file = await open(folder.uploadFile(id), "r+", 0o600);
				const upload = new OpenUpload(file, record, await this.#settled(file, record), this.#hash(id), {
					bootId: await this.#currentBootId(),
					path: folder.uploadFile(id),
					save: (changed) => folder.writeRecord(folder.uploadRecord(id), changed),
					closed: () => {
						this.#open.delete(id);
						lock[Symbol.dispose]();
					},
				});
				this.#open.set(id, upload);
				return upload;
			});
		} catch (error) {
			lock[Symbol.dispose]();
			throw error;
		}
	}

	async status(id: string): Promise<UploadStatus | null> {
		requireId(id, "image");
		const { folder } = this.#context;
		const record = await folder.readUpload(id);
		if (record === null || (await folder.readImage(id)) !== null) return null;
		const { totalBytes, validator } = record;
		const live = this.#open.get(id);
		if (live) return { receivedBytes: live.receivedBytes, totalBytes, validator };
		const length = await lengthOf(folder.uploadFile(id));
		const sameBoot = record.bootId === (await this.#currentBootId());
		return { receivedBytes: sameBoot ? length : Math.min(length, record.syncedBytes), totalBytes, validator };
	}

	/** Ends the upload, also one that is open, and removes what was received. Missing is not an error. */
	async remove(id: string): Promise<void> {
		requireId(id, "image");
		await this.#open.get(id)?.cancel();
		using _lock = await this.#lock(id);
		await withFileErrors("removing the upload", () => this.#remove(id));
	}

	/**
	 * Calls `work` with the whole received file while nobody writes to it. `wrong-state` when it is not complete.
	 * The hash is that of the file when it was kept up while writing, else null.
	 */
	async withComplete<T>(
		id: string,
		work: (path: string, size: number, sha256: string | null) => Promise<T>,
	): Promise<T> {
		using _lock = await this.#lock(id);
		const status = await this.status(id);
		if (status === null) throw new AppError("not-found", `Nothing was received of image ${id}.`);
		if (status.totalBytes !== null && status.receivedBytes !== status.totalBytes)
			throw new AppError("wrong-state", `${status.receivedBytes} of ${status.totalBytes} bytes were received so far.`);
		const path = this.#context.folder.uploadFile(id);
		await withFileErrors("flushing the upload", async () => {
			// After a power cut the file may end in bytes that were never synced.
			if ((await lengthOf(path)) !== status.receivedBytes)
				throw new AppError("wrong-state", "The end of the upload was lost; send it again.");
			await syncFile(path);
		});
		const hash = this.#hashes.get(id);
		const known = hash?.length === status.receivedBytes ? hash.digest() : null;
		return work(path, status.receivedBytes, known);
	}

	/** Takes the finished file `path` (in the uploads folder, synced) as a complete upload. */
	async place(id: string, path: string, totalBytes: number): Promise<void> {
		requireId(id, "image");
		using _lock = await this.#lock(id);
		const { folder } = this.#context;
		if ((await folder.readImage(id)) !== null) throw new AppError("already-exists", `Image ${id} is complete already.`);
		await withFileErrors("storing the received file", async () => {
			await this.#remove(id);
			await folder.step("rename the received file");
			await rename(path, folder.uploadFile(id));
			await syncFolder(folder.part("uploads"));
			const bootId = await this.#currentBootId();
			await folder.writeRecord(folder.uploadRecord(id), {
				...{ version: 1, id, totalBytes, validator: null, syncedBytes: totalBytes, bootId },
			});
		});
	}

	/** Removes the files of an upload that became an image. The caller holds its lock. */
	async discard(id: string): Promise<void> {
		await this.#remove(id);
	}

	/**
	 * Removes files without record and the other way round, and uploads whose image is there. In a shared pool only the latter: another
	 * node may be about to write the record of a file. What lies there goes with the image's deletion.
	 */
	async removeLeftovers(): Promise<void> {
		const { folder } = this.#context;
		const names = new Set(await readdir(folder.part("uploads")));
		for (const name of names) {
			const [id, ending] = [name.slice(0, 36), name.slice(36)];
			if (!isUuid(id) || this.#open.has(id)) continue;
			const other = ending === ".part" ? ".json" : ".part";
			const halfMade = folder.sharedBy === null && (ending === ".json.new" || !names.has(`${id}${other}`));
			const useless = halfMade || (await folder.readImage(id)) !== null;
			if (useless) await rm(join(folder.part("uploads"), name), { force: true });
		}
	}

	async #begin(id: string, totalBytes: number | null, validator: string | null): Promise<UploadRecord> {
		const { folder } = this.#context;
		const found = await folder.readUpload(id);
		if (found !== null && (await isFile(folder.uploadFile(id)))) {
			if (totalBytes !== null && found.totalBytes !== null && found.totalBytes !== totalBytes)
				throw new AppError("wrong-state", `This upload was begun with a length of ${found.totalBytes} bytes.`);
			const record = { ...found, totalBytes: found.totalBytes ?? totalBytes, validator: validator ?? found.validator };
			if (record.totalBytes !== found.totalBytes || record.validator !== found.validator)
				await folder.writeRecord(folder.uploadRecord(id), record);
			return record;
		}
		await this.#remove(id);
		await folder.step("make the file of the upload");
		const file = await open(folder.uploadFile(id), "wx", 0o600);
		await file.close();
		const bootId = await this.#currentBootId();
		const record: UploadRecord = { version: 1, id, totalBytes, validator, syncedBytes: 0, bootId };
		try {
			await folder.writeRecord(folder.uploadRecord(id), record);
		} catch (error) {
			if ((await folder.readUpload(id)) === null) await rm(folder.uploadFile(id), { force: true });
			throw error;
		}
		return record;
	}

	/** Length that can be believed; the file is cut to it. */
	async #settled(file: FileHandle, record: UploadRecord): Promise<number> {
		const { size } = await file.stat();
		const believed = record.bootId === (await this.#currentBootId()) ? size : Math.min(size, record.syncedBytes);
		if (believed < size) await file.truncate(believed);
		return believed;
	}

	#hash(id: string): RunningHash {
		const found = this.#hashes.get(id);
		if (found) return found;
		const oldest = this.#hashes.size >= maxHashes ? this.#hashes.keys().next().value : undefined;
		if (oldest !== undefined) this.#hashes.delete(oldest);
		const fresh = new RunningHash();
		this.#hashes.set(id, fresh);
		return fresh;
	}

	async #remove(id: string): Promise<void> {
		const { folder } = this.#context;
		this.#hashes.delete(id);
		await folder.step("remove the record of the upload");
		await rm(folder.uploadRecord(id), { force: true });
		await folder.step("remove the file of the upload");
		await rm(folder.uploadFile(id), { force: true });
	}

	#lock(id: string): Promise<Disposable> {
		return this.#context.locks.exclusive(`upload:${id}`, "This upload is busy with another operation.");
	}

	#currentBootId(): Promise<string> {
		this.#bootId ??= readFile("/proc/sys/kernel/random/boot_id", "utf8").then((text) => text.trim());
		return this.#bootId;
	}
}

type OpenUploadHooks = {
	path: string;
	bootId: string;
	save: (record: UploadRecord) => Promise<void>;
	closed: () => void;
};

/** Writes are done one after another, in the order of the calls. */
class OpenUpload implements UploadFile {
	readonly #file: FileHandle;
	readonly #writer: SparseWriter;
	readonly #hooks: OpenUploadHooks;
	#record: UploadRecord;
	#state: "open" | "canceled" | "closed" = "open";
	#last: Promise<void> = Promise.resolve();

	constructor(file: FileHandle, record: UploadRecord, length: number, hash: RunningHash, hooks: OpenUploadHooks) {
		this.#file = file;
		this.#record = record;
		this.#writer = new SparseWriter(file, length, hash);
		this.#hooks = hooks;
	}

	get receivedBytes(): number {
		return this.#writer.position;
	}

	write(chunk: Uint8Array): Promise<void> {
		return this.#inTurn(async () => {
			this.#requireOpen();
			const { totalBytes } = this.#record;
			if (totalBytes !== null && this.receivedBytes + chunk.length > totalBytes)
				throw new AppError("invalid", `More bytes than the ${totalBytes} that were announced.`);
			await this.#writer.append(chunk);
			if (this.receivedBytes - this.#record.syncedBytes >= syncEveryBytes) await this.#sync();
		});
	}

	get whole(): WholeUpload {
		return { path: this.#hooks.path, done: (sizeBytes, sha256) => this.#takeWhole(sizeBytes, sha256) };
	}

	#takeWhole(sizeBytes: number, sha256: string): Promise<void> {
		return this.#inTurn(async () => {
			this.#requireOpen();
			const { size } = await withFileErrors("looking at the received file", () => this.#file.stat());
			const { totalBytes } = this.#record;
			if (this.receivedBytes !== 0 || size !== sizeBytes || (totalBytes ?? sizeBytes) !== sizeBytes)
				throw new AppError("storage", `The received file has ${size} bytes, and ${sizeBytes} were copied.`);
			this.#writer.takeWhole(sizeBytes, sha256);
			await this.#sync();
		});
	}

	#requireOpen(): void {
		if (this.#state === "canceled") throw new AppError("canceled", "The upload was ended.");
		if (this.#state === "closed") throw new AppError("wrong-state", "The upload is closed.");
	}

	close(): Promise<void> {
		return this.#inTurn(() => this.#end(true));
	}

	/** The file is about to go: nothing is flushed, later writes fail. */
	cancel(): Promise<void> {
		return this.#inTurn(() => this.#end(false));
	}

	async #end(flush: boolean): Promise<void> {
		if (this.#state !== "open") return;
		this.#state = flush ? "closed" : "canceled";
		try {
			if (flush) await this.#sync();
		} finally {
			await this.#file.close().finally(this.#hooks.closed);
		}
	}

	async #sync(): Promise<void> {
		await withFileErrors("flushing the upload", async () => {
			try {
				await this.#writer.settle();
				await this.#file.sync();
			} catch (error) {
				// What was not flushed may be lost now, whatever reading it says.
				await this.#writer.cutTo(this.#record.syncedBytes);
				throw error;
			}
			this.#record = { ...this.#record, syncedBytes: this.receivedBytes, bootId: this.#hooks.bootId };
			await this.#hooks.save(this.#record);
		});
	}

	#inTurn(work: () => Promise<void>): Promise<void> {
		const result = this.#last.then(work);
		this.#last = result.catch(() => {});
		return result;
	}
}

async function lengthOf(path: string): Promise<number> {
	try {
		return (await stat(path)).size;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return 0;
		throw error;
	}
}

async function isFile(path: string): Promise<boolean> {
	try {
		return (await stat(path)).isFile();
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return false;
		throw error;
	}
}
