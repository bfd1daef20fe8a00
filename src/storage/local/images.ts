/** Images of a local pool: received, checked, then read-only for ever. */
import { chmod, link, lstat, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { ImageInfo, LongOptions } from "../driver.ts";
import { commitFolder, syncFile } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { streamFile } from "../file-stream.ts";
import type { ImageFileFormat } from "../inspect/image-rules.ts";
import { inspectImage } from "../inspect/inspect-image.ts";
import { requireId } from "../names.ts";
import { chainOf, requireHeadersMatch } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { copyWhole, wholeSource } from "./copy-whole.ts";
import type { ImageRecord } from "./records.ts";
import type { LocalUploads } from "./uploads.ts";
import type { LocalVolumes } from "./volumes.ts";

/** Nobody changes an image, and QEMU's user may read it: many VMs share one. */
const imageMode = 0o444;
const readBytes = 1024 * 1024;

type FinishOptions = { format: ImageFileFormat; sha256: string | null } & LongOptions;

export class LocalImages {
	readonly #context: LocalContext;
	readonly #uploads: LocalUploads;
	readonly #volumes: LocalVolumes;

	constructor(context: LocalContext, uploads: LocalUploads, volumes: LocalVolumes) {
		this.#context = context;
		this.#uploads = uploads;
		this.#volumes = volumes;
	}

	async finish(id: string, options: FinishOptions): Promise<ImageInfo & { sha256: string }> {
		requireId(id, "image");
		using _image = await this.#lock(id);
		const { folder, inspectLimits } = this.#context;
		const done = await folder.readImage(id);
		if (done !== null) {
			if (done.format !== options.format)
				throw new AppError("already-exists", `Image ${id} is complete already, as ${done.format}.`);
			requireHash(done.sha256, options.sha256);
			return { ...infoOf(done), sha256: done.sha256 };
		}
		const record = await this.#uploads.withComplete(id, async (received, fileSizeBytes, known) => {
			options.progress?.(0, "Computing the checksum");
			const sha256 = known ?? (await hashFile(received, fileSizeBytes, options));
			requireHash(sha256, options.sha256);
			options.progress?.(null, "Inspecting the image");
			const { virtualSizeBytes } = await inspectImage(received, options.format, options, inspectLimits);
			requireNotCanceled(options.signal);
			const image: ImageRecord = { version: 1, id, format: options.format, fileSizeBytes, virtualSizeBytes, sha256 };
			await this.#commit(received, image);
			await this.#uploads.discard(id);
			return image;
		});
		return { ...infoOf(record), sha256: record.sha256 };
	}

	/** The received file keeps its place until the image's folder is there: both names are one file meanwhile. */
	async #commit(received: string, image: ImageRecord): Promise<void> {
		const { folder } = this.#context;
		await withFileErrors("storing the image", () =>
			folder.withTemporary("images", async (path) => {
				await folder.step("make the folder of the image");
				await mkdir(path, { mode: 0o700 });
				await folder.step("link the received file");
				const file = join(path, `image.${image.format}`);
				await link(received, file);
				await folder.step("make the image read-only");
				await chmod(file, imageMode);
				await folder.step("sync the image");
				await syncFile(file);
				await folder.writeRecord(join(path, "record.json"), image);
				await commitFolder(path, folder.image(image.id), folder.step);
			}),
		);
	}

	async fromVolume(id: string, volumeId: string, options: LongOptions & { format?: VolumeFormat }): Promise<void> {
		requireId(id, "image");
		requireId(volumeId, "volume");
		const { folder, locks } = this.#context;
		const busyMessage = `Volume ${volumeId} is busy with another operation.`;
		using _volume = await locks.all([{ key: `volume:${volumeId}`, how: "shared", busyMessage }], options);
		const record = await folder.readVolume(volumeId);
		if (record === null) throw new AppError("not-found", `Volume ${volumeId} is not in this pool.`);
		const chain = await chainOf(folder, record);
		await requireHeadersMatch(folder, chain);
		await withFileErrors("copying the volume", () =>
			folder.withTemporary("uploads", async (path) => {
				await folder.step("copy the volume");
				const copy = { path, format: options.format ?? "qcow2" };
				await copyWhole(this.#context, wholeSource(record, chain), copy, options);
				await folder.step("sync the copy");
				await chmod(path, 0o600);
				await syncFile(path);
				await this.#uploads.place(id, path, (await lstat(path)).size);
			}),
		);
	}

	async get(id: string): Promise<ImageInfo | null> {
		const record = await this.#context.folder.readImage(id);
		return record === null ? null : infoOf(record);
	}

	async path(id: string): Promise<string> {
		const record = await this.#present(id);
		return this.#context.folder.imageFile(id, record.format);
	}

	async delete(id: string): Promise<void> {
		requireId(id, "image");
		await this.#uploads.remove(id);
		using _image = await this.#lock(id);
		const { folder } = this.#context;
		if ((await folder.readImage(id)) === null) return;
		const dependants = await this.#volumes.dependants("image", id);
		if (dependants.length > 0)
			throw new AppError("in-use", `Volumes are copy-on-write copies of image ${id}: ${dependants.join(", ")}.`);
		await withFileErrors("removing the image", () => folder.discard("images", folder.image(id)));
	}

	async open(id: string): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
		const record = await this.#present(id);
		const file = await withFileErrors("opening the image", () =>
			open(this.#context.folder.imageFile(id, record.format), "r"),
		);
		return { sizeBytes: record.fileSizeBytes, stream: streamFile(file, record.fileSizeBytes) };
	}

	async #present(id: string): Promise<ImageRecord> {
		const record = await this.#context.folder.readImage(id);
		if (record === null) throw new AppError("not-found", `Image ${id} is not in this pool.`);
		return record;
	}

	#lock(id: string): Promise<Disposable> {
		return this.#context.locks.exclusive(`image:${id}`, `Image ${id} is busy with another operation.`);
	}
}

const infoOf = ({ id, format, fileSizeBytes, virtualSizeBytes }: ImageRecord): ImageInfo => ({
	...{ id, format, fileSizeBytes, virtualSizeBytes },
});

function requireHash(found: string, expected: string | null): void {
	if (expected !== null && found !== expected)
		throw new AppError(
			"invalid",
			`The checksum does not match: the file has sha256 ${found}, expected was ${expected}.`,
		);
}

function requireNotCanceled(signal: AbortSignal | undefined): void {
	if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
}

async function hashFile(path: string, sizeBytes: number, options: LongOptions): Promise<string> {
	const hasher = new Bun.CryptoHasher("sha256");
	await withFileErrors("reading the received file", async () => {
		const file = await open(path, "r");
		try {
			const buffer = new Uint8Array(readBytes);
			for (let done = 0; done < sizeBytes; ) {
				requireNotCanceled(options.signal);
				const { bytesRead } = await file.read(buffer, 0, buffer.length, done);
				if (bytesRead === 0) throw new AppError("storage", "The received file became shorter while it was read.");
				hasher.update(buffer.subarray(0, bytesRead));
				done += bytesRead;
				options.progress?.(done / sizeBytes, "Computing the checksum");
			}
		} finally {
			await file.close();
		}
	});
	return hasher.digest("hex");
}
