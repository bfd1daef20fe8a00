/**
 * What a volume holds now becomes a layer that others may rest on; the volume goes on in a new empty overlay. The overlay is the
 * disk that is written to from the commit on in which it is no longer unfinished: it has the highest number then.
 */
import { AppError } from "../../lib/errors.ts";
import { requireNotOpen } from "../qemu-img.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { holdsNoData, readQcow2Header } from "./device-io.ts";
import { makeOverlay, qcow2Bytes } from "./disk-copy.ts";
import { volumeLv } from "./names.ts";
import { type Disk, maxChainDisks, sizeOf, volumeFormat } from "./pool-index.ts";
import type { Lv } from "./records.ts";
import { removeDisk } from "./remove-disk.ts";

/**
 * The layer that a copy may rest on. The caller holds the volume's lock. `in-use` while a running VM has it open, `invalid` for raw
 * volumes and for chains that got too long.
 */
export async function freezeVolume(context: IscsiContext, id: string): Promise<Lv> {
	const index = await readIndex(context);
	const volume = index.volume(id);
	if (volume === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	const { active } = volume;
	if (active.record.format !== "qcow2")
		throw new AppError("invalid", "A raw volume cannot be copied copy-on-write. Ask for a full copy.");
	const chain = index.chain(active);
	return context.activation.use(wantedFor(chain), async () => {
		const path = pathOf(context, active.lv);
		await requireNotOpen(path, "qcow2");
		await requireHeadersMatch(context, chain);
		const nearest = chain[1];
		const own = nearest?.name.kind === "volume" && nearest.name.id === id;
		if (nearest && own && (await holdsNoData(path, await readQcow2Header(path, active.lv)))) return nearest;
		await overlayOn(context, active, { number: index.nextNumber(id), freezes: null, chainLength: chain.length });
		return active;
	});
}

/**
 * The layer is the volume's disk again, when nothing but the volume's new disk rests on it, which holds nothing and no snapshot. The caller
 * holds the volume's lock.
 */
export async function unfreezeVolume(context: IscsiContext, id: string, layer: string): Promise<void> {
	const index = await readIndex(context);
	const active = index.volume(id)?.active;
	const below = index.get(layer);
	if (!active || active.record.on !== layer || active.record.freezes !== null || below?.record.snap !== null) return;
	const isOfVolume = below.name.kind === "volume" && below.name.id === id;
	if (!isOfVolume || index.restingOn(layer).length > 1 || index.restingOn(active.lv).length > 0) return;
	const isEmpty = await context.activation.use(wantedFor(index.chain(active)), async () => {
		const path = pathOf(context, active.lv);
		await requireNotOpen(path, "qcow2");
		const header = await readQcow2Header(path, active.lv);
		return header.virtualSizeBytes === sizeOf(below) && (await holdsNoData(path, header));
	});
	if (isEmpty) await removeDisk(context, active, { isEmpty });
}

export type OverlayOptions = { number: number; freezes: string | null; chainLength: number };

/** Makes the overlay on `layer`, and makes it the disk that is written to. Its name. */
export async function overlayOn(context: IscsiContext, layer: Disk, options: OverlayOptions): Promise<string> {
	const { group, activation, nodeId, step } = context;
	if (options.chainLength + 2 > maxChainDisks)
		throw new AppError("invalid", "This volume has too many layers. Make a full copy of it.");
	const lv = volumeLv(layer.name.id, options.number);
	const sizeBytes = sizeOf(layer);
	const { freezes } = options;
	const record = { format: "qcow2" as const, sizeBytes, on: layer.lv, freezes, opened: layer.record.opened };
	try {
		await step("make an overlay");
		await group.create(lv, await qcow2Bytes(sizeBytes), { ...record, half: nodeId });
		await activation.use([{ lv, mode: "exclusive" }], async () => {
			await step("fill an overlay");
			const backing = { path: pathOf(context, layer.lv), format: volumeFormat(layer) };
			await makeOverlay(pathOf(context, lv), backing, sizeBytes);
		});
		await step("finish an overlay");
		await finish(context, lv);
	} catch (error) {
		const made = (await readIndex(context)).get(lv);
		// What is finished is the volume's disk now, whatever failed afterwards.
		if (made?.record.half === nodeId) await group.removeLv(lv);
		throw error;
	}
	return lv;
}

/** The commit: from here on it is there. */
export const finish = (context: IscsiContext, lv: string, more: readonly string[] = []): Promise<void> =>
	context.group.finish(lv, context.nodeId, more);
