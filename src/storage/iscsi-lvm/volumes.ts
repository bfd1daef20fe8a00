/** Volumes of an iSCSI pool: made unfinished and committed by one change of a tag; found, grown, deleted. */
import { AppError, isAppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { AttachInfo, CreateSource, LongOptions, VolumeInfo } from "../driver.ts";
import { diskSize, requireId } from "../names.ts";
import { createDisk, growDisk } from "../qemu-img.ts";
import { attachInfoOf, requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { canceledOr, zeroDevice } from "./device-io.ts";
import { copyInto } from "./disk-copy.ts";
import { finish } from "./freeze.ts";
import { roundUp, volumeLv } from "./group.ts";
import { bytesFor, holdSource } from "./make-volume.ts";
import { type Disk, type PoolIndex, sizeOf, type Volume, volumeFormat } from "./pool-index.ts";
import { leftUnfinished, removeDisk } from "./remove-disk.ts";

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
		using _own = await this.#lock(id);
		const index = await readIndex(this.#context);
		const existing = await this.#infoIn(index, id);
		if (existing !== null) {
			if (existing.format === format && existing.sizeBytes === sizeBytes) return existing;
			throw new AppError("already-exists", `Volume ${id} exists already, with another size or format.`);
		}
		if (index.disks(id).length > 0) await this.#removeRest(id);
		const { signal } = options;
		try {
			using held = await holdSource(this.#context, source, id);
			const plan = { lv: volumeLv(id, 1), format, sizeBytes };
			signal?.throwIfAborted();
			held.requireFits(plan);
			await this.#make(plan.lv, async () => {
				await held.make(plan, options);
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
		const { layout, group, nodeId, activation } = this.#context;
		const format = layout === "thin" ? "raw" : file.format;
		const sizeBytes = format === "raw" ? roundUp(file.sizeBytes) : diskSize(file.sizeBytes);
		const lv = volumeLv(id, 1);
		const path = pathOf(this.#context, lv);
		await this.#make(lv, async () => {
			await group.create(lv, await bytesFor(format, sizeBytes), { half: nodeId, format, sizeBytes });
			await activation.use([{ lv, mode: "exclusive" }], async () => {
				if (format === "qcow2") await createDisk(path, "qcow2", sizeBytes);
				const isZero = format === "qcow2" || layout === "thin";
				await copyInto({ ...file, device: false }, { path, format, device: true, isZero }, options);
				if (!isZero) await zeroDevice(path, file.sizeBytes, sizeBytes);
			});
		});
		return this.#infoNow(id);
	}

	async delete(id: string): Promise<void> {
		requireId(id, "volume");
		using _own = await this.#lock(id);
		const { group, activation, nodeId, step } = this.#context;
		const index = await readIndex(this.#context);
		const volume = index.volume(id);
		if (volume === null) return this.#removeRest(id);
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
		await this.#removeRest(id);
	}

	/** What is left of a deleted volume, and what was not finished here. The highest goes last: it says that it is deleted. */
	async #removeRest(id: string): Promise<void> {
		const { nodeId } = this.#context;
		for (const disk of (await readIndex(this.#context)).disks(id)) {
			const { half } = disk.record;
			if (half !== null && half !== nodeId) throw leftUnfinished(this.#context, half, disk.lv);
			await removeDisk(this.#context, disk);
		}
	}

	/** `running`: a VM of this node has it open and goes on: QEMU's own resize follows, and the guest sees the size then. */
	async resize(id: string, wantedBytes: number, { running }: { running: boolean }): Promise<VolumeInfo> {
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
			await activation.use(wantedFor(chain), () => this.#grow(active, sizeBytes, running));
		}
		return this.#infoNow(id);
	}

	async #grow(disk: Disk, sizeBytes: number, running: boolean): Promise<void> {
		const { group, layout, step } = this.#context;
		const path = pathOf(this.#context, disk.lv);
		const lvBytes = roundUp(await bytesFor(volumeFormat(disk), sizeBytes));
		if (disk.record.format === "raw") {
			if (layout === "thick") {
				// Its size is the old one until what others left in the new part is gone.
				await step("record that a disk grows");
				await group.record(disk, { zeroFrom: sizeOf(disk) });
			}
			await step("extend a disk");
			if (lvBytes > disk.lvBytes) await this.#extend(disk, lvBytes);
			await this.finishGrowing(disk.lv);
			return;
		}
		await step("extend a disk");
		if (lvBytes > disk.lvBytes) await group.extend(disk.lv, lvBytes);
		await step("grow a disk");
		if (!running) {
			const chain = (await readIndex(this.#context)).chain(disk);
			await requireHeadersMatch(this.#context, chain);
			await growDisk(path, "qcow2", sizeBytes);
		}
		await step("record the size of a disk");
		await group.record(disk, { sizeBytes });
	}

	/** What is recorded of a raw disk is as before when there is no room. */
	async #extend(disk: Disk, lvBytes: number): Promise<void> {
		const { group, log } = this.#context;
		try {
			await group.extend(disk.lv, lvBytes);
		} catch (error) {
			if (isAppError(error, "no-space"))
				await this.finishGrowing(disk.lv).catch((failure) =>
					log.warn("A disk that could not grow is recorded as growing still", { lv: disk.lv, error: failure }),
				);
			throw error;
		}
	}

	/** A raw disk that grew: its new part is overwritten. It must be active. */
	async finishGrowing(lv: string): Promise<void> {
		const disk = (await readIndex(this.#context)).get(lv);
		if (disk === null || disk.record.zeroFrom === null) return;
		await this.#context.step("overwrite the new part of a disk");
		await zeroDevice(pathOf(this.#context, lv), disk.record.zeroFrom, disk.lvBytes);
		await this.#context.group.record(disk, { zeroFrom: null });
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
