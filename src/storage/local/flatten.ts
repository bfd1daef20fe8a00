/**
 * A copy-on-write copy is made to stand alone, in its own files: each that rests on what the volume was made of takes in what it has from
 * there (its disk, or layers that snapshots and reverts left). The record says before the first change that this is under way, and after
 * the last that the volume rests on nothing. In between a header may say already that nothing is below: the content is the
 * same either way. Cut short, all headers have changed and the record follows them, or those that have are set back.
 */
import { chmod } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { AppError } from "../../lib/errors.ts";
import type { LongOptions, VolumeInfo } from "../driver.ts";
import { syncFile } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { requireId } from "../names.ts";
import { flattenDisk, requireNotOpen } from "../qemu-img.ts";
import { type Chain, chainOf, requireHeadersMatch, volumeInfo } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { diskMode } from "./freeze.ts";
import { changing } from "./half-done.ts";
import { rootFiles } from "./layer-tree.ts";
import { finishMerge, writeVolume } from "./merge-layers.ts";
import type { PoolFolder } from "./pool-folder.ts";
import type { VolumeRecord } from "./records.ts";
import { chainFrom, settleFlatten } from "./settle-flatten.ts";

/** Fails with `not-found`, `in-use`, `no-space`, `canceled`. */
export async function flattenVolume(context: LocalContext, id: string, options: LongOptions): Promise<VolumeInfo> {
	requireId(id, "volume");
	const { folder, locks, log } = context;
	using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	return changing(context, id, async () => {
		const record = await settled(folder, id);
		if (record.backing === null) return volumeInfo(folder, record);
		if (record.merging) throw new AppError("in-use", `Layers of volume ${id} are being merged. Try again later.`);
		const [disk] = await chainOf(folder, record);
		await requireNotOpen(disk.path, disk.format);
		const roots: Chain[] = [];
		for (const file of rootFiles(record)) roots.push(await chainFrom(folder, record, file));
		for (const chain of roots) await requireHeadersMatch(folder, chain);
		if (options.signal?.aborted) throw canceled(options.signal.reason);
		const marked: VolumeRecord = { ...record, flattening: true };
		await writeVolume(folder, marked);
		try {
			for (const [at, [root]] of roots.entries())
				await withFileErrors("making the volume stand alone", async () => {
					await folder.step("make a file that rests on something writable");
					await chmod(root.path, diskMode);
					await folder.step("copy what is below into it");
					const progress = (ratio: number | null) =>
						options.progress?.(ratio === null ? null : (at + ratio) / roots.length);
					await flattenDisk(root.path, { ...options, progress, pastCache: folder.sharedBy !== null });
					await folder.step("sync what stands alone");
					await syncFile(root.path);
				});
		} catch (error) {
			await settleOwn(folder, marked).catch((failure) =>
				log.warn("What making a volume stand alone has left is tidied up later", { volumeId: id, error: failure }),
			);
			throw options.signal?.aborted ? canceled(error) : error;
		}
		options.progress?.(1);
		return volumeInfo(folder, await settleOwn(folder, marked));
	});
}

/** A node that was cut off from the others for so long that one of them has gone on with the volume must not write over what that one wrote. */
async function settleOwn(folder: PoolFolder, marked: VolumeRecord): Promise<VolumeRecord> {
	const record = await folder.readVolumeRecord(marked.id);
	if (!isDeepStrictEqual(record, marked))
		throw new AppError("in-use", `Another node has gone on with volume ${marked.id} meanwhile: what it wrote stays.`);
	return settleFlatten(folder, marked);
}

const canceled = (cause: unknown) => new AppError("canceled", "Making the volume stand alone was canceled.", { cause });

async function settled(folder: PoolFolder, id: string): Promise<VolumeRecord> {
	const found = await folder.readVolumeRecord(id);
	if (found === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	return settleFlatten(folder, await finishMerge(folder, found));
}
