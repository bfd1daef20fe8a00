/** Volumes: images of RBD that are made under a name of the work, and get theirs by one rename. */
import { AppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { AttachInfo, CreateSource, LongOptions, VolumeDamage, VolumeInfo } from "../driver.ts";
import { makingLocks } from "../making-locks.ts";
import { diskSize, requireId } from "../names.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import type { RbdContext } from "./context.ts";
import { describeVolume, notFound } from "./describe.ts";
import type { RbdDiskImages } from "./images.ts";
import { baseSnapshot, imageName, snapshotName, volumeIdOf, volumeName } from "./names.ts";
import { requireNotCanceled } from "./runner.ts";
import { readTree } from "./snapshot-tree.ts";

type CreateOptions = { format: VolumeFormat; sizeBytes: number; source: CreateSource } & LongOptions;
/** Makes the disk under this name; its size. */
type Make = (name: string) => Promise<number>;

export class RbdVolumes {
	readonly #context: RbdContext;
	readonly #diskImages: RbdDiskImages;

	constructor(context: RbdContext, diskImages: RbdDiskImages) {
		this.#context = context;
		this.#diskImages = diskImages;
	}

	async create(id: string, options: CreateOptions): Promise<VolumeInfo> {
		requireId(id, "volume");
		if (options.format !== "raw") throw new AppError("invalid", "A Ceph pool keeps raw volumes only.");
		const sizeBytes = diskSize(options.sizeBytes);
		const locks = makingLocks(id, options.source, { changesSource: false });
		using _held = await this.#context.locks.all(locks, options);
		const done = await this.#existing(id, sizeBytes);
		if (done !== null) return done;
		const source = await this.#source(options.source, sizeBytes, options);
		requireNotCanceled(options);
		await this.place(id, async (name) => {
			const made = await source.make(name);
			if (made < sizeBytes) await this.#context.images.resize(name, sizeBytes);
			requireNotCanceled(options);
		}).catch(async (error) => {
			if (options.signal?.aborted) throw new AppError("canceled", "Making the volume was canceled.", { cause: error });
			// Another node made it meanwhile.
			if (errnoOfCeph(error) !== errno.exists || (await this.#existing(id, sizeBytes)) === null) throw error;
		});
		return this.#present(id);
	}

	/** Makes a volume of what `make` makes under the name that it gets. The caller holds the volume. */
	async place(id: string, make: (name: string) => Promise<unknown>): Promise<void> {
		const { work, images } = this.#context;
		await work.withTemporary(async (name) => {
			await make(name);
			await images.rename(name, volumeName(id));
		});
	}

	async #existing(id: string, sizeBytes: number): Promise<VolumeInfo | null> {
		const found = await this.#context.images.info(volumeName(id));
		if (found === null) return null;
		if (found.size !== sizeBytes)
			throw new AppError("already-exists", `Volume ${id} exists already, with another size.`);
		return this.#present(id);
	}

	/** Checks the source, which the caller holds, and says how a disk is made of it. */
	async #source(source: CreateSource, sizeBytes: number, options: LongOptions): Promise<{ make: Make }> {
		const { images } = this.#context;
		if (source.kind === "empty") {
			const make: Make = async (name) => {
				await images.create(name, sizeBytes);
				return sizeBytes;
			};
			return { make };
		}
		const from = source.kind === "image" ? await this.#imageSource(source.id) : await this.#volumeSource(source);
		if (sizeBytes < from.sizeBytes)
			throw new AppError(
				"invalid",
				`The volume would be smaller (${formatBytes(sizeBytes)}) than what it is made of (${formatBytes(from.sizeBytes)}).`,
			);
		const make: Make = async (name) => {
			if (source.fullCopy) await images.copy(from, name, options);
			else await this.#clone(from, name);
			return from.sizeBytes;
		};
		return { make };
	}

	async #clone(from: { name: string; snapshot?: string }, to: string): Promise<void> {
		const { images, work } = this.#context;
		if (from.snapshot !== undefined) return images.clone({ name: from.name, snapshot: from.snapshot }, to);
		const volumeId = volumeIdOf(from.name);
		if (volumeId === null) throw new AppError("internal", "What is copied is no volume.");
		const held = await work.holdSnapshot(volumeId);
		try {
			await images.clone({ name: from.name, snapshot: held.snapshot }, to);
		} finally {
			// It stays in the cluster, out of sight, for as long as the copy rests on it.
			await held.release();
		}
	}

	async #imageSource(id: string): Promise<{ name: string; snapshot: string; sizeBytes: number }> {
		const image = await this.#diskImages.present(id);
		if (image.format === "iso") throw new AppError("invalid", "An ISO image is for CD-ROM drives, not for volumes.");
		return { name: imageName(id), snapshot: baseSnapshot, sizeBytes: diskSize(image.virtualSizeBytes) };
	}

	async #volumeSource(source: { kind: "volume"; id: string } | { kind: "snapshot"; id: string; snapshotId: string }) {
		const { images } = this.#context;
		const name = volumeName(source.id);
		const info = await images.info(name);
		if (info === null) throw notFound(source.id);
		if (source.kind === "snapshot") {
			requireId(source.snapshotId, "snapshot");
			const snapshot = snapshotName(source.snapshotId);
			const found = (await images.snapshots(name)).find((one) => one.name === snapshot);
			if (!found) throw new AppError("not-found", `Volume ${source.id} has no snapshot ${source.snapshotId}.`);
			return { name, snapshot, sizeBytes: found.size };
		}
		await images.requireNotOpen(name);
		return { name, sizeBytes: info.size };
	}

	async delete(id: string, options: LongOptions): Promise<void> {
		requireId(id, "volume");
		using _own = await this.lock(id);
		const { images, work } = this.#context;
		const name = volumeName(id);
		const mayGo = async (now: string) => {
			const [children, snapshots] = await Promise.all([
				images.children(now),
				images.snapshots(now),
				images.requireNotOpen(now),
			]);
			const foreign = snapshots.filter((one) => one.protected === "true").map((one) => one.name);
			if (children.length > 0)
				throw new AppError("in-use", `Other volumes are copy-on-write copies of volume ${id}: ${children.join(", ")}.`);
			if (foreign.length > 0)
				throw new AppError("in-use", `Volume ${id} has protected snapshots that are not ours: ${foreign.join(", ")}.`);
			return { snapshots: snapshots.length > 0 };
		};
		const [info] = await Promise.all([images.info(name), mayGo(name)]);
		if (info === null) return work.tidy();
		await work.discard(name, mayGo, options);
	}

	async resize(id: string, wantedBytes: number): Promise<VolumeInfo> {
		requireId(id, "volume");
		const sizeBytes = diskSize(wantedBytes);
		using _own = await this.lock(id);
		const { images } = this.#context;
		const info = await images.info(volumeName(id));
		if (info === null) throw notFound(id);
		if (sizeBytes < info.size)
			throw new AppError("invalid", `A volume cannot shrink: it has ${formatBytes(info.size)}.`);
		if (sizeBytes > info.size) await images.resize(volumeName(id), sizeBytes);
		return this.#present(id);
	}

	/**
	 * A VM may have it open: QEMU's own client copies then, and goes on with that when this is called off. The cluster lets go of the snapshot below
	 * with the last copy that rested on it.
	 */
	async flatten(id: string, options: LongOptions): Promise<VolumeInfo> {
		requireId(id, "volume");
		using _own = await this.lock(id);
		const { images } = this.#context;
		const name = volumeName(id);
		const info = await images.info(name);
		if (info === null) throw notFound(id);
		requireNotCanceled(options);
		if (info.parent !== undefined)
			await images.flatten(name, options).catch(async (error) => {
				if (options.signal?.aborted)
					throw new AppError("canceled", "Making the volume stand alone was canceled.", { cause: error });
				// Done by then, by another node or by a client that outlived a request of before.
				if (errnoOfCeph(error) !== errno.invalid || (await images.info(name))?.parent !== undefined) throw error;
			});
		return this.#present(id);
	}

	async attachInfo(id: string): Promise<AttachInfo> {
		requireId(id, "volume");
		if ((await this.#context.images.info(volumeName(id))) === null) throw notFound(id);
		// What it rests on, the cluster knows: QEMU opens one thing.
		return { source: this.#context.source(volumeName(id)), format: "raw", backing: [] };
	}

	/** Which node has it, the cluster knows as long as that node lives, and half a minute longer. */
	async open(id: string, isOwnAddress: (address: string) => boolean): Promise<void> {
		requireId(id, "volume");
		const { images } = this.#context;
		const name = volumeName(id);
		const [info, { reverting }, writers] = await Promise.all([
			images.info(name),
			readTree(images, id),
			images.writers(name),
		]);
		if (info === null) throw notFound(id);
		if (reverting !== null)
			throw new AppError(
				"wrong-state",
				`Volume ${id} is being set back to a snapshot, or that was cut short; do it again.`,
			);
		const other = writers.find((address) => !isOwnAddress(address));
		if (other !== undefined) throw new AppError("in-use", `Volume ${id} is open on another host (${other}).`);
	}

	/** A raw disk has no structure; RBD's own map of it may have lost track, after which measuring is slow, and nothing else. */
	async check(id: string, options: LongOptions & { repair: boolean }): Promise<VolumeDamage> {
		requireId(id, "volume");
		using _own = await this.lock(id);
		const { images, runner } = this.#context;
		const info = await images.info(volumeName(id));
		if (info === null) throw notFound(id);
		await images.requireNotOpen(volumeName(id));
		requireNotCanceled(options);
		const errors = info.flags.some((flag) => flag.includes("invalid")) ? 1 : 0;
		const repair = errors > 0 && options.repair;
		if (repair) await runner.changeRbdLong(["object-map", "rebuild", "--", images.spec(volumeName(id))], options);
		return { errors, leakedBytes: 0, repaired: repair ? 1 : 0 };
	}

	async damaged(ids: readonly string[]): Promise<{ id: string; error: AppError }[]> {
		for (const id of ids) requireId(id, "volume");
		const names = new Set(await this.#context.images.names());
		return ids
			.filter((id) => !names.has(volumeName(id)))
			.map((id) => ({ id, error: new AppError("storage", `The image of volume ${id} is missing in the Ceph pool.`) }));
	}

	lock(id: string): Promise<Disposable> {
		return this.#context.locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	}

	async #present(id: string): Promise<VolumeInfo> {
		const info = await describeVolume(this.#context, id);
		if (info === null) throw notFound(id);
		return info;
	}
}
