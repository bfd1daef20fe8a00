/**
 * Copy-on-write copies of a volume that stays writable: the file that the source has written to so far becomes a
 * read-only layer, the source goes on in a new empty overlay on it, and so does the copy. The source's disk then is
 * another file: read attachInfo anew before the next start of its VM.
 */
import { chmod, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { syncFile, syncFolder } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { readFully } from "../inspect/inspect-image.ts";
import { createOverlay, requireNotOpen } from "../qemu-img.ts";
import { backingName, chainOf, maxChainFiles, readOwnHeader, requireHeadersMatch, volumeFile } from "./chain.ts";
import { unusedFile, withDiskOn } from "./layer-tree.ts";
import type { PoolFolder } from "./pool-folder.ts";
import type { BackingRecord, VolumeRecord } from "./records.ts";

/** Modes of a disk that a VM writes to, and of a frozen layer. libvirt changes owners, never modes. */
export const diskMode = 0o600;
export const frozenMode = 0o400;

/**
 * Makes what the volume holds now a layer that a copy may rest on. The caller holds the volume's lock. `in-use` while a
 * running VM has it open, `invalid` for raw volumes and for chains that got too long.
 */
export async function freezeVolume(folder: PoolFolder, record: VolumeRecord): Promise<BackingRecord> {
	if (record.format === "raw")
		throw new AppError("invalid", "A raw volume cannot be copied copy-on-write. Ask for a full copy.");
	const chain = await chainOf(folder, record);
	await requireHeadersMatch(folder, chain);
	const [active] = chain;
	await requireNotOpen(active.path, record.format);
	const [nearest] = record.layers;
	const reference = (layer: { file: string; format: "qcow2" | "raw" }): BackingRecord => ({
		kind: "volume",
		id: record.id,
		...layer,
	});
	const header = await readOwnHeader(active.path, record.id);
	if (nearest && (await holdsNoData(active.path, header))) return reference(nearest);
	if (chain.length + 2 > maxChainFiles)
		throw new AppError("invalid", "This volume has been copied copy-on-write too often. Ask for a full copy.");

	const layer = { file: record.file, format: record.format };
	await addDisk(folder, record, layer, header.virtualSizeBytes, (_file, next) => next);
	await withFileErrors("making a layer of the volume", async () => {
		await folder.step("make the old layer read-only");
		await chmod(active.path, frozenMode);
	});
	return reference(layer);
}

/**
 * The volume goes on in a new, empty qcow2 file on the layer `on`, which is the disk until now or an older layer. `change`: what
 * else the record says then. The file is whole and flushed before the record names it, so a cut leaves the one state or the other;
 * a file that no record names is a leftover. `unopened`: nothing below is opened, for a running VM has it locked.
 */
export async function addDisk(
	folder: PoolFolder,
	record: VolumeRecord,
	on: { file: string; format: VolumeRecord["format"] },
	sizeBytes: number,
	change: (file: string, next: VolumeRecord) => VolumeRecord,
	unopened = false,
): Promise<VolumeRecord> {
	const file = unusedFile(record);
	const path = join(folder.volume(record.id), file);
	const { step } = folder;
	return withFileErrors("making a layer of the volume", async () => {
		await step("remove an old layer that is not in use");
		await rm(path, { force: true });
		await step("make the new layer");
		const name = backingName(folder, folder.volume(record.id), volumeFile(folder, record.id, on.file));
		const next = change(file, withDiskOn(record, file, on.file));
		try {
			await createOverlay(path, { name, format: on.format }, sizeBytes, { unopened });
			await chmod(path, diskMode);
			await step("sync the new layer");
			await syncFile(path);
			await syncFolder(folder.volume(record.id));
			await folder.writeRecord(join(folder.volume(record.id), "record.json"), next);
		} catch (error) {
			// The record decides: only a layer that it does not name may go.
			const now = await folder.readVolume(record.id);
			if (now?.file !== file) await rm(path, { force: true });
			throw error;
		}
		return next;
	});
}

/** True when the qcow2 file maps no cluster of its own (all entries of its first table are zero): it is as when made. */
export async function holdsNoData(path: string, header: { l1Size: number; l1Offset: number }): Promise<boolean> {
	if (header.l1Size > 1_000_000) return false;
	return withFileErrors("reading a volume", async () => {
		const file = await open(path, "r");
		try {
			const table = new Uint8Array(header.l1Size * 8);
			const length = await readFully(file, table, header.l1Offset);
			return table.subarray(0, length).every((byte) => byte === 0);
		} finally {
			await file.close();
		}
	});
}
