/**
 * Deleting a snapshot of a disk that a running VM has open: only QEMU may write to the files of its chain, so here is decided what it
 * merges, and the record follows what it has done.
 *
 * Below the disk, QEMU writes a layer into the one under it and, at the end, names that one in the header of what rested on the layer: the
 * header says whether it is done (merge-layers.ts), whoever looks. When the disk itself goes into its layer, no file says whether QEMU
 * has gone over. So the guest stands still from before that until the record names the layer as the disk: what both hold is the same
 * until then, and whichever the record names is right.
 */
import { chmod } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import { fileSource, sourceName } from "../../model/disk-source.ts";
import type { LayerMerge, LongOptions } from "../driver.ts";
import { syncFile } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { volumeFile } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { diskMode } from "./freeze.ts";
import { nextLiveMerge, openFiles, withMergedDown } from "./layer-tree.ts";
import { mergeNeedless, neededElsewhere, removeFiles, writeVolume } from "./merge-layers.ts";
import type { VolumeRecord } from "./records.ts";

/** The caller holds the volume's lock, and has taken the snapshot out of the record. Null: nothing is left to merge. */
export async function planLiveMerge(
	context: LocalContext,
	record: VolumeRecord,
	options: LongOptions,
): Promise<LayerMerge | null> {
	const { folder } = context;
	const now = await mergeNeedless(context, record, options, openFiles(record));
	const found = nextLiveMerge(now, await neededElsewhere(folder, record.id));
	if (found === null) return null;
	const { layer, child, above } = found;
	const pathOf = (file: string): string => volumeFile(folder, record.id, file);
	return withFileErrors("preparing to merge layers of the volume", async () => {
		if (above !== null) await writeVolume(folder, { ...now, merging: { layer, child, live: true } });
		await folder.step("make the layers writable for QEMU");
		// What rests on the child is told that it is gone.
		for (const file of above === null ? [layer] : [layer, above]) await chmod(pathOf(file), diskMode);
		return { top: fileSource(pathOf(child)), base: fileSource(pathOf(layer)), active: above === null };
	});
}

/** QEMU has gone over to the layer below the disk. The caller holds the volume's lock; the guest stands still. */
export async function finishActiveMerge(
	context: LocalContext,
	record: VolumeRecord,
	{ top, base }: LayerMerge,
): Promise<void> {
	const { folder } = context;
	const pathOf = (file: string): string => volumeFile(folder, record.id, file);
	if (pathOf(record.file) === sourceName(base)) return;
	const [below] = record.layers;
	if (pathOf(record.file) !== sourceName(top) || !below || pathOf(below.file) !== sourceName(base))
		throw new AppError("wrong-state", "The volume's files are others than those that were merged.");
	await withFileErrors("merging layers of the volume", async () => {
		await folder.step("sync the layer that is the disk now");
		await syncFile(sourceName(base));
		await writeVolume(folder, withMergedDown(record, record.file, below.file));
		await removeFiles(folder, record.id, [record.file]);
	});
}
