/** What making a volume stand alone has left when it was done, or cut short (flatten.ts). */
import { chmod } from "node:fs/promises";
import { dirname } from "node:path";
import { syncFile } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { unflattenDisk } from "../qemu-img.ts";
import { backingName, type Chain, chainOf, layerChain, readOwnHeader, volumeFile } from "./chain.ts";
import { diskMode, frozenMode } from "./freeze.ts";
import { rootFiles } from "./layer-tree.ts";
import { writeVolume } from "./merge-layers.ts";
import type { PoolFolder } from "./pool-folder.ts";
import type { VolumeRecord } from "./records.ts";

/**
 * The record, as it is written down, follows the headers when all of them say that nothing is below; else those that do are set back.
 * Returned as it is then. The caller holds the volume's lock.
 */
export async function settleFlatten(folder: PoolFolder, record: VolumeRecord): Promise<VolumeRecord> {
	if (!record.flattening) return record;
	const { flattening: _done, ...rest } = record;
	const roots = rootFiles(record);
	const alone: string[] = [];
	for (const file of roots) {
		const header = await readOwnHeader(volumeFile(folder, record.id, file), record.id);
		if (header.backingFile === null) alone.push(file);
	}
	const next: VolumeRecord = alone.length === roots.length ? { ...rest, backing: null } : rest;
	await withFileErrors("finishing to make the volume stand alone", async () => {
		if (next.backing !== null) for (const file of alone) await setBack(folder, record, file);
		await folder.step("make layers read-only");
		for (const file of roots)
			await chmod(volumeFile(folder, record.id, file), file === record.file ? diskMode : frozenMode);
		await writeVolume(folder, next);
	});
	return next;
}

async function setBack(folder: PoolFolder, record: VolumeRecord, file: string): Promise<void> {
	const [root, below] = await chainFrom(folder, record, file);
	if (!below) return;
	await folder.step("rest a file on what is below again");
	await chmod(root.path, diskMode);
	await unflattenDisk(root.path, { name: backingName(folder, dirname(root.path), below.path), format: below.format });
	await syncFile(root.path);
}

/** One of the volume's own files, and all that is below. */
export const chainFrom = (folder: PoolFolder, record: VolumeRecord, file: string): Promise<Chain> =>
	file === record.file ? chainOf(folder, record) : layerChain(folder, record, file);
