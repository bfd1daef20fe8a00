/** Volumes that VMs of this node use: their disks active here, the one that is written to on no other node. */

import { AppError, isAppError } from "../../lib/errors.ts";
import { requireId } from "../names.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import { finishGrowing, settleGrowth } from "./grow-raw.ts";
import { isDisk, type PoolIndex, sizeOf } from "./pool-index.ts";
import { settleOwn } from "./settle.ts";

export class OpenVolumes {
	readonly #context: IscsiContext;
	/** Layers whose disks above were all open at the last look. */
	#seenOpen: ReadonlySet<string> = new Set();

	constructor(context: IscsiContext) {
		this.#context = context;
	}

	/** What is active already, from before this process: it belongs to VMs that run, until somebody says otherwise. */
	find(index: PoolIndex): void {
		const { activation } = this.#context;
		for (const { lv, active } of index.lvs) if (active) activation.found(lv);
		for (const id of index.volumeIds()) {
			try {
				const volume = index.volume(id);
				if (volume?.active.active) activation.pinFound(id, wantedFor(index.chain(volume.active)));
			} catch (error) {
				this.#context.log.warn("A volume that is active cannot be read", { volumeId: id, error });
			}
		}
	}

	async open(id: string): Promise<void> {
		requireId(id, "volume");
		const { activation, group, locks } = this.#context;
		using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
		const wasOpen = activation.isPinned(id);
		// What a VM has open rests where it did when it was opened, or on less.
		if (!wasOpen) await this.#settleIfIdle(id);
		const index = await readIndex(this.#context);
		const volume = index.volume(id);
		if (volume === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		const chain = index.chain(volume.active);
		await activation.pin(id, wantedFor(chain));
		if (wasOpen) return;
		try {
			// Nothing, but where its growth could not be taken back before.
			await finishGrowing(this.#context, volume.active.lv, {});
			const sizeBytes = await requireHeadersMatch(this.#context, chain);
			// QEMU may have grown it and ended before that was recorded, or the other way round: the header is right.
			const change = sizeBytes !== null && sizeBytes !== sizeOf(volume.active) ? { sizeBytes } : {};
			await group.record(volume.active, { ...change, opened: volume.active.record.opened + 1 });
		} catch (error) {
			await activation.unpin(id).catch(() => {});
			throw error;
		}
	}

	/** Also of a volume that is not there any more. */
	async close(id: string): Promise<void> {
		requireId(id, "volume");
		const { activation, locks } = this.#context;
		using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
		await activation.unpin(id);
		// A move between layers, or a growth, that was cut short while the volume was taken for open.
		await this.#settleIfIdle(id);
	}

	/** What is open to somebody stays marked, for the next that closes or opens the volume, and for the next start. */
	async #settleIfIdle(id: string): Promise<void> {
		await settleOwn(this.#context, id).catch((error: unknown) => {
			if (!isAppError(error, "in-use")) throw error;
			this.#context.log.info("A disk is still on its way to another layer", { volumeId: id });
		});
		for (const { lv, record } of (await readIndex(this.#context)).disks(id))
			if (record.zeroFrom !== null) await settleGrowth(this.#context, lv);
	}

	async list(): Promise<string[]> {
		const { activation } = this.#context;
		const index = await readIndex(this.#context);
		const open: string[] = [];
		for (const id of index.volumeIds()) {
			const active = index.disks(id).findLast(({ record }) => record.half === null && record.snap === null);
			if (!active || !isDisk(active)) continue;
			const byOperation = active.active === true && !activation.isUsedByOperation(active.lv);
			if (activation.isPinned(id) || byOperation) open.push(id);
		}
		return open;
	}

	/**
	 * Layers that were written to before a snapshot of a running VM: other nodes may read them as soon as QEMU has gone over to the disk
	 * above, which it has open then, at two looks in a row. Call now and then; it asks nothing while there is nothing to lower.
	 */
	async lowerLayers(): Promise<void> {
		const layers = this.#context.activation.lowerable();
		const seen = new Set<string>();
		try {
			if (layers.length > 0) await this.#lower(layers, seen);
		} finally {
			this.#seenOpen = seen;
		}
	}

	async #lower(layers: readonly string[], seen: Set<string>): Promise<void> {
		const { activation, log } = this.#context;
		const index = await readIndex(this.#context);
		for (const lv of layers) {
			const above = index.restingOn(lv).filter((disk) => activation.inUse(disk.lv));
			if (!above.every(({ open }) => open)) continue;
			seen.add(lv);
			// Anything opens a new device for a moment (udev does): it is QEMU that has it still the next time.
			if (!this.#seenOpen.has(lv)) continue;
			await activation
				.lower(lv)
				.catch((error) => log.warn("Other nodes do not get to read a layer until the next look", { lv, error }));
		}
	}

	/** After a snapshot of a running VM: what it writes to now is active here, and so is what that rests on. */
	async follow(id: string): Promise<void> {
		const { activation } = this.#context;
		if (!activation.isPinned(id)) return;
		const index = await readIndex(this.#context);
		const volume = index.volume(id);
		if (volume === null) return;
		await activation.pin(id, wantedFor(index.chain(volume.active)));
	}
}
