/** Taking logical volumes away: overwritten first where the pool wants it, however often that is cut short. */
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { type IscsiContext, pathOf } from "./context.ts";
import { recordEveryBytes, zeroDevice } from "./device-io.ts";
import type { Lv } from "./records.ts";

/**
 * Fails with `in-use` while anybody has it open. In a thin pool blocks are zeroed when they are given out, and overwriting would
 * first take space for every block that the volume never had: nothing is overwritten there.
 */
export async function removeDisk(context: IscsiContext, lv: Lv): Promise<void> {
	const { group, activation, step, wipeOnDelete, layout } = context;
	if (wipeOnDelete && layout === "thick") {
		await step("overwrite a disk");
		await activation.use([{ lv: lv.lv, mode: "exclusive" }], async () => {
			let { record } = lv;
			const start = record.wipedMiB * MiB;
			await zeroDevice(pathOf(context, lv.lv), start, lv.lvBytes, {
				reached: async (position) => {
					if (position - record.wipedMiB * MiB < recordEveryBytes) return;
					const wipedMiB = Math.floor(position / MiB);
					await group.record({ lv: lv.lv, record }, { wipedMiB });
					record = { ...record, wipedMiB };
				},
			});
		});
	}
	await activation.release(lv.lv);
	await step("remove a disk");
	await group.removeLv(lv.lv);
}

/**
 * Only the node that began it takes it away: nobody else knows whether it works on it still. One that is gone for good never does, so
 * this says how a person does.
 */
export const leftUnfinished = ({ group }: IscsiContext, nodeId: string, lv: string): AppError =>
	new AppError(
		"in-use",
		`Node ${nodeId} is making the logical volume ${lv}, or has left it unfinished: then that node takes it away when it starts. ` +
			`If the node is gone for good, remove ${group.name}/${lv} by hand (operator's guide, "A node that is gone for good").`,
		{ context: { nodeId, lv } },
	);
