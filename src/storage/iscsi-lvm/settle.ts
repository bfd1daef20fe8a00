/** What steps between layers leave behind, brought into line with the disks. */
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { readQcow2Header } from "./device-io.ts";
import type { Disk, PoolIndex } from "./pool-index.ts";

/** Before an overlay goes: the snapshot that it names is recorded on the layer below it. */
export async function keepSnapshot({ group }: IscsiContext, index: PoolIndex, overlay: Disk): Promise<void> {
	const { freezes, on } = overlay.record;
	const layer = on === null ? null : index.get(on);
	if (freezes !== null && layer !== null) await group.record(layer, { snap: freezes });
}

/** A move to another layer that was done or cut short: the disk's own header says where it rests, and the record follows it. */
export async function settleRebase(context: IscsiContext, lv: string): Promise<void> {
	const index = await readIndex(context);
	const disk = index.get(lv);
	const rebase = disk?.record.rebase;
	if (!disk || !rebase) return;
	await context.activation.use([{ lv, mode: "exclusive" }], async () => {
		const { backingFile } = await readQcow2Header(pathOf(context, lv), lv);
		const moved = backingFile === (rebase.to === null ? null : pathOf(context, rebase.to));
		await context.group.record(disk, moved ? { on: rebase.to, rebase: null } : { rebase: null });
	});
}
