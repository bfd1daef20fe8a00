/** Whether a pool would work in a folder: what preparing it would refuse, and a file that is written, synced and removed. */
import { mkdtemp, open, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { PoolUsage } from "../driver.ts";
import { errnoOf } from "../file-errors.ts";
import {
	type ForbiddenPlaces,
	markerName,
	requireAllowedPlace,
	requireEmpty,
	requireNoPoolAbove,
	requireOwnFolder,
} from "./pool-place.ts";
import { PoolRecord, readRecord } from "./records.ts";

/**
 * `places`: null for a folder that several nodes reach, for which owners and places are not judged. Nothing is left behind; a folder that is not there yet is not made: the one above it is
 * tried instead.
 */
export async function probeFolder(root: string, poolId: string, places: ForbiddenPlaces | null): Promise<PoolUsage> {
	const marker = await readRecord(PoolRecord, join(root, markerName));
	if (marker !== null && marker.poolId !== poolId)
		throw new AppError("in-use", `The folder ${root} belongs to another storage pool (${marker.poolId}).`);
	const real = marker === null && places !== null ? await requireAllowedPlace(root, places) : root;
	if (marker === null && places === null) await requireNoPoolAbove(root);
	const folder = await nearest(real);
	if (folder === real) {
		if (places !== null) await requireOwnFolder(real, true);
		if (marker === null)
			await requireEmpty(real, ["volumes", "images", "uploads", `${markerName}.new`], places !== null);
	}
	const trial = await mkdtemp(join(folder, ".limiquantix-probe-"));
	try {
		const file = await open(join(trial, "file"), "wx", 0o600);
		await file.writeFile("limiquantix");
		await file.sync();
		await file.close();
	} finally {
		await rm(trial, { recursive: true, force: true });
	}
	const space = await statfs(folder);
	return {
		totalBytes: space.blocks * space.bsize,
		usedBytes: (space.blocks - space.bfree) * space.bsize,
		availableBytes: space.bavail * space.bsize,
	};
}

async function nearest(path: string): Promise<string> {
	try {
		await stat(path);
		return path;
	} catch (error) {
		if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
		return nearest(dirname(path));
	}
}
