/**
 * Snapshots. Thick: what the volume has written so far becomes a layer, and it goes on in a qcow2 overlay, which also says which
 * snapshot it freezes; so one commit makes both. Thin: LVM's own.
 */
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import type { LongOptions, SnapshotInfo, VolumeInfo, VolumeSnapshots } from "../driver.ts";
import { requireId } from "../names.ts";
import { requireNotOpen } from "../qemu-img.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { holdsNoData, readQcow2Header } from "./device-io.ts";
import { makeOverlay, qcow2Bytes, rebaseDisk } from "./disk-copy.ts";
import { finish, overlayOn } from "./freeze.ts";
import { volumeLv } from "./names.ts";
import type { OpenVolumes } from "./open-volumes.ts";
import {
	type Disk,
	isDisk,
	needlessLayers,
	type PoolIndex,
	sizeOf,
	uselessDisks,
	type Volume,
	volumeFormat,
} from "./pool-index.ts";
import { removeDisk } from "./remove-disk.ts";
import { keepSnapshot, settleOwn, settleRebase, thenSettled } from "./settle.ts";
import type { IscsiVolumes } from "./volumes.ts";

export class IscsiSnapshots implements VolumeSnapshots {
	readonly #context: IscsiContext;
	readonly #volumes: IscsiVolumes;
	readonly #open: OpenVolumes;

	constructor(context: IscsiContext, volumes: IscsiVolumes, open: OpenVolumes) {
		this.#context = context;
		this.#volumes = volumes;
		this.#open = open;
	}

	async take(volumeId: string, snapshotId: string, { running }: { running: boolean }): Promise<SnapshotInfo> {
		requireSnapshotId(snapshotId);
		using _own = await this.#lock(volumeId);
		const { index, volume } = await this.#present(volumeId);
		if (!this.#context.activation.isPinned(volumeId) && running)
			throw new AppError("wrong-state", "The volume is not open on this node.");
		const done = index.snapshots(volume).find(({ id }) => id === snapshotId);
		if (!done) {
			if (!running && volume.active.open) throw new AppError("in-use", "A running VM has this disk open.");
			if (this.#context.layout === "thin") await this.#takeThin(index, volume, snapshotId);
			else await this.#takeThick(index, volume, snapshotId, running);
		}
		await this.#open.follow(volumeId);
		return this.#info(volumeId, snapshotId);
	}

	async #takeThick(index: PoolIndex, { active, id }: Volume, snapshotId: string, running: boolean): Promise<void> {
		const chain = index.chain(active);
		await this.#context.activation.use(wantedFor(chain), async () => {
			if (!running) await requireNotOpen(pathOf(this.#context, active.lv), volumeFormat(active));
			const numbering = { number: index.nextNumber(id), chainLength: chain.length };
			await overlayOn(this.#context, active, { ...numbering, freezes: snapshotId });
		});
	}

	async #takeThin(index: PoolIndex, volume: Volume, snapshotId: string): Promise<void> {
		const { group, step } = this.#context;
		const { active, id } = volume;
		await step("take a snapshot");
		const parent = index.lastThinSnapshot(volume);
		const record = { format: "raw" as const, sizeBytes: sizeOf(active), snap: snapshotId, parent };
		await group.snapshot(active.lv, volumeLv(id, index.nextNumber(id)), record);
	}

	async revert(volumeId: string, snapshotId: string, options: LongOptions = {}): Promise<VolumeInfo> {
		requireSnapshotId(snapshotId);
		using _own = await this.#lock(volumeId);
		const { group, nodeId, layout, activation, step } = this.#context;
		const { index, volume } = await this.#present(volumeId);
		const snapshot = this.#find(index, volume, snapshotId);
		if (activation.isPinned(volumeId) || volume.active.open)
			throw new AppError("in-use", "A running VM has this disk open.");
		const lv = volumeLv(volumeId, index.nextNumber(volumeId));
		const { disk } = snapshot;
		const opened = volume.active.record.opened + 1;
		// Exclusively: no VM of another node has it either.
		await activation.use([{ lv: volume.active.lv, mode: "exclusive" }], async () => {
			try {
				await step("make the disk to go back to");
				const record = { half: nodeId, format: volumeFormat(disk), sizeBytes: sizeOf(disk), opened };
				if (layout === "thin") await group.snapshot(disk.lv, lv, { ...record, parent: snapshotId });
				else {
					const sizeBytes = sizeOf(disk);
					await group.create(lv, await qcow2Bytes(sizeBytes), { ...record, format: "qcow2", on: disk.lv });
					await activation.use([{ lv, mode: "exclusive" }], () =>
						makeOverlay(
							pathOf(this.#context, lv),
							{ path: pathOf(this.#context, disk.lv), format: volumeFormat(disk) },
							sizeBytes,
						),
					);
				}
				await step("go back");
				await finish(this.#context, lv);
			} catch (error) {
				if ((await readIndex(this.#context)).get(lv)?.record.half === nodeId) await group.removeLv(lv);
				throw error;
			}
		});
		await this.#removeUseless(volumeId, options);
		const info = await this.#volumes.get(volumeId);
		if (info === null) throw new AppError("not-found", `Volume ${volumeId} is not in this pool.`);
		return info;
	}

	/** Disks that nothing needs any more; what they say of the snapshot below them is kept. */
	async #removeUseless(volumeId: string, options: LongOptions): Promise<void> {
		for (;;) {
			const index = await readIndex(this.#context);
			const volume = index.volume(volumeId);
			const [useless] = volume === null || index.hasDamaged ? [] : uselessDisks(index, volume.disks, volume.active);
			if (!useless) return;
			await keepSnapshot(this.#context, index, useless);
			await this.#context.step("remove a disk that nothing needs");
			await removeDisk(this.#context, useless, options);
		}
	}

	async delete(volumeId: string, snapshotId: string, options: LongOptions): Promise<void> {
		requireSnapshotId(snapshotId);
		using _own = await this.#lock(volumeId);
		const { activation } = this.#context;
		const index = await readIndex(this.#context);
		const volume = index.volume(volumeId);
		if (volume === null) return;
		const snapshot = index.snapshots(volume).find(({ id }) => id === snapshotId);
		const isOpen = activation.isPinned(volumeId) || volume.active.open === true;
		if (!snapshot) {
			// What a deletion that was cut short has left.
			if (this.#context.layout === "thick" && !isOpen) await this.#mergeNeedless(volumeId, options);
			return;
		}
		const copies = index.restingOn(snapshot.disk.lv).filter(({ name }) => name.id !== volumeId);
		if (copies.length > 0)
			throw new AppError(
				"in-use",
				`Volumes are copy-on-write copies of this snapshot: ${copies.map(({ name }) => name.id).join(", ")}.`,
			);
		// LVM's own are no part of the disk that is open.
		if (this.#context.layout === "thin") return this.#deleteThin(volume, snapshot.disk, snapshotId);
		if (isOpen) throw new AppError("in-use", "A running VM has this disk open.");
		await activation.use([{ lv: volume.active.lv, mode: "exclusive" }], () =>
			this.#forget(volume, snapshot.disk, snapshotId),
		);
		await this.#mergeNeedless(volumeId, options);
	}

	/**
	 * The overlay goes, and with it, in the same commit, the name of the snapshot that it says; the layer below is the disk again, as
	 * QEMU has had it all the time.
	 */
	async undoTake(volumeId: string, snapshotId: string): Promise<void> {
		requireSnapshotId(snapshotId);
		using _own = await this.#lock(volumeId);
		const { layout, activation } = this.#context;
		const index = await readIndex(this.#context);
		const volume = index.volume(volumeId);
		const snapshot = volume && index.snapshots(volume).find(({ id }) => id === snapshotId);
		if (!volume || !snapshot) return;
		if (layout === "thin") return this.#deleteThin(volume, snapshot.disk, snapshotId);
		const { active } = volume;
		const layer = snapshot.disk;
		const refuse = (why: string) => new AppError("wrong-state", `Snapshot ${snapshotId} cannot be undone: ${why}.`);
		const isLast = active.record.freezes === snapshotId && active.record.on === layer.lv;
		const [, ...others] = [...index.restingOn(layer.lv), ...index.restingOn(active.lv)];
		if (!isLast || layer.record.snap !== null || others.length > 0) throw refuse("something rests on it");
		if (active.open) throw refuse("its VM has gone over to the new disk");
		await activation.use([{ lv: active.lv, mode: "exclusive" }], async () => {
			const path = pathOf(this.#context, active.lv);
			if (!(await holdsNoData(path, await readQcow2Header(path, active.lv)))) throw refuse("its VM has written since");
		});
		await activation.unpin(volumeId, new Set(index.chain(layer).map(({ lv }) => lv)));
		await this.#context.step("undo a snapshot");
		await removeDisk(this.#context, active, { isEmpty: true });
		await this.#open.follow(volumeId);
	}

	/** All that hold nothing that has to be told apart any more. */
	async #mergeNeedless(volumeId: string, options: LongOptions): Promise<void> {
		await settleOwn(this.#context, volumeId);
		const before = new Set<string>();
		for (;;) {
			await this.#removeUseless(volumeId, options);
			const index = await readIndex(this.#context);
			const volume = index.volume(volumeId);
			const layers = volume === null || index.hasDamaged ? [] : needlessLayers(index, volume.disks, volume.active);
			const next = layers.find(({ lv }) => !before.has(lv));
			if (!next) return;
			before.add(next.lv);
			await this.#merge(volumeId, next.lv, options);
		}
	}

	async #deleteThin(volume: Volume, disk: Disk, snapshotId: string): Promise<void> {
		for (const other of volume.disks) {
			if (other.record.parent !== snapshotId) continue;
			await this.#context.step("leave a snapshot out");
			await this.#context.group.record(other, { parent: disk.record.parent });
		}
		await removeDisk(this.#context, disk);
	}

	/** It is a layer like others then, with no name. */
	async #forget(volume: Volume, disk: Disk, snapshotId: string): Promise<void> {
		const { group, step } = this.#context;
		await step("forget a snapshot");
		for (const overlay of volume.disks)
			if (overlay.record.freezes === snapshotId) await group.record(overlay, { freezes: null });
		await group.record(disk, { snap: null });
	}

	/** A layer on which one disk of the same volume rests, and nothing else: what it holds goes up into that one. */
	async #merge(volumeId: string, lv: string, options: LongOptions): Promise<void> {
		const { group, activation, nodeId, step } = this.#context;
		const find = async () => {
			const index = await readIndex(this.#context);
			const [above, ...more] = index.get(lv) === null ? [] : index.restingOn(lv);
			const isOne = above !== undefined && more.length === 0 && above.name.id === volumeId;
			return isOne && isDisk(above) ? { index, above } : null;
		};
		let found = await find();
		if (found?.above.record.rebase) {
			// Also of another node, which has left it: this one has the volume alone.
			await settleRebase(this.#context, found.above.lv);
			found = await find();
		}
		if (found === null) return;
		const { index, above } = found;
		const chain = index.chain(above);
		const next = chain[2] ?? null;
		await activation.use(wantedFor(chain), async () => {
			await requireHeadersMatch(this.#context, chain);
			await step("record that a disk moves");
			await group.record(above, { rebase: { node: nodeId, to: next?.lv ?? null } });
			await thenSettled(this.#context, above.lv, async () => {
				const backing = next && { path: pathOf(this.#context, next.lv), format: volumeFormat(next) };
				try {
					await step("move a disk");
					await rebaseDisk(pathOf(this.#context, above.lv), backing, options);
				} finally {
					await step("record that a disk has moved");
				}
			});
		});
	}

	async list(volumeId: string): Promise<SnapshotInfo[]> {
		requireId(volumeId, "volume");
		const index = await readIndex(this.#context);
		const volume = index.volume(volumeId);
		return volume === null ? [] : index.snapshots(volume).map(({ disk: _disk, ...info }) => info);
	}

	async #info(volumeId: string, snapshotId: string): Promise<SnapshotInfo> {
		const { index, volume } = await this.#present(volumeId);
		const { disk: _disk, ...info } = this.#find(index, volume, snapshotId);
		return info;
	}

	#find(index: PoolIndex, volume: Volume, snapshotId: string) {
		const found = index.snapshots(volume).find(({ id }) => id === snapshotId);
		if (!found) throw new AppError("not-found", `Volume ${volume.id} has no snapshot ${snapshotId}.`);
		return found;
	}

	async #present(id: string): Promise<{ index: PoolIndex; volume: Volume }> {
		requireId(id, "volume");
		const index = await readIndex(this.#context);
		const volume = index.volume(id);
		if (volume === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		return { index, volume };
	}

	#lock(id: string): Promise<Disposable> {
		requireId(id, "volume");
		return this.#context.locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	}
}

function requireSnapshotId(id: string): void {
	if (typeof id !== "string" || !isUuid(id)) throw new AppError("invalid", "This is not the id of a snapshot.");
}
