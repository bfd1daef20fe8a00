/**
 * Images: checked as a file (staging.ts), then written into RBD as a raw disk, with a record beside it and a snapshot that keeps
 * its content and that copies rest on. The record's sha256 is that of the file as it came.
 */
import { open } from "node:fs/promises";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";
import { uuidPattern } from "../../lib/ids.ts";
import type { DiskSource } from "../../model/disk-source.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { ImageInfo, LongOptions, UploadFile, UploadOptions, UploadStatus } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import type { ImageFileFormat } from "../inspect/image-rules.ts";
import { inspectImage } from "../inspect/inspect-image.ts";
import { diskSize, requireId } from "../names.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import type { RbdContext } from "./context.ts";
import { copyIn, copyOut } from "./disk-copies.ts";
import { baseSnapshot, imageIdOf, imageName, volumeName } from "./names.ts";
import { requireNotCanceled } from "./runner.ts";
import type { Received, Staging } from "./staging.ts";
import { limited } from "./streams.ts";

const recordKey = "limiquantix-image";

const DiskImageRecord = Type.Object(
	{
		version: Type.Literal(1),
		id: Type.String({ pattern: uuidPattern }),
		/** Of the file as it came. */
		cameAs: Type.Union([Type.Literal("qcow2"), Type.Literal("raw"), Type.Literal("iso")]),
		/** As it is stored: what openImage gives. */
		fileSizeBytes: Type.Integer({ minimum: 1 }),
		virtualSizeBytes: Type.Integer({ minimum: 1 }),
		sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
	},
	{ additionalProperties: false },
);
type DiskImageRecord = Static<typeof DiskImageRecord>;

type FinishOptions = { format: ImageFileFormat; sha256: string | null } & LongOptions;

export class RbdDiskImages {
	readonly #context: RbdContext;
	readonly #staging: Staging;

	constructor(context: RbdContext, staging: Staging) {
		this.#context = context;
		this.#staging = staging;
	}

	async openUpload(id: string, totalBytes: number | null, options?: UploadOptions): Promise<UploadFile> {
		await this.#requireNone(id);
		return this.#staging.open(id, totalBytes, options);
	}

	async upload(id: string): Promise<UploadStatus | null> {
		const status = await this.#staging.status(id);
		return status !== null && (await this.#record(id)) !== null ? null : status;
	}

	async finish(id: string, options: FinishOptions): Promise<ImageInfo & { sha256: string }> {
		requireId(id, "image");
		using _image = await this.#lock(id);
		const done = await this.#record(id);
		if (done !== null) {
			if (done.cameAs !== options.format)
				throw new AppError("already-exists", `Image ${id} is complete already, made of ${done.cameAs}.`);
			requireHash(done.sha256, options.sha256);
			await this.#staging.remove(id);
			return { ...infoOf(done), sha256: done.sha256 };
		}
		// Of the formats that we take, the one that can name other files.
		const mayRefer = options.format === "qcow2";
		const record = await this.#staging.withComplete(id, { ...options, mayRefer }, async (received) => {
			const { sizeBytes: fileSizeBytes } = received;
			options.progress?.(0, "Computing the checksum");
			const sha256 = await received.sha256(options);
			requireHash(sha256, options.sha256);
			options.progress?.(null, "Inspecting the image");
			const bytes = await received.imageBytes();
			return received.whileAnswering(async (left) => {
				const signals = [options.signal, left].filter((signal) => signal !== undefined);
				const how = { ...options, signal: AbortSignal.any(signals) };
				const { inspectLimits } = this.#context;
				const { virtualSizeBytes } = await inspectImage(received.path, options.format, how, inspectLimits, bytes);
				requireNotCanceled(how);
				const storedBytes = options.format === "iso" ? fileSizeBytes : virtualSizeBytes;
				const cameAs = options.format;
				const made: DiskImageRecord = { version: 1, id, cameAs, fileSizeBytes: storedBytes, virtualSizeBytes, sha256 };
				await this.#store(received, made, how);
				return made;
			});
		});
		return { ...infoOf(record), sha256: record.sha256 };
	}

	async #store(
		{ path, requireUnchanged }: Pick<Received, "path" | "requireUnchanged">,
		record: DiskImageRecord,
		options: LongOptions,
	): Promise<void> {
		const { images, work } = this.#context;
		await work.withTemporary(async (name) => {
			await images.create(name, diskSize(record.virtualSizeBytes));
			const format = record.cameAs === "qcow2" ? "qcow2" : "raw";
			const progress = (ratio: number | null) => options.progress?.(ratio, "Writing the image");
			await copyIn(this.#context.runner, { path, format }, name, { ...options, progress });
			await requireUnchanged();
			await images.makeSnapshot(name, baseSnapshot);
			await images.writeMeta(name, recordKey, JSON.stringify(record));
			requireNotCanceled(options);
			await images.rename(name, imageName(record.id));
		});
	}

	async importFile(id: string, path: string, options: LongOptions): Promise<void> {
		await this.#requireNone(id);
		requireNotCanceled(options);
		await this.#staging.refer(id, path);
		options.progress?.(1);
	}

	/** By way of a file, which is inspected like any other: a guest may have written a header into its disk. */
	async fromVolume(id: string, volumeId: string, options: LongOptions & { format?: VolumeFormat }): Promise<void> {
		requireId(volumeId, "volume");
		await this.#requireNone(id);
		const { images, locks, runner } = this.#context;
		const busyMessage = `Volume ${volumeId} is busy with another operation.`;
		using _volume = await locks.all([{ key: `volume:${volumeId}`, how: "shared", busyMessage }], options);
		const name = volumeName(volumeId);
		if ((await images.info(name)) === null) throw new AppError("not-found", `Volume ${volumeId} is not in this pool.`);
		await images.requireNotOpen(name);
		await this.#staging.withTemporary(async (path) => {
			await copyOut(runner, name, { path, format: options.format ?? "qcow2" }, options);
			const size = await withFileErrors("measuring the copy", async () => {
				const file = await open(path, "r");
				try {
					await file.sync();
					return (await file.stat()).size;
				} finally {
					await file.close();
				}
			});
			await this.#staging.place(id, path, size);
		});
	}

	async get(id: string): Promise<ImageInfo | null> {
		const record = await this.#record(id);
		return record === null ? null : infoOf(record);
	}

	/** Fails with `not-found`. */
	async present(id: string): Promise<ImageInfo> {
		const info = await this.get(id);
		if (info === null) throw new AppError("not-found", `Image ${id} is not in this pool.`);
		return info;
	}

	async source(id: string): Promise<DiskSource> {
		await this.present(id);
		return this.#context.source(imageName(id));
	}

	async list(): Promise<string[]> {
		const ids = (await this.#context.images.names()).map(imageIdOf);
		return ids.filter((id) => id !== null).sort();
	}

	async delete(id: string, options: LongOptions): Promise<void> {
		requireId(id, "image");
		await this.#staging.remove(id);
		using _image = await this.#lock(id);
		const { images, work } = this.#context;
		const name = imageName(id);
		if ((await images.info(name)) === null) return work.tidy();
		const mayGo = async (now: string) => {
			const children = await images.children(now);
			if (children.length > 0)
				throw new AppError("in-use", `Volumes are copy-on-write copies of image ${id}: ${children.join(", ")}.`);
			return { snapshots: true };
		};
		await mayGo(name);
		await work.discard(name, mayGo, options);
	}

	/** `release`: called when the stream has ended. */
	async open(
		id: string,
		release: () => Promise<void>,
	): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
		const { fileSizeBytes } = await this.present(id);
		const from = { name: imageName(id), snapshot: baseSnapshot };
		const stream = limited(this.#context.images.exportStream(from, {}), {
			sizeBytes: fileSizeBytes,
			cut: true,
			release,
		});
		return { sizeBytes: fileSizeBytes, stream };
	}

	async #requireNone(id: string): Promise<void> {
		requireId(id, "image");
		if ((await this.#record(id)) !== null) throw new AppError("already-exists", `Image ${id} is complete already.`);
	}

	async #record(id: string): Promise<DiskImageRecord | null> {
		requireId(id, "image");
		const { images } = this.#context;
		const text = await images.readMeta(imageName(id), recordKey).catch((error) => {
			if (errnoOfCeph(error) === errno.noEntry) return null;
			throw error;
		});
		if (text === null) return null;
		try {
			const value: unknown = JSON.parse(text);
			if (Value.Check(DiskImageRecord, value) && value.id === id) return value;
		} catch {
			// told below
		}
		throw new AppError("corrupt", `What is kept in the Ceph pool about image ${id} is damaged.`);
	}

	#lock(id: string): Promise<Disposable> {
		return this.#context.locks.exclusive(`image:${id}`, `Image ${id} is busy with another operation.`);
	}
}

const infoOf = ({ id, cameAs, fileSizeBytes, virtualSizeBytes }: DiskImageRecord): ImageInfo => ({
	...{ id, format: cameAs === "iso" ? "iso" : "raw", fileSizeBytes, virtualSizeBytes },
});

function requireHash(found: string, expected: string | null): void {
	if (expected !== null && found !== expected)
		throw new AppError(
			"invalid",
			`The checksum does not match: the file has sha256 ${found}, expected was ${expected}.`,
		);
}
