/**
 * The files that the pools of this node consist of, by what they are and not by name: device and inode. A file may have
 * several names (hard links, bind mounts), and one that was taken over lies outside of its pool, where only the pool's
 * record knows it.
 */
import { stat } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import type { PoolPlace } from "../driver.ts";
import { errnoOf } from "../file-errors.ts";
import { volumeFile } from "./chain.ts";
import { ownFiles } from "./layer-tree.ts";
import type { PoolFolder } from "./pool-folder.ts";

export type Holder = {
	kind: "volume" | "image";
	id: string;
	/** Name of the pool; null for one's own. */
	pool: string | null;
	/** It was taken over where it lies. */
	adopted: boolean;
};
export type HeldFiles = ReadonlyMap<string, Holder>;

export const fileKey = (file: { device: string; inode: string }): string => `${file.device}:${file.inode}`;

/**
 * Fails with `corrupt` when a record is damaged, and with `storage` when a pool that has held data cannot be looked at:
 * nobody knows then which files are its.
 */
export async function heldFiles(own: PoolFolder, others: readonly PoolPlace[]): Promise<HeldFiles> {
	const held = new Map<string, Holder>();
	requireAnswering(others);
	await collect(own, null, held);
	for (const place of others) {
		const folder = own.sibling(place.path);
		if ((await folder.readMarker())?.poolId === place.poolId) await collect(folder, place.name, held);
		else if (place.wasReady) throw unseen(place, "Is its disk mounted?");
	}
	return held;
}

/** Fails with `storage` when one of the pools does not answer. */
export function requireAnswering(pools: readonly PoolPlace[]): void {
	for (const place of pools) if (place.realPath === null) throw unseen(place, "Its file system does not answer.");
}

const unseen = ({ name }: PoolPlace, why: string) =>
	new AppError(
		"storage",
		`Storage pool "${name}" cannot be looked at now, so nobody knows which files belong to it. ${why}`,
	);

async function collect(folder: PoolFolder, pool: string | null, held: Map<string, Holder>): Promise<void> {
	for (const id of await folder.ids("volumes")) {
		const record = await folder.readVolume(id);
		if (record === null) continue;
		const adopted = record.adopted !== undefined;
		for (const { file } of ownFiles(record))
			await add(volumeFile(folder, id, file), { kind: "volume", id, pool, adopted }, held);
	}
	for (const id of await folder.ids("images")) {
		const record = await folder.readImage(id);
		if (record) await add(folder.imageFile(id, record.format), { kind: "image", id, pool, adopted: false }, held);
	}
}

async function add(path: string, holder: Holder, held: Map<string, Holder>): Promise<void> {
	try {
		const { dev, ino } = await stat(path, { bigint: true });
		held.set(fileKey({ device: `${dev}`, inode: `${ino}` }), holder);
	} catch (error) {
		if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw error;
	}
}
