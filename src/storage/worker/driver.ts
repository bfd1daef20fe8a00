/**
 * A file pool whose files are handled by a storage worker: StorageDriver on the daemon's side. Every call has a limit, so a file system
 * that hangs is an error here and never a wait without end. A file of this node that is imported is read by a worker of its own: this
 * one may be another user, and where that file lies may hang while the pool does not.
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { DiskSource } from "../../model/disk-source.ts";
import type { PoolCapabilities, PoolType } from "../../model/storage.ts";
import type { ContentListing, ContentOptions } from "../content.ts";
import type {
	Adoptable,
	AttachInfo,
	FileToAdopt,
	ImageInfo,
	LayerMerge,
	LongOptions,
	MakingOptions,
	PoolUsage,
	SnapshotInfo,
	StorageDriver,
	UploadFile,
	UploadOptions,
	UploadStatus,
	VolumeContent,
	VolumeDamage,
	VolumeInfo,
	VolumeSnapshots,
	WholeUpload,
} from "../driver.ts";
import { importHostFile } from "../import-host-file.ts";
import { sharedCapabilities } from "../local/capabilities.ts";
import { requireId } from "../names.ts";
import { fromWire, maxPartBytes, toWire, type WireError } from "./frames.ts";
import { hostFileApart } from "./host-file.ts";
import { PoolWorker, type WorkerOptions } from "./worker-pool.ts";
import { type CallOptions, unanswered, type WorkerProcess } from "./worker-process.ts";

export type ImportRules = {
	/** Nothing from below these folders is imported. */
	notImported: readonly string[];
};

const adoptRefusal = "A file of one node cannot become a volume of a pool that nodes share.";
const nothing = () => {};

export class WorkerDriver implements StorageDriver {
	readonly type: PoolType;
	readonly hostSecrets = [];
	readonly snapshots: VolumeSnapshots;
	protected readonly worker: PoolWorker;
	readonly #options: WorkerOptions & ImportRules;
	#capabilities: PoolCapabilities;
	#checking: Promise<PoolUsage> | null = null;
	/** Workers of uploads and streams that are open, each of which is under way. */
	readonly #open = new Set<{ worker: WorkerProcess }>();

	/** `capabilities`: until the pool is active. */
	constructor(type: PoolType, options: WorkerOptions & ImportRules, capabilities = sharedCapabilities) {
		this.type = type;
		this.#options = options;
		this.#capabilities = capabilities;
		this.worker = new PoolWorker(options);
		const { changeMs } = this.worker.limits;
		this.snapshots = {
			take: (...args) => this.ask<SnapshotInfo>("takeSnapshot", args, changeMs),
			revert: (volumeId, id) => this.ask<VolumeInfo>("revertToSnapshot", [volumeId, id], changeMs),
			delete: (volumeId, id, options) => this.#long("deleteSnapshot", [volumeId, id], options),
			list: (...args) => this.#look<SnapshotInfo[]>("listSnapshots", args),
			planLiveDelete: (volumeId, id, options) =>
				this.#long<LayerMerge | null>("planLiveDelete", [volumeId, id], options),
			finishLiveDelete: (...args) => this.ask<void>("finishLiveDelete", args, changeMs),
			undoTake: (...args) => this.ask<void>("undoTakeSnapshot", args, changeMs),
		};
	}

	get capabilities(): PoolCapabilities {
		return this.#capabilities;
	}

	async activate(): Promise<void> {
		this.#capabilities = await this.worker.activate();
	}

	/** What is under way ends with the worker, so that is not ended before. */
	async deactivate(): Promise<void> {
		if ([...this.#open].some(({ worker }) => !worker.isDead))
			throw new AppError("in-use", "Work on the pool is under way.");
		await this.worker.leave(async () => {});
	}

	#opened(worker: WorkerProcess): () => void {
		const one = { worker };
		this.#open.add(one);
		return () => void this.#open.delete(one);
	}

	end(): Promise<void> {
		return this.worker.close();
	}

	async remove(): Promise<void> {
		await this.ask("remove", [], this.worker.limits.changeMs);
		await this.worker.end("was ended");
	}

	probe(): Promise<PoolUsage> {
		return this.ask("probe", [], this.worker.limits.lookMs);
	}

	/** One question at a time: those who ask while it is open get its answer, or `timeout`. */
	async check(): Promise<PoolUsage> {
		const { clock } = this.#options;
		this.#checking ??= this.#look<PoolUsage>("check", []).finally(() => {
			this.#checking = null;
		});
		this.#checking.catch(nothing);
		const { promise: late, reject } = Promise.withResolvers<never>();
		const timer = clock.schedule(this.worker.limits.checkMs, () => reject(unanswered("does not answer")));
		try {
			return await Promise.race([this.#checking, late]);
		} finally {
			timer.cancel();
		}
	}

	listContent = (folder: string, { signal, ...options }: ContentOptions = {}) =>
		this.ask<ContentListing>("listContent", [folder, options], this.worker.limits.listMs, {
			...(signal ? { signal } : {}),
			look: true,
		});
	createVolume: StorageDriver["createVolume"] = (id, { signal, progress, ...given }) =>
		this.#long<VolumeInfo>("createVolume", [id, given], { signal, progress } as LongOptions);
	// What a large file takes on a server, to go as to grow, may be as long as it likes, while the worker gives signs of life.
	deleteVolume = (id: string) => this.#long<void>("deleteVolume", [id], {});
	resizeVolume = (id: string, sizeBytes: number, options: LongOptions = {}) =>
		this.#long<VolumeInfo>("resizeVolume", [id, sizeBytes], options);
	fillVolume = (id: string, options: LongOptions) => this.#long<void>("fillVolume", [id], options);
	flattenVolume = (id: string, options: LongOptions) => this.#long<VolumeInfo>("flattenVolume", [id], options);
	getVolume = (id: string) => this.#look<VolumeInfo | null>("getVolume", [id]);
	listVolumes = () => this.#list<VolumeInfo[]>("listVolumes", []);
	attachInfo = (id: string) => this.#look<AttachInfo>("attachInfo", [id]);
	openVolume = (id: string) => this.#look<void>("openVolume", [id]);
	closeVolume = (id: string) => this.#look<void>("closeVolume", [id]);
	openVolumes = () => this.#look<string[]>("openVolumes", []);
	checkVolume: StorageDriver["checkVolume"] = (id, { repair, ...options }) =>
		this.#long<VolumeDamage>("checkVolume", [id, { repair }], options);
	exportVolume: StorageDriver["exportVolume"] = (id, format, options) =>
		this.#stream("exportVolume", [id, format], options);
	readVolume = (id: string, options: LongOptions) => this.#stream<VolumeContent>("readVolume", [id], options);

	async receiveVolume(
		id: string,
		{ stream, ...content }: VolumeContent,
		{ provisioning, ...options }: MakingOptions,
	): Promise<VolumeInfo> {
		const reader = stream.getReader();
		try {
			const worker = await this.worker.get();
			const { value: to } = await worker.call("openIncoming", [], { limitMs: this.worker.limits.lookMs });
			const receiving = worker.call("receiveVolume", [id, content, to, provisioning ?? null], {
				...options,
				limitMs: null,
			});
			const pushing = this.#push(worker, to, reader).catch(nothing);
			const { value } = await receiving;
			await pushing;
			return value as VolumeInfo;
		} finally {
			reader.cancel().catch(nothing);
		}
	}

	async #push(worker: WorkerProcess, to: unknown, reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
		const say = (method: string, more: unknown[], part?: Uint8Array) =>
			worker.call(method, [to, ...more], { limitMs: null, ...(part ? { part } : {}) });
		for (;;) {
			const next = await reader.read().catch(async (error: unknown) => {
				await say("failIncoming", [toWire(error)]);
				throw error;
			});
			if (next.done) break;
			for (let at = 0; at < next.value.length; at += maxPartBytes)
				await say("pushIncoming", [], next.value.subarray(at, at + maxPartBytes));
		}
		await say("endIncoming", []);
	}

	async damagedVolumes(ids: readonly string[]): Promise<{ id: string; error: AppError }[]> {
		const found = await this.#list<{ id: string; error: WireError }[]>("damagedVolumes", [ids]);
		return found.map(({ id, error }) => ({ id, error: fromWire(error) }));
	}

	async adoptVolume(id: string, _options: FileToAdopt): Promise<VolumeInfo> {
		requireId(id, "volume");
		throw new AppError("unsupported", adoptRefusal);
	}
	async adoptableFiles(files: readonly FileToAdopt[]): Promise<Adoptable[]> {
		return files.map(() => ({ refusal: adoptRefusal, heldBy: null }));
	}
	releaseVolume = (id: string) => this.#change<void>("releaseVolume", [id]);

	async openUpload(id: string, totalBytes: number | null, options: UploadOptions = {}): Promise<UploadFile> {
		const worker = await this.worker.get();
		const args = [id, totalBytes === null || Number.isFinite(totalBytes) ? totalBytes : -1, options];
		const { value } = await worker.call("openUpload", args, { limitMs: this.worker.limits.changeMs });
		const opened = value as { upload: number; receivedBytes: number; path: string | null };
		// Another user's files are made by that user.
		const path = this.worker.user === null ? opened.path : null;
		return new WorkerUpload(worker, { ...opened, path }, this.#opened(worker));
	}

	getUpload = (id: string) => this.#look<UploadStatus | null>("getUpload", [id]);
	finishImage: StorageDriver["finishImage"] = (id, { format, sha256, ...options }) =>
		this.#long<ImageInfo & { sha256: string }>("finishImage", [id, { format, sha256 }], options);
	importFile = (id: string, path: string, options: LongOptions) =>
		importHostFile(
			this,
			() => {
				const { command, clock, log, notImported } = this.#options;
				return hostFileApart({ command, clock, log }, path, notImported);
			},
			...([id, path, options] as const),
		);
	imageFromVolume: StorageDriver["imageFromVolume"] = (id, volumeId, { format, ...options }) =>
		this.#long<void>("imageFromVolume", [id, volumeId, { format }], options);
	getImage = (id: string) => this.#look<ImageInfo | null>("getImage", [id]);
	imageSource = (id: string) => this.#look<DiskSource>("imageSource", [id]);
	listImages = () => this.#list<string[]>("listImages", []);
	deleteImage = (id: string) => this.#long<void>("deleteImage", [id], {});
	openImage = (id: string) =>
		this.#stream<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }>("openImage", [id], {});

	#look = <T>(method: string, args: unknown[]): Promise<T> =>
		this.ask<T>(method, args, this.worker.limits.lookMs, { look: true });
	#list = <T>(method: string, args: unknown[]): Promise<T> =>
		this.ask<T>(method, args, this.worker.limits.listMs, { look: true });
	#change = <T>(method: string, args: unknown[]): Promise<T> => this.ask<T>(method, args, this.worker.limits.changeMs);
	#long = <T>(method: string, args: unknown[], options: LongOptions): Promise<T> =>
		this.ask<T>(method, args, null, options);

	protected async ask<T>(
		method: string,
		args: unknown[],
		limitMs: number | null,
		options: Omit<CallOptions, "limitMs"> = {},
	): Promise<T> {
		const worker = await this.worker.get();
		return (await worker.call(method, args, { ...options, limitMs })).value as T;
	}

	/** Read part by part, each when it is wanted. */
	async #stream<T extends { stream: ReadableStream<Uint8Array> }>(
		method: string,
		args: unknown[],
		options: LongOptions,
	): Promise<T> {
		const worker = await this.worker.get();
		const { value } = await worker.call(method, args, { ...options, limitMs: null });
		const { stream: from, ...rest } = value as { stream: number };
		const { signal } = options;
		const ended = this.#opened(worker);
		const cancel = async () => {
			ended();
			await worker.call("cancelStream", [from], { limitMs: this.worker.limits.lookMs }).catch(nothing);
		};
		const stream = new ReadableStream<Uint8Array>(
			{
				async pull(controller) {
					try {
						if (signal?.aborted) {
							await cancel();
							throw signal.reason;
						}
						const { value: more, part } = await worker.call("readStream", [from], { limitMs: null });
						if (more) return controller.enqueue(part);
						ended();
						controller.close();
					} catch (error) {
						ended();
						controller.error(error);
					}
				},
				cancel,
			},
			{ highWaterMark: 0 },
		);
		return { ...rest, stream } as unknown as T;
	}
}

/** Parts are written in the order of the calls. */
class WorkerUpload implements UploadFile {
	readonly whole?: WholeUpload;
	readonly #worker: WorkerProcess;
	readonly #upload: number;
	readonly #ended: () => void;
	#receivedBytes: number;
	#last: Promise<unknown> = Promise.resolve();
	#closed = false;

	/** `path`: where the whole of it may be written; null when it must come by `write`. */
	constructor(
		worker: WorkerProcess,
		opened: { upload: number; receivedBytes: number; path: string | null },
		ended: () => void,
	) {
		const { upload, receivedBytes, path } = opened;
		this.#ended = ended;
		this.#worker = worker;
		this.#upload = upload;
		this.#receivedBytes = receivedBytes;
		if (path !== null) this.whole = { path, done: (sizeBytes, sha256) => this.#takeWhole(sizeBytes, sha256) };
	}

	#takeWhole(sizeBytes: number, sha256: string): Promise<void> {
		return this.#inTurn(async () => {
			const args = [this.#upload, sizeBytes, sha256];
			const { value } = await this.#worker.call("filledUpload", args, { limitMs: null });
			this.#receivedBytes = Number(value);
		});
	}

	get receivedBytes(): number {
		return this.#receivedBytes;
	}

	write(chunk: Uint8Array): Promise<void> {
		return this.#inTurn(async () => {
			if (this.#closed) throw new AppError("wrong-state", "The upload is closed.");
			for (let at = 0; at < chunk.length; at += maxPartBytes) {
				const part = chunk.subarray(at, at + maxPartBytes);
				const { value } = await this.#worker.call("writeUpload", [this.#upload], { part, limitMs: null });
				this.#receivedBytes = Number(value);
			}
		});
	}

	close(): Promise<void> {
		return this.#inTurn(async () => {
			if (this.#closed) return;
			this.#closed = true;
			try {
				await this.#worker.call("closeUpload", [this.#upload], { limitMs: null });
			} catch (error) {
				// What was not flushed is not counted when it is opened again.
				if (!isAppError(error, "wrong-state")) throw error;
			} finally {
				this.#ended();
			}
		});
	}

	#inTurn(work: () => Promise<void>): Promise<void> {
		const result = this.#last.then(work);
		this.#last = result.catch(nothing);
		return result;
	}
}
