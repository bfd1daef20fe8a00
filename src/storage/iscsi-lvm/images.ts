/**
 * Images of an iSCSI pool: received and checked as files of this node (staging.ts), then a logical volume each, read-only. A qcow2
 * image stays qcow2 in a thick pool and becomes raw in a thin one, whose copies are LVM's.
 */
import { chmod, link } from "node:fs/promises";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { DiskSource } from "../../model/disk-source.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { ImageInfo, LongOptions, UploadFile, UploadOptions, UploadStatus } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import { requireId } from "../names.ts";
import { copyDisk } from "../qemu-img.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { canceledOr, zeroDevice } from "./device-io.ts";
import { copyInto } from "./disk-copy.ts";
import { finish } from "./freeze.ts";
import { roundUp } from "./group.ts";
import { imageLv } from "./names.ts";
import type { Image } from "./pool-index.ts";
import { leftUnfinished, removeDisk } from "./remove-disk.ts";

type FinishOptions = { format: ImageInfo["format"]; sha256: string | null } & LongOptions;

/** A CD that was in a drive lately is not taken from this node: a VM may be about to start with it. */
const idleMs = 10 * 60_000;

export class IscsiImages {
	readonly #context: IscsiContext;
	/** When images were last asked for as a CD-ROM. */
	readonly #asked = new Map<string, number>();

	constructor(context: IscsiContext) {
		this.#context = context;
	}

	async openUpload(id: string, totalBytes: number | null, options?: UploadOptions): Promise<UploadFile> {
		requireId(id, "image");
		if ((await this.#find(id)) !== null) throw new AppError("already-exists", `Image ${id} is complete already.`);
		return this.#context.staging.uploads.open(id, totalBytes, options);
	}

	async getUpload(id: string): Promise<UploadStatus | null> {
		requireId(id, "image");
		return (await this.#find(id)) !== null ? null : this.#context.staging.uploads.status(id);
	}

	async finish(id: string, options: FinishOptions): Promise<ImageInfo & { sha256: string }> {
		requireId(id, "image");
		using _image = await this.#lock(id);
		const done = await this.#find(id);
		if (done !== null) return this.#done(done, options);
		const { staging } = this.#context;
		const { progress } = options;
		// Half for looking at it, half for copying it.
		const first = progress
			? { progress: (ratio: number | null, text?: string) => progress(ratio && ratio / 2, text) }
			: {};
		const checked = await staging.images.finish(id, { ...options, ...first });
		try {
			await this.#store(checked, await staging.images.path(id), options);
		} catch (error) {
			await this.#putBack(checked).catch((failure) =>
				this.#context.log.warn("An image that could not be stored stays aside", { imageId: id, error: failure }),
			);
			throw canceledOr(error, options.signal, "Storing the image");
		}
		await staging.images.delete(id);
		const stored = await this.#present(id);
		return { ...stored.info, sha256: stored.sha256 };
	}

	/** It is an upload again, which can be finished when there is room, or sent anew. */
	async #putBack({ id, fileSizeBytes }: ImageInfo): Promise<void> {
		const { images, uploads, context } = this.#context.staging;
		const path = await images.path(id);
		await withFileErrors("putting the received file back", () =>
			context.folder.withTemporary("uploads", async (file) => {
				await link(path, file);
				await images.delete(id);
				await chmod(file, 0o600);
				await uploads.place(id, file, fileSizeBytes);
			}),
		);
	}

	#done({ info, sha256, id }: Image, wanted: FinishOptions): ImageInfo & { sha256: string } {
		const asItCame = this.#context.layout === "thin" && wanted.format === "qcow2" ? "raw" : wanted.format;
		if (info.format !== asItCame)
			throw new AppError("already-exists", `Image ${id} is complete already, as ${info.format}.`);
		if (wanted.sha256 !== null && wanted.sha256 !== sha256)
			throw new AppError(
				"invalid",
				`The checksum does not match: the image has sha256 ${sha256}, expected was ${wanted.sha256}.`,
			);
		return { ...info, sha256 };
	}

	async #store(
		checked: ImageInfo & { sha256: string },
		file: string,
		{ progress, signal }: LongOptions,
	): Promise<void> {
		const { group, nodeId, layout, activation, step } = this.#context;
		const lv = imageLv(checked.id);
		const path = pathOf(this.#context, lv);
		const decoded = layout === "thin" && checked.format === "qcow2";
		const format = decoded ? "raw" : checked.format;
		const length = decoded ? checked.virtualSizeBytes : checked.fileSizeBytes;
		await this.#removeRest(checked.id, { ...(signal ? { signal } : {}), progress: () => progress?.(0.5) });
		try {
			await step("make a logical volume");
			const sizes = { fileSizeBytes: length, sizeBytes: checked.virtualSizeBytes };
			await group.create(lv, length, { half: nodeId, format, sha256: checked.sha256, ...sizes });
			await activation.use([{ lv, mode: "exclusive" }], async () => {
				await step("fill an image");
				// As it came, byte by byte: what is inside of a qcow2 image is not looked at again.
				const from = { path: file, format: decoded ? ("qcow2" as const) : ("raw" as const), device: false };
				const half = progress
					? { progress: (ratio: number | null) => progress(0.5 + (ratio ?? 0) / 2, "Storing the image") }
					: {};
				await copyInto(
					from,
					{ path, format: "raw", device: true, isZero: layout === "thin" },
					{ ...half, ...(signal ? { signal } : {}) },
				);
				// What others left behind the image must not become a part of a disk that rests on it.
				if (layout === "thick") await zeroDevice(path, Math.ceil(length / 512) * 512, roundUp(length));
			});
			await step("finish an image");
			await finish(this.#context, lv, ["--permission", "r"]);
		} catch (error) {
			if ((await readIndex(this.#context)).get(lv)?.record.half === nodeId) await group.removeLv(lv);
			throw error;
		}
	}

	async fromVolume(id: string, volumeId: string, options: LongOptions & { format?: VolumeFormat }): Promise<void> {
		requireId(id, "image");
		if ((await this.#find(id)) !== null) throw new AppError("already-exists", `Image ${id} is complete already.`);
		const { folder } = this.#context.staging.context;
		await folder.withTemporary("uploads", async (path) => {
			await copyVolume(this.#context, volumeId, { path, format: options.format ?? "qcow2" }, options);
			await this.#context.staging.uploads.place(id, path, Bun.file(path).size);
		});
	}

	async get(id: string): Promise<ImageInfo | null> {
		requireId(id, "image");
		return (await this.#find(id))?.info ?? null;
	}

	/** Active on this node from here on, for reading, beside other nodes. */
	async source(id: string): Promise<DiskSource> {
		requireId(id, "image");
		using _image = await this.#lock(id, "shared");
		const { lv } = (await this.#present(id)).lv;
		const { activation, clock } = this.#context;
		this.#asked.set(id, clock.monotonicMs());
		await activation.pin(id, [{ lv, mode: "shared" }]);
		return { kind: "block", path: pathOf(this.#context, lv) };
	}

	/** Images that no process of this node has open and that nobody asked for lately: another node may want to delete them. */
	async releaseIdle(): Promise<void> {
		const { activation, clock, log } = this.#context;
		const index = await readIndex(this.#context);
		for (const id of index.imageIds()) {
			const asked = this.#asked.get(id);
			if (!activation.isPinned(id) || index.get(imageLv(id))?.open !== false) continue;
			if (asked !== undefined && clock.monotonicMs() - asked < idleMs) continue;
			this.#asked.delete(id);
			await activation.unpin(id).catch((error) => log.warn("An image stays active", { imageId: id, error }));
		}
	}

	async list(): Promise<string[]> {
		return (await readIndex(this.#context)).imageIds();
	}

	async delete(id: string, options: LongOptions): Promise<void> {
		requireId(id, "image");
		await this.#context.staging.uploads.remove(id);
		using _image = await this.#lock(id);
		const { staging, group, activation, nodeId, step } = this.#context;
		await staging.images.delete(id);
		const index = await readIndex(this.#context);
		const image = index.image(id);
		if (image === null) return this.#removeRest(id, options);
		const dependants = index.dependants("image", id);
		if (dependants.length > 0)
			throw new AppError("in-use", `Volumes are copy-on-write copies of image ${id}: ${dependants.join(", ")}.`);
		await activation.unpin(id);
		await activation.use([{ lv: image.lv.lv, mode: "exclusive" }], async () => {
			await step("mark an image as deleted");
			await group.record(image.lv, { gone: nodeId }, ["--permission", "rw"]);
		});
		await this.#removeRest(id, options);
	}

	async #removeRest(id: string, options: LongOptions): Promise<void> {
		const lv = (await readIndex(this.#context)).get(imageLv(id));
		const half = lv?.record.half ?? null;
		if (lv !== null && half !== null && half !== this.#context.nodeId) throw leftUnfinished(this.#context, half, lv.lv);
		if (lv === null) return;
		await removeDisk(this.#context, lv, options).catch((error) => {
			throw canceledOr(error, options.signal, "Removing the image");
		});
	}

	async open(id: string): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
		requireId(id, "image");
		using _image = await this.#lock(id, "shared");
		const { lv, info } = await this.#present(id);
		const { activation, staging } = this.#context;
		return await activation.use([{ lv: lv.lv, mode: "shared" }], () =>
			staging.stream(
				(path) => copyDisk({ path: pathOf(this.#context, lv.lv), format: "raw" }, { path, format: "raw" }, {}),
				info.fileSizeBytes,
				undefined,
			),
		);
	}

	async #find(id: string): Promise<Image | null> {
		return (await readIndex(this.#context)).image(id);
	}

	async #present(id: string): Promise<Image> {
		const image = await this.#find(id);
		if (image === null) throw new AppError("not-found", `Image ${id} is not in this pool.`);
		return image;
	}

	#lock(id: string, how: "exclusive" | "shared" = "exclusive"): Promise<Disposable> {
		return this.#context.locks[how](`image:${id}`, `Image ${id} is busy with another operation.`);
	}
}

/** The volume's content as a file of this node that stands alone. `in-use` while a running VM has it open, on any node. */
export async function copyVolume(
	context: IscsiContext,
	volumeId: string,
	to: { path: string; format: VolumeFormat },
	options: LongOptions,
): Promise<void> {
	requireId(volumeId, "volume");
	const busyMessage = `Volume ${volumeId} is busy with another operation.`;
	using _volume = await context.locks.all([{ key: `volume:${volumeId}`, how: "shared", busyMessage }], options);
	const index = await readIndex(context);
	const volume = index.volume(volumeId);
	if (volume === null) throw new AppError("not-found", `Volume ${volumeId} is not in this pool.`);
	const chain = index.chain(volume.active);
	try {
		await context.activation.use(wantedFor(chain, "shared"), async () => {
			await requireHeadersMatch(context, chain);
			const format = volume.active.record.format === "qcow2" ? "qcow2" : "raw";
			await copyDisk({ path: pathOf(context, volume.active.lv), format }, to, options);
		});
	} catch (error) {
		if (isAppError(error, "canceled")) throw error;
		throw canceledOr(error, options.signal, "Copying the volume");
	}
}
