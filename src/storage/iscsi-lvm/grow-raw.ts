/**
 * A raw disk grows: its logical volume is extended, and what others left in the new part is overwritten. Its tag says from before until after
 * that the disk has its old size. Cut short, it gets that back: the next to open the volume must not wait for the rest, and may want another size.
 * QEMU may have it open: with its old size, until it is told of another one, so it misses nothing of what is given and taken behind that.
 */
import { isAppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { zeroDevice } from "./device-io.ts";
import { type Disk, sizeOf } from "./pool-index.ts";

/** It must be active. */
export async function growRaw(context: IscsiContext, disk: Disk, lvBytes: number, options: LongOptions): Promise<void> {
	const { group, layout, step, log } = context;
	try {
		if (layout === "thick") {
			// Its size is the old one until what others left in the new part is gone.
			await step("record that a disk grows");
			await group.record(disk, { zeroFrom: sizeOf(disk) });
		}
		await step("extend a disk");
		if (lvBytes > disk.lvBytes) await group.extend(disk.lv, lvBytes);
		// A growth to more than this was cut short.
		else if (lvBytes < disk.lvBytes) await group.reduce(disk.lv, lvBytes);
		await finishGrowing(context, disk.lv, options);
	} catch (error) {
		// What is not told of here is undone by whoever closes or opens the volume, or by the next start.
		await undoGrowth(context, disk.lv).catch((failure) =>
			log.warn("A disk that did not grow is recorded as growing still", { lv: disk.lv, error: failure }),
		);
		throw error;
	}
}

/** Its new part is overwritten, and its own from then on. It must be active. */
export async function finishGrowing(context: IscsiContext, lv: string, options: LongOptions): Promise<void> {
	const disk = (await readIndex(context)).get(lv);
	if (disk === null || disk.record.zeroFrom === null) return;
	await context.step("overwrite the new part of a disk");
	await zeroDevice(pathOf(context, lv), disk.record.zeroFrom, disk.lvBytes, options);
	await context.group.record(disk, { zeroFrom: null });
}

/** It has its old size again. It must be active. */
async function undoGrowth(context: IscsiContext, lv: string): Promise<void> {
	const { group, step } = context;
	const disk = (await readIndex(context)).get(lv);
	if (disk === null || disk.record.zeroFrom === null) return;
	if (disk.lvBytes > disk.record.zeroFrom) {
		await step("take back what a disk has grown by");
		await group.reduce(lv, disk.record.zeroFrom);
	}
	await step("record that a disk has its old size");
	await group.record(disk, { zeroFrom: null });
}

/** The same for a volume that is not in use here, before anything is done with it. What another node has open stays as it is. */
export async function settleGrowth(context: IscsiContext, lv: string): Promise<void> {
	if (((await readIndex(context)).get(lv)?.record.zeroFrom ?? null) === null) return;
	try {
		// Exclusively: whoever grows it has it so, too.
		await context.activation.use([{ lv, mode: "exclusive" }], () => undoGrowth(context, lv));
	} catch (error) {
		if (!isAppError(error)) throw error;
		context.log.info("A disk is recorded as growing still", { lv, error });
	}
}
