/**
 * Layers that nothing needs any more go: leaves are removed, others take in what rests on them.
 *
 * Into the disk's place (`layer`): the disk's content is written into the layer below, which nobody else needs, the record
 * names the layer as the disk, and the old disk goes. Into a layer's place (`child`): the same, and the file takes the
 * child's name, so that whatever rests on the child finds it. Until then the child covers all that the layer is getting, so a
 * cut leaves a chain with the same content.
 */
import { chmod, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";
import { syncFile, syncFolder } from "../durable.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { commitDisk } from "../qemu-img.ts";
import { chainOf, layerChain, mergedByQemu, requireHeadersMatch, volumeFile } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { diskMode, frozenMode } from "./freeze.ts";
import { type Needless, nextNeedless, onlyChild, withDiskDropped, withoutLayer, withoutLeaf } from "./layer-tree.ts";
import type { PoolFolder } from "./pool-folder.ts";
import type { VolumeRecord } from "./records.ts";

export const writeVolume = (folder: PoolFolder, record: VolumeRecord): Promise<void> =>
	folder.writeRecord(join(folder.volume(record.id), "record.json"), record);

/** Files of the volume that other volumes rest on. A record that cannot be read is an error: it might be one of them. */
export async function neededElsewhere(folder: PoolFolder, volumeId: string): Promise<Set<string>> {
	const files = new Set<string>();
	for (const id of await folder.ids("volumes")) {
		const backing = (await folder.volumeRecord(id))?.backing;
		if (backing?.kind === "volume" && backing.id === volumeId) files.add(backing.file);
	}
	return files;
}

/** Files that the record no longer names. One that was taken over stays: it goes with the volume. */
export async function removeFiles(folder: PoolFolder, volumeId: string, files: readonly string[]): Promise<void> {
	for (const file of files) {
		if (file.startsWith("/")) continue;
		await folder.step("remove a layer");
		await rm(join(folder.volume(volumeId), file), { force: true });
	}
}

/**
 * The caller holds the volume's lock. A layer that a running copy has open stays for the next time. `leave`: files that are not
 * merged, because the volume's VM has them open. The record as it is then.
 */
export async function mergeNeedless(
	context: LocalContext,
	record: VolumeRecord,
	options: LongOptions,
	leave: ReadonlySet<string> = new Set(),
): Promise<VolumeRecord> {
	const { folder } = context;
	const needed = await neededElsewhere(folder, record.id);
	let current = record;
	for (let found = nextNeedless(current, needed, leave); found; found = nextNeedless(current, needed, leave)) {
		try {
			current = await withFileErrors("merging layers of the volume", () => removeOne(folder, current, found, options));
		} catch (error) {
			// The name may have changed hands already.
			const now = await finishMerge(folder, (await folder.readVolumeRecord(record.id)) ?? current).catch(() => current);
			if (!isAppError(error, "in-use")) throw error;
			context.log.info("A layer stays: a running VM has it open", { volumeId: record.id });
			return now;
		}
	}
	return current;
}

async function removeOne(
	folder: PoolFolder,
	record: VolumeRecord,
	found: Needless,
	options: LongOptions,
): Promise<VolumeRecord> {
	if (found.kind === "leaf") {
		const next = withoutLeaf(record, found.file);
		await writeVolume(folder, next);
		await removeFiles(folder, record.id, [found.file]);
		return next;
	}
	const { layer, child, into } = found;
	const isDisk = child.file === record.file;
	const chain = isDisk ? await chainOf(folder, record) : await layerChain(folder, record, child.file);
	await requireHeadersMatch(folder, chain);
	const [layerPath, childPath] = [layer.file, child.file].map((file) => volumeFile(folder, record.id, file)) as [
		string,
		string,
	];
	const marked: VolumeRecord =
		into === "child" ? { ...record, merging: { layer: layer.file, child: child.file } } : record;
	if (into === "child") await writeVolume(folder, marked);
	await folder.step("make the layers writable");
	for (const path of [layerPath, childPath]) await chmod(path, diskMode);
	await folder.step("merge the layers");
	await commitDisk(childPath, layerPath, { ...options, pastCache: folder.sharedBy !== null });
	await folder.step("sync the merged layer");
	await syncFile(layerPath);
	if (into === "child") {
		await folder.step("rename the merged layer");
		await rename(layerPath, childPath);
		await syncFolder(folder.volume(record.id));
		return finishMerge(folder, marked);
	}
	const next = withDiskDropped(record);
	await writeVolume(folder, next);
	await removeFiles(folder, record.id, [child.file]);
	return next;
}

/** Whatever a merge that was cut short left to do; `record` as it is written down, returned as it is then. The caller holds the volume's lock. */
export async function finishMerge(folder: PoolFolder, record: VolumeRecord): Promise<VolumeRecord> {
	if (!record.merging) return record;
	const { merging, ...rest } = record;
	const { layer, child, live } = merging;
	if (live) return finishLiveMerge(folder, record);
	const renamed = !(await isThere(volumeFile(folder, record.id, layer)));
	const next = renamed ? withoutLayer(rest, layer) : rest;
	await withFileErrors("merging layers of the volume", async () => {
		await folder.step("make the merged layer read-only");
		for (const file of renamed ? [child] : [layer, child]) await chmod(volumeFile(folder, record.id, file), frozenMode);
		await writeVolume(folder, next);
	});
	return next;
}

/** The record, as it is written down, follows what QEMU has done. */
async function finishLiveMerge(folder: PoolFolder, record: VolumeRecord): Promise<VolumeRecord> {
	const next = await mergedByQemu(folder, record);
	if (next === null || !record.merging) return record;
	const { layer, child } = record.merging;
	const above = onlyChild(record, child);
	const merged = [layer, ...(above === null ? [] : [above])];
	await withFileErrors("merging layers of the volume", async () => {
		await folder.step("sync the layers that QEMU has merged");
		for (const file of merged) await syncFile(volumeFile(folder, record.id, file));
		await writeVolume(folder, next);
		await removeFiles(folder, record.id, [child]);
		await folder.step("make the merged layer read-only");
		for (const file of merged) if (file !== next.file) await chmod(volumeFile(folder, record.id, file), frozenMode);
	});
	return next;
}

async function isThere(path: string): Promise<boolean> {
	try {
		await stat(path);
		return true;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return false;
		throw error;
	}
}
