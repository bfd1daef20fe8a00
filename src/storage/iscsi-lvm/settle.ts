/** What steps between layers leave behind, brought into line with the disks. */
import { requireNotOpen } from "../qemu-img.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { readQcow2Header } from "./device-io.ts";
import { type Disk, type PoolIndex, volumeFormat } from "./pool-index.ts";

/** Before an overlay goes: the snapshot that it names is recorded on the layer below it. */
export async function keepSnapshot({ group }: IscsiContext, index: PoolIndex, overlay: Disk): Promise<void> {
	const { freezes, on } = overlay.record;
	const layer = on === null ? null : index.get(on);
	if (freezes !== null && layer !== null) await group.record(layer, { snap: freezes });
}

/**
 * A move to another layer that was done or cut short: the disk's own header says where it rests, and the record follows it. Fails with
 * `in-use`, and leaves the mark, while somebody has the disk open: a qemu-img outlives the daemon that started it, and changes the header last.
 */
export async function settleRebase(context: IscsiContext, lv: string): Promise<void> {
	if (!(await readIndex(context)).get(lv)?.record.rebase) return;
	await context.activation.use([{ lv, mode: "exclusive" }], async () => {
		const disk = (await readIndex(context)).get(lv);
		const rebase = disk?.record.rebase;
		if (!disk || !rebase) return;
		const path = pathOf(context, lv);
		await requireNotOpen(path, volumeFormat(disk));
		const { backingFile } = await readQcow2Header(path, lv);
		const moved = backingFile === (rebase.to === null ? null : pathOf(context, rebase.to));
		await context.group.record(disk, moved ? { on: rebase.to, rebase: null } : { rebase: null });
	});
}

/**
 * Before a volume is used or changed anew: moves that this node had begun are settled, since another mark would hide which one the header
 * is after. Fails with `in-use` as `settleRebase` does.
 */
export async function settleOwn(context: IscsiContext, volumeId: string): Promise<void> {
	for (const { lv, record } of (await readIndex(context)).disks(volumeId))
		if (record.rebase?.node === context.nodeId) await settleRebase(context, lv);
}

/**
 * `work` moves the disk, which has the mark already. Afterwards the record follows the header, also when the work failed: then that is what
 * this fails with, and a mark that could not be settled stays, for the header to be believed by it.
 */
export async function thenSettled(context: IscsiContext, lv: string, work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		await settleRebase(context, lv).catch((failure) =>
			context.log.warn("A disk that was to rest on another layer is recorded as on its way still", { lv, failure }),
		);
		throw error;
	}
	await settleRebase(context, lv);
}
