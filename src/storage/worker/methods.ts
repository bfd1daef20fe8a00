/** What a storage worker does for each call: the methods of StorageDriver, streams and uploads by number. */
import { AppError } from "../../lib/errors.ts";
import type { Provisioning } from "../../model/storage.ts";
import type { LongOptions, StorageDriver, UploadFile, VolumeSnapshots } from "../driver.ts";
import { fromWire, maxPartBytes, toWire, type WireError } from "./frames.ts";

export type Call = { args: unknown[]; part: Uint8Array; options: LongOptions };
export type Answer = { value: unknown; part?: Uint8Array };
type Handler = (call: Call) => Promise<Answer>;
type Args<K extends keyof StorageDriver> = StorageDriver[K] extends (...args: infer A) => unknown ? A : never;
type SnapshotArgs<K extends keyof VolumeSnapshots> =
	NonNullable<VolumeSnapshots[K]> extends (...args: infer A) => unknown ? A : never;

/** What is open at once, for one pool: many more are a fault of ours. */
const maxOpen = 1024;

/** A volume that comes in parts: each is taken when the one before was used. */
type Incoming = { push(part: Uint8Array): Promise<void>; end(): void; fail(error: Error): void };

export function methodsOf(driver: StorageDriver): Record<string, Handler> {
	const opened = new Opened();
	const value = async (work: Promise<unknown>): Promise<Answer> => ({ value: (await work) ?? null });
	const streamed = async (
		work: Promise<{ stream: ReadableStream<Uint8Array>; sizeBytes: number; format?: string }>,
	): Promise<Answer> => {
		const { stream, ...rest } = await work;
		return { value: { ...rest, stream: opened.add(new PartReader(stream)) } };
	};
	const snapshots = (): VolumeSnapshots => {
		if (driver.snapshots === null) throw new AppError("unsupported", "This pool has no snapshots.");
		return driver.snapshots;
	};
	return {
		probe: () => value(driver.probe()),
		activate: async () => {
			await driver.activate();
			return { value: driver.capabilities };
		},
		remove: () => value(driver.remove()),
		check: () => value(driver.check()),
		listContent({ args, options: { signal } }) {
			const [folder, given] = args as Args<"listContent">;
			return value(driver.listContent(folder, { ...given, ...(signal ? { signal } : {}) }));
		},
		createVolume({ args, options }) {
			const [id, given] = args as Args<"createVolume">;
			return value(driver.createVolume(id, { ...given, ...options }));
		},
		deleteVolume: ({ args }) => value(driver.deleteVolume(...(args as Args<"deleteVolume">))),
		resizeVolume({ args, options }) {
			const [id, sizeBytes] = args as Args<"resizeVolume">;
			return value(driver.resizeVolume(id, sizeBytes, options));
		},
		fillVolume({ args, options }) {
			const [id] = args as Args<"resizeVolume">;
			return value(driver.fillVolume?.(id, options) ?? Promise.resolve());
		},
		flattenVolume({ args, options }) {
			const [id] = args as Args<"flattenVolume">;
			return value(driver.flattenVolume(id, options));
		},
		getVolume: ({ args }) => value(driver.getVolume(...(args as Args<"getVolume">))),
		listVolumes: () => value(driver.listVolumes()),
		attachInfo: ({ args }) => value(driver.attachInfo(...(args as Args<"attachInfo">))),
		openVolume: ({ args }) => value(driver.openVolume(...(args as Args<"openVolume">))),
		closeVolume: ({ args }) => value(driver.closeVolume(...(args as Args<"closeVolume">))),
		openVolumes: () => value(driver.openVolumes()),
		takeSnapshot: ({ args }) => value(snapshots().take(...(args as SnapshotArgs<"take">))),
		revertToSnapshot: ({ args }) => value(snapshots().revert(...(args as SnapshotArgs<"revert">))),
		deleteSnapshot({ args, options }) {
			const [volumeId, snapshotId] = args as SnapshotArgs<"delete">;
			return value(snapshots().delete(volumeId, snapshotId, options));
		},
		listSnapshots: ({ args }) => value(snapshots().list(...(args as SnapshotArgs<"list">))),
		async undoTakeSnapshot({ args }) {
			await snapshots().undoTake?.(...(args as SnapshotArgs<"undoTake">));
			return { value: null };
		},
		async planLiveDelete({ args, options }) {
			const [volumeId, snapshotId] = args as SnapshotArgs<"planLiveDelete">;
			return { value: (await snapshots().planLiveDelete?.(volumeId, snapshotId, options)) ?? null };
		},
		async finishLiveDelete({ args }) {
			await snapshots().finishLiveDelete?.(...(args as SnapshotArgs<"finishLiveDelete">));
			return { value: null };
		},
		checkVolume({ args, options }) {
			const [id, given] = args as Args<"checkVolume">;
			return value(driver.checkVolume(id, { ...given, ...options }));
		},
		exportVolume({ args, options }) {
			const [id, format] = args as Args<"exportVolume">;
			return streamed(driver.exportVolume(id, format, options));
		},
		readVolume({ args, options }) {
			const [id] = args as Args<"readVolume">;
			return streamed(driver.readVolume(id, options));
		},
		async openIncoming() {
			return { value: opened.add(new IncomingVolume()) };
		},
		receiveVolume({ args, options }) {
			const [id, content, number, provisioning] = args as [
				string,
				Pick<Args<"receiveVolume">[1], "format" | "sizeBytes">,
				number,
				Provisioning | null,
			];
			const { stream } = opened.get(number, IncomingVolume);
			const making = { ...options, ...(provisioning === null ? {} : { provisioning }) };
			return value(driver.receiveVolume(id, { ...content, stream }, making).finally(() => opened.remove(number)));
		},
		pushIncoming: ({ args, part }) => value(opened.get(args[0], IncomingVolume).push(part)),
		async endIncoming({ args }) {
			opened.get(args[0], IncomingVolume).end();
			return { value: null };
		},
		async failIncoming({ args }) {
			opened.get(args[0], IncomingVolume).fail(fromWire(args[1] as WireError));
			return { value: null };
		},
		async damagedVolumes({ args }) {
			const found = await driver.damagedVolumes(...(args as Args<"damagedVolumes">));
			return { value: found.map(({ id, error }) => ({ id, error: toWire(error) })) };
		},
		adoptVolume: ({ args }) => value(driver.adoptVolume(...(args as Args<"adoptVolume">))),
		adoptableFiles: ({ args }) => value(driver.adoptableFiles(...(args as Args<"adoptableFiles">))),
		releaseVolume: ({ args }) => value(driver.releaseVolume(...(args as Args<"releaseVolume">))),
		async openUpload({ args }) {
			const upload = await driver.openUpload(...(args as Args<"openUpload">));
			const { receivedBytes, whole } = upload;
			return { value: { upload: opened.add(new OpenFile(upload)), receivedBytes, path: whole?.path ?? null } };
		},
		async filledUpload({ args }) {
			const [number, sizeBytes, sha256] = args as [number, number, string];
			const { upload } = opened.get(number, OpenFile);
			await upload.whole?.done(sizeBytes, sha256);
			return { value: upload.receivedBytes };
		},
		async writeUpload({ args, part }) {
			const { upload } = opened.get(args[0], OpenFile);
			await upload.write(part);
			return { value: upload.receivedBytes };
		},
		async closeUpload({ args }) {
			const { upload } = opened.get(args[0], OpenFile);
			await upload.close().finally(() => opened.remove(args[0]));
			return { value: null };
		},
		getUpload: ({ args }) => value(driver.getUpload(...(args as Args<"getUpload">))),
		finishImage({ args, options }) {
			const [id, given] = args as Args<"finishImage">;
			return value(driver.finishImage(id, { ...given, ...options }));
		},
		imageFromVolume({ args, options }) {
			const [id, volumeId, given] = args as Args<"imageFromVolume">;
			return value(driver.imageFromVolume(id, volumeId, { ...given, ...options }));
		},
		getImage: ({ args }) => value(driver.getImage(...(args as Args<"getImage">))),
		imageSource: ({ args }) => value(driver.imageSource(...(args as Args<"imageSource">))),
		listImages: () => value(driver.listImages()),
		deleteImage: ({ args }) => value(driver.deleteImage(...(args as Args<"deleteImage">))),
		openImage: ({ args }) => streamed(driver.openImage(...(args as Args<"openImage">))),
		async readStream({ args }) {
			const reader = opened.get(args[0], PartReader);
			const part = await reader.next().catch((error) => {
				opened.remove(args[0]);
				throw error;
			});
			if (part === null) opened.remove(args[0]);
			return { value: part !== null, ...(part === null ? {} : { part }) };
		},
		async cancelStream({ args }) {
			await opened.find(args[0], PartReader)?.cancel();
			opened.remove(args[0]);
			return { value: null };
		},
	};
}

/** Things that stay between calls. */
class Opened {
	readonly #all = new Map<number, object>();
	#last = 0;

	add(thing: object): number {
		if (this.#all.size >= maxOpen) throw new AppError("too-many-requests", "Too many files of this pool are open.");
		this.#all.set(++this.#last, thing);
		return this.#last;
	}

	find<T extends object>(number: unknown, type: new (...args: never[]) => T): T | null {
		const found = this.#all.get(Number(number));
		return found instanceof type ? found : null;
	}

	get<T extends object>(number: unknown, type: new (...args: never[]) => T): T {
		const found = this.find(number, type);
		if (found === null) throw new AppError("wrong-state", "This is not open any more.");
		return found;
	}

	remove(number: unknown): void {
		this.#all.delete(Number(number));
	}
}

class OpenFile {
	readonly upload: UploadFile;
	constructor(upload: UploadFile) {
		this.upload = upload;
	}
}

/** A stream, part by part. */
class PartReader {
	readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
	#rest: Uint8Array | null = null;
	constructor(stream: ReadableStream<Uint8Array>) {
		this.#reader = stream.getReader();
	}

	async next(): Promise<Uint8Array | null> {
		const chunk = this.#rest ?? (await this.#reader.read()).value ?? null;
		if (chunk === null) return null;
		this.#rest = chunk.length > maxPartBytes ? chunk.subarray(maxPartBytes) : null;
		return chunk.subarray(0, maxPartBytes);
	}

	async cancel(): Promise<void> {
		await this.#reader.cancel();
	}
}

class IncomingVolume implements Incoming {
	readonly stream: ReadableStream<Uint8Array>;
	#controller: ReadableStreamDefaultController<Uint8Array> | null = null;
	#wanted = Promise.withResolvers<void>();
	#over: AppError | null = null;

	constructor() {
		this.stream = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					this.#controller = controller;
				},
				pull: () => this.#wanted.resolve(),
				cancel: () => {
					this.#over = new AppError("canceled", "Nobody takes this volume any more.");
					this.#wanted.resolve();
				},
			},
			{ highWaterMark: 0 },
		);
	}

	/** Resolves when the part was taken and the next one may come. */
	async push(part: Uint8Array): Promise<void> {
		await this.#wanted.promise;
		if (this.#over) throw this.#over;
		this.#wanted = Promise.withResolvers();
		this.#controller?.enqueue(part);
	}

	end(): void {
		if (this.#over === null) this.#controller?.close();
	}

	fail(error: Error): void {
		if (this.#over === null) this.#controller?.error(error);
	}
}
