/** Volumes of a local pool: made aside and committed by one rename, found by their records. */
import { chmod, lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import { fileSource } from "../../model/disk-source.ts";
import { isInside } from "../../model/host-paths.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { CreateSource, LongOptions, MakingOptions, StorageDriver, VolumeInfo } from "../driver.ts";
import { commitFolder, syncFile } from "../durable.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { makingLocks } from "../making-locks.ts";
import { diskSize, requireId } from "../names.ts";
import { createDisk, createOverlay, growDisk, requireNotOpen } from "../qemu-img.ts";
import { allocateFile, fillThick, requireProvisioning, requireRoom, reserveGrowth, thickBytes } from "./allocation.ts";
import {
	backingName,
	chainOf,
	layerChain,
	maxChainFiles,
	requireHeadersMatch,
	restsOn,
	statFile,
	volumeFile,
	volumeInfo,
} from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { copyWhole, wholeSource } from "./copy-whole.ts";
import { diskMode, freezeVolume } from "./freeze.ts";
import { changing } from "./half-done.ts";
import { requireAnswering } from "./held-files.ts";
import { writeVolume } from "./merge-layers.ts";
import type { PoolFolder } from "./pool-folder.ts";
import { realPlace } from "./pool-place.ts";
import type { BackingRecord, VolumeRecord } from "./records.ts";

type CreateOptions = { format: VolumeFormat; sizeBytes: number; source: CreateSource } & MakingOptions;
type Made = { backing: BackingRecord | null };

export class LocalVolumes {
	readonly #context: LocalContext;

	constructor(context: LocalContext) {
		this.#context = context;
	}

	async create(id: string, options: CreateOptions): Promise<VolumeInfo> {
		requireId(id, "volume");
		const sizeBytes = diskSize(options.sizeBytes);
		const isThick = options.provisioning === "thick";
		requireProvisioning(this.#context, options.provisioning);
		if (isThick && options.source.kind !== "empty" && !options.source.fullCopy)
			throw new AppError("invalid", "A copy-on-write copy takes space as it is written to. Ask for a full copy.");
		const locks = makingLocks(id, options.source, { changesSource: true });
		using _held = await this.#context.locks.all(locks, options);
		const existing = await this.get(id);
		if (existing !== null) {
			if (existing.format === options.format && existing.sizeBytes === sizeBytes) return existing;
			throw new AppError("already-exists", `Volume ${id} exists already, with another size or format.`);
		}
		const { folder } = this.#context;
		await withFileErrors("making the volume", () =>
			folder.withTemporary("volumes", async (path) => {
				await folder.step("make the folder");
				await mkdir(path, { mode: 0o700 });
				const file = `disk-1.${options.format}`;
				const disk = join(path, file);
				const { signal } = options;
				signal?.throwIfAborted();
				await folder.step("make the disk");
				const source = await this.#source(id, options.source, sizeBytes);
				const wholeBytes = isThick ? await thickBytes(options.format, sizeBytes) : 0;
				if (isThick) await requireRoom(folder, wholeBytes);
				const made = await source.make(disk, sizeBytes, options);
				// What the copy has been grown by, too.
				if (isThick) await allocateFile(disk, wholeBytes, options);
				signal?.throwIfAborted();
				await folder.step("sync the disk");
				await chmod(disk, diskMode);
				await syncFile(disk);
				const record: VolumeRecord = {
					version: 1,
					id,
					format: options.format,
					file,
					layers: [],
					...(isThick ? { provisioning: "thick" as const } : {}),
					backing: made.backing,
				};
				await folder.writeRecord(join(path, "record.json"), record);
				await commitFolder(path, folder.volume(id), folder.step);
			}),
		).catch((error) => {
			if (options.signal?.aborted) throw new AppError("canceled", "Making the volume was canceled.", { cause: error });
			throw error;
		});
		return this.#present(id);
	}

	/** Checks the source, which the caller holds, and says how a disk is made of it. */
	async #source(id: string, source: CreateSource, sizeBytes: number) {
		const { folder } = this.#context;
		if (source.kind === "empty")
			return {
				make: async (disk: string, size: number, { format, ...options }: CreateOptions): Promise<Made> => {
					await createDisk(disk, format, size, options);
					return { backing: null };
				},
			};
		const from =
			source.kind === "snapshot"
				? await this.#snapshotSource(source.id, source.snapshotId)
				: source.kind === "volume"
					? await this.#volumeSource(source.id)
					: await this.#imageSource(source.id);
		if (sizeBytes < from.sizeBytes)
			throw new AppError(
				"invalid",
				`The volume would be smaller (${formatBytes(sizeBytes)}) than what it is made of (${formatBytes(from.sizeBytes)}).`,
			);
		const make = async (disk: string, size: number, options: CreateOptions): Promise<Made> => {
			if (source.fullCopy) {
				await copyWhole(this.#context, from.whole, { path: disk, format: options.format }, options);
				if (size > from.fileSizeBytes) await growDisk(disk, options.format, size);
				return { backing: null };
			}
			if (options.format === "raw")
				throw new AppError("invalid", "A copy-on-write copy is always qcow2. Ask for qcow2 or for a full copy.");
			const backing = await from.freeze();
			const path = backing.kind === "image" ? from.whole.file.path : volumeFile(folder, backing.id, backing.file);
			const name = backingName(folder, folder.volume(id), path);
			await createOverlay(disk, { name, format: backing.format }, size);
			return { backing };
		};
		return { make };
	}

	async #imageSource(id: string) {
		const { folder } = this.#context;
		const image = await folder.readImage(id);
		if (image === null) throw new AppError("not-found", `Image ${id} is not in this pool.`);
		if (image.format === "iso") throw new AppError("invalid", "An ISO image is for CD-ROM drives, not for volumes.");
		const format = image.format;
		const backing: BackingRecord = { kind: "image", id, format };
		const sizeBytes = diskSize(image.virtualSizeBytes);
		const owner = { kind: "image" as const, id };
		return {
			whole: { file: { owner, path: folder.imageFile(id, format), format }, alone: true, provisioning: undefined },
			...{ sizeBytes, fileSizeBytes: sizeBytes },
			freeze: async () => backing,
		};
	}

	async #volumeSource(id: string) {
		const { folder } = this.#context;
		const record = await folder.readVolume(id);
		if (record === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		const chain = await chainOf(folder, record);
		await requireHeadersMatch(folder, chain);
		const { sizeBytes } = await volumeInfo(folder, record);
		return {
			...{ whole: wholeSource(record, chain), sizeBytes, fileSizeBytes: sizeBytes },
			// Another node may have changed it since: what it left half done is ended by now.
			freeze: () =>
				changing(this.#context, id, async () => freezeVolume(folder, (await folder.readVolume(id)) ?? record)),
		};
	}

	async #snapshotSource(id: string, snapshotId: string) {
		requireId(snapshotId, "snapshot");
		const { folder } = this.#context;
		const record = await folder.readVolume(id);
		const snapshot = record?.snapshots?.find((one) => one.id === snapshotId);
		if (!record || !snapshot)
			throw new AppError("not-found", `Volume ${id} has no snapshot ${snapshotId} in this pool.`);
		const chain = await layerChain(folder, record, snapshot.file);
		await requireHeadersMatch(folder, chain);
		const [layer] = chain;
		const freeze = async (): Promise<BackingRecord> => {
			const { merging } = record;
			if (merging && [merging.layer, merging.child].includes(snapshot.file))
				throw new AppError("in-use", `Layers of volume ${id} are being merged. Try again when that is done.`);
			if (chain.length + 1 > maxChainFiles)
				throw new AppError("invalid", "The chain of this snapshot is too long. Ask for a full copy.");
			return { kind: "volume", id, file: snapshot.file, format: layer.format, snapshotId };
		};
		// A smaller layer is copied as it is, and the copy grown.
		return { whole: wholeSource(record, chain), sizeBytes: snapshot.sizeBytes, fileSizeBytes: 0, freeze };
	}

	async delete(id: string): Promise<void> {
		requireId(id, "volume");
		using _own = await this.#lock(id);
		const { folder, log } = this.#context;
		const record = await folder.readVolume(id);
		if (record === null) return withFileErrors("removing the volume", () => folder.removeTrash("volumes"));
		const dependants = await this.dependants("volume", id);
		if (dependants.length > 0)
			throw new AppError("in-use", `Other volumes are copy-on-write copies of volume ${id}: ${dependants.join(", ")}.`);
		// Whose the file is that was taken over, nobody knows while one of the pools does not answer.
		if (record.adopted) requireAnswering(this.#context.otherPools());
		const path = volumeFile(folder, id, record.file);
		await withFileErrors("removing the volume", async () => {
			if (await isThere(path)) await requireNotOpen(path, record.format);
			if (record.adopted && (await this.#isOfAnotherPool(record.adopted.path))) {
				// Recorded before pools knew of each other: it is not ours to delete.
				log.warn("The file of a deleted volume stays: it is in another pool", { volumeId: id, path });
				return folder.forgetVolume(id);
			}
			await folder.discard("volumes", folder.volume(id));
		});
	}

	async #isOfAnotherPool(path: string): Promise<boolean> {
		for (const place of this.#context.otherPools()) if (isInside(path, await realPlace(place))) return true;
		return false;
	}

	async resize(id: string, wantedBytes: number, options: LongOptions = {}): Promise<VolumeInfo> {
		requireId(id, "volume");
		const sizeBytes = diskSize(wantedBytes);
		using _own = await this.#lock(id);
		const { folder } = this.#context;
		const info = await this.#present(id);
		if (sizeBytes < info.sizeBytes)
			throw new AppError("invalid", `A volume cannot shrink: it has ${formatBytes(info.sizeBytes)}.`);
		const record = await folder.readVolume(id);
		if (record === null) throw notFound(id);
		// One that was cut short may lack space.
		if (sizeBytes === info.sizeBytes && record.provisioning === undefined) return info;
		const chain = await chainOf(folder, record);
		await requireHeadersMatch(folder, chain);
		const isThick = record.provisioning === "thick" && chain.length === 1;
		const wholeBytes = isThick ? await thickBytes(record.format, sizeBytes) : 0;
		if (isThick) await requireRoom(folder, wholeBytes - info.allocatedBytes);
		await withFileErrors("growing the volume", async () => {
			if (isThick) {
				await requireNotOpen(chain[0].path, record.format);
				await folder.step("set the space of the growth aside");
				await reserveGrowth(chain[0].path, wholeBytes, options);
			}
			options.signal?.throwIfAborted();
			// From here on it is gone through with.
			await folder.step("grow the disk");
			if (sizeBytes > info.sizeBytes) await growDisk(chain[0].path, record.format, sizeBytes);
			await fillThick(this.#context, record, options.progress ? { progress: options.progress } : {});
			await folder.step("sync the disk");
			await syncFile(chain[0].path);
			await requireWritable(folder, id);
		}).catch((error) => {
			if (options.signal?.aborted) throw new AppError("canceled", "Growing the volume was canceled.", { cause: error });
			throw error;
		});
		return this.#present(id);
	}

	/** See StorageDriver.fillVolume. */
	async fill(id: string, options: LongOptions): Promise<void> {
		requireId(id, "volume");
		using _own = await this.#lock(id);
		const record = await this.#context.folder.readVolume(id);
		if (record === null) throw notFound(id);
		await withFileErrors("setting space aside for the volume", () => fillThick(this.#context, record, options));
	}

	async get(id: string): Promise<VolumeInfo | null> {
		const { folder } = this.#context;
		const record = await folder.readVolume(id);
		return record === null ? null : volumeInfo(folder, record);
	}

	async list(): Promise<VolumeInfo[]> {
		const volumes: VolumeInfo[] = [];
		for (const id of await this.#context.folder.ids("volumes")) {
			try {
				const volume = await this.get(id);
				if (volume) volumes.push(volume);
			} catch (error) {
				this.#context.log.warn("A volume cannot be read and is left out of the list", { volumeId: id, error });
			}
		}
		return volumes;
	}

	async attachInfo(id: string): ReturnType<StorageDriver["attachInfo"]> {
		const { folder } = this.#context;
		const record = await folder.readVolume(id);
		if (record === null) throw notFound(id);
		const [active, ...backing] = await chainOf(folder, record);
		for (const file of [active, ...backing]) await statFile(file.path, id);
		return {
			source: fileSource(active.path),
			format: active.format,
			backing: backing.map(({ path, format }) => ({ source: fileSource(path), format })),
		};
	}

	async damaged(ids: readonly string[]): Promise<{ id: string; error: AppError }[]> {
		const found: { id: string; error: AppError }[] = [];
		for (const id of ids) {
			try {
				await this.attachInfo(id);
			} catch (error) {
				if (!(error instanceof AppError)) throw error;
				found.push({ id, error });
			}
		}
		return found;
	}

	/** Ids of the volumes that rest directly on it. A record that cannot be read is an error: it might be one of them. */
	async dependants(kind: BackingRecord["kind"], id: string): Promise<string[]> {
		const found: string[] = [];
		for (const other of await this.#context.folder.ids("volumes")) {
			const record = await this.#context.folder.volumeRecord(other);
			if (record !== null && restsOn(record, kind, id)) found.push(other);
		}
		return found;
	}

	async #present(id: string): Promise<VolumeInfo> {
		const info = await this.get(id);
		if (info === null) throw notFound(id);
		return info;
	}

	#lock(id: string): Promise<Disposable> {
		return this.#context.locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	}
}

const notFound = (id: string) => new AppError("not-found", `Volume ${id} is not in this pool.`);

async function isThere(path: string): Promise<boolean> {
	try {
		await lstat(path);
		return true;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return false;
		throw error;
	}
}

/**
 * An ext4 that has given up its journal meanwhile says nothing when a file is flushed; a record that is written anew it refuses. One for which
 * there is no room does no harm: it is the same.
 */
async function requireWritable(folder: PoolFolder, id: string): Promise<void> {
	const record = await folder.readVolumeRecord(id);
	if (record === null) return;
	await writeVolume(folder, record).catch((error: unknown) => {
		if (!isAppError(error, "no-space")) throw error;
	});
}
