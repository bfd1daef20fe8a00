/** Volumes of an iSCSI pool: made unfinished and committed by one change of a tag; found, grown, deleted. */
import { AppError, isAppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { AttachInfo, CreateSource, LongOptions, VolumeInfo } from "../driver.ts";
import { makingLocks } from "../making-locks.ts";
import { diskSize, requireId } from "../names.ts";
import { createDisk, growDisk } from "../qemu-img.ts";
import { attachInfoOf, requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { canceledOr, zeroDevice } from "./device-io.ts";
import { copyInto } from "./disk-copy.ts";
import { finish } from "./freeze.ts";
import { roundUp } from "./group.ts";
import { growRaw } from "./grow-raw.ts";
import { bytesFor, openSource } from "./make-volume.ts";
import { volumeLv } from "./names.ts";
import { type Disk, type PoolIndex, sizeOf, type Volume, volumeFormat } from "./pool-index.ts";
import { leftUnfinished, removeDisks } from "./remove-disk.ts";

type CreateOptions = { format: VolumeFormat; sizeBytes: number; source: CreateSource } & LongOptions;

export class IscsiVolumes {
	readonly #context: IscsiContext;

	constructor(context: IscsiContext) {
		this.#context = context;
	}

	async create(id: string, options: CreateOptions): Promise<VolumeInfo> {
		requireId(id, "volume");
		const { format, source } = options;
		const asked = diskSize(options.sizeBytes);
		const sizeBytes = format === "raw" ? roundUp(asked) : asked;
		if (this.#context.layout === "thin" && format !== "raw")
			throw new AppError("invalid", "This pool keeps raw disks only: its copies and snapshots are those of LVM.");
		using _held = await this.#context.locks.all(makingLocks(id, source, { changesSource: true }), options);
		const index = await readIndex(this.#context);
		const existing = await this.#infoIn(index, id);
		if (existing !== null) {
			if (existing.format === format && existing.sizeBytes === sizeBytes) return existing;
			throw new AppError("already-exists", `Volume ${id} exists already, with another size or format.`);
		}
		const { signal } = options;
		try {
			await this.#removeRest(id, index, options);
			const from = await openSource(this.#context, source);
			const plan = { lv: volumeLv(id, 1), format, sizeBytes };
			signal?.throwIfAborted();
			from.requireFits(plan);
			await this.#make(plan.lv, async () => {
				await from.make(plan, options);
				signal?.throwIfAborted();
			});
		} catch (error) {
			throw canceledOr(error, signal, "Making the volume");
		}
		return this.#infoNow(id);
	}

	/** Makes a whole disk of the unfinished one that `fill` makes, or leaves nothing. */
	async #make(lv: string, fill: () => Promise<void>): Promise<void> {
		const { group, nodeId, step } = this.#context;
		try {
			await fill();
			await step("finish a disk");
			await finish(this.#context, lv);
		} catch (error) {
			// Another node may have been first with this name: what it has made is its own.
			const half = (await readIndex(this.#context)).get(lv)?.record.half ?? null;
			if (half === nodeId) await group.removeLv(lv);
			throw half !== null && half !== nodeId && isAppError(error, "already-exists")
				? leftUnfinished(this.#context, half, lv)
				: error;
		}
	}

	/** A volume from a disk of this node that stands alone; for what comes from elsewhere. */
	async fromFile(id: string, file: { path: string; format: VolumeFormat; sizeBytes: number }, options: LongOptions) {
		const { layout, group, nodeId, activation, step } = this.#context;
		const format = layout === "thin" ? "raw" : file.format;
		const sizeBytes = format === "raw" ? roundUp(file.sizeBytes) : diskSize(file.sizeBytes);
		const lv = volumeLv(id, 1);
		const path = pathOf(this.#context, lv);
		using _own = await this.#lock(id);
		await this.#removeRest(id, await readIndex(this.#context), options);
		await this.#make(lv, async () => {
			await step("make a logical volume");
			await group.create(lv, await bytesFor(format, sizeBytes), { half: nodeId, format, sizeBytes });
			await activation.use([{ lv, mode: "exclusive" }], async () => {
				await step("fill a disk");
				if (format === "qcow2") await createDisk(path, "qcow2", sizeBytes);
				const isZero = format === "qcow2" || layout === "thin";
				await copyInto({ ...file, device: false }, { path, format, device: true, isZero }, options);
				if (!isZero) await zeroDevice(path, file.sizeBytes, sizeBytes, options);
			});
		});
		return this.#infoNow(id);
	}

	async delete(id: string, options: LongOptions): Promise<void> {
		requireId(id, "volume");
		using _own = await this.#lock(id);
		try {
			const index = await readIndex(this.#context);
			const volume = index.volume(id);
			if (volume !== null) await this.#markDeleted(index, volume);
			await this.#removeRest(id, volume === null ? index : await readIndex(this.#context), options);
		} catch (error) {
			throw canceledOr(error, options.signal, "Removing the volume");
		}
	}

	/** From here on it is nobody's, and what it has is taken away by this node. */
	async #markDeleted(index: PoolIndex, volume: Volume): Promise<void> {
		const { group, activation, nodeId, step } = this.#context;
		const { id } = volume;
		const dependants = index.dependants("volume", id);
		if (dependants.length > 0)
			throw new AppError("in-use", `Other volumes are copy-on-write copies of volume ${id}: ${dependants.join(", ")}.`);
		await activation.unpin(id);
		if (volume.active.open) throw new AppError("in-use", "A process on this node has this volume open.");
		// Exclusively: no node has it open, and from the change of the tag on it is nobody's.
		await activation.use([{ lv: volume.active.lv, mode: "exclusive" }], async () => {
			await step("mark a volume as deleted");
			await group.record(volume.active, { gone: nodeId });
		});
	}

	/** What is left of a deleted volume, and what was not finished here. The highest goes last: it says that it is deleted. */
	async #removeRest(id: string, index: PoolIndex, options: LongOptions): Promise<void> {
		const disks = index.disks(id);
		for (const { lv, record } of disks)
			if (record.half !== null && record.half !== this.#context.nodeId)
				throw leftUnfinished(this.#context, record.half, lv);
		await removeDisks(this.#context, disks, options);
	}

	/** `running`: a VM of this node has it open and goes on: QEMU's own resize follows, and the guest sees the size then. */
	async resize(id: string, wantedBytes: number, options: LongOptions & { running: boolean }): Promise<VolumeInfo> {
		const { running } = options;
		requireId(id, "volume");
		const asked = diskSize(wantedBytes);
		using _own = await this.#lock(id);
		const volume = await this.#present(id);
		const { active } = volume;
		const sizeBytes = active.record.format === "raw" ? roundUp(asked) : asked;
		if (sizeBytes < sizeOf(active))
			throw new AppError("invalid", `A volume cannot shrink: it has ${formatBytes(sizeOf(active))}.`);
		if (sizeBytes > sizeOf(active)) {
			const { activation } = this.#context;
			if (running && !activation.isPinned(id))
				throw new AppError("wrong-state", "The volume is not open on this node.");
			if (!running && active.open) throw new AppError("in-use", "A running VM has this disk open.");
			const chain = (await readIndex(this.#context)).chain(active);
			try {
				await activation.use(wantedFor(chain), () => this.#grow(active, sizeBytes, options));
			} catch (error) {
				throw canceledOr(error, options.signal, "Growing the volume");
			}
		}
		return this.#infoNow(id);
	}

	async #grow(disk: Disk, sizeBytes: number, options: LongOptions & { running: boolean }): Promise<void> {
		const { group, step } = this.#context;
		const path = pathOf(this.#context, disk.lv);
		const lvBytes = roundUp(await bytesFor(volumeFormat(disk), sizeBytes));
		if (disk.record.format === "raw") return growRaw(this.#context, disk, lvBytes, options);
		await step("extend a disk");
		if (lvBytes > disk.lvBytes) await group.extend(disk.lv, lvBytes);
		await step("grow a disk");
		if (!options.running) {
			const chain = (await readIndex(this.#context)).chain(disk);
			await requireHeadersMatch(this.#context, chain);
			await growDisk(path, "qcow2", sizeBytes);
		}
		await step("record the size of a disk");
		await group.record(disk, { sizeBytes });
	}

	async get(id: string): Promise<VolumeInfo | null> {
		requireId(id, "volume");
		return this.#infoIn(await readIndex(this.#context), id);
	}

	async #infoIn(index: PoolIndex, id: string): Promise<VolumeInfo | null> {
		const volume = index.volume(id);
		return volume === null ? null : this.#infoWith(index.info(volume), volume.active.lv);
	}

	async list(): Promise<VolumeInfo[]> {
		const index = await readIndex(this.#context);
		const volumes: VolumeInfo[] = [];
		for (const id of index.volumeIds()) {
			try {
				const volume = index.volume(id);
				if (volume) volumes.push(await this.#infoWith(index.info(volume), volume.active.lv));
			} catch (error) {
				this.#context.log.warn("A volume cannot be read and is left out of the list", { volumeId: id, error });
			}
		}
		return volumes;
	}

	async attachInfo(id: string): Promise<AttachInfo> {
		requireId(id, "volume");
		const index = await readIndex(this.#context);
		const volume = index.volume(id);
		if (volume === null) throw notFound(id);
		return attachInfoOf(this.#context, index.chain(volume.active));
	}

	async damaged(ids: readonly string[]): Promise<{ id: string; error: AppError }[]> {
		const found: { id: string; error: AppError }[] = [];
		const index = await readIndex(this.#context);
		for (const id of ids) {
			try {
				const volume = index.volume(id);
				if (volume === null) throw new AppError("storage", `The disk of volume ${id} is missing.`);
				index.info(volume);
			} catch (error) {
				if (!isAppError(error)) throw error;
				found.push({ id, error });
			}
		}
		return found;
	}

	async #infoNow(id: string): Promise<VolumeInfo> {
		const info = await this.get(id);
		if (info === null) throw notFound(id);
		return info;
	}

	/** While a VM has it, the kernel counts what is written. */
	async #infoWith(info: VolumeInfo, lv: string): Promise<VolumeInfo> {
		if (!this.#context.activation.isPinned(info.id)) return info;
		const writes = await this.#context.writes(pathOf(this.#context, lv));
		return { ...info, contentMark: `${info.contentMark}:${writes ?? "open"}` };
	}

	async #present(id: string): Promise<Volume> {
		const volume = (await readIndex(this.#context)).volume(id);
		if (volume === null) throw notFound(id);
		return volume;
	}

	#lock(id: string): Promise<Disposable> {
		return this.#context.locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	}
}

const notFound = (id: string) => new AppError("not-found", `Volume ${id} is not in this pool.`);
