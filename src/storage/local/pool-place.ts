/**
 * Where a pool's folder may be, and whose it must be. The daemon is root and believes what the pool's records say, so
 * nobody else may have written them: a new pool begins in an empty folder, and its folders are this user's or root's and
 * closed to the writes of others. Links on the way are followed and judged by where they lead.
 */
import { chmod, lstat, mkdir, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { isInside, poolPathRefusal } from "../../model/host-paths.ts";
import type { PoolPlace } from "../driver.ts";
import { errnoOf } from "../file-errors.ts";

/** Folders of the daemon, and the other pools of the node. */
export type ForbiddenPlaces = { protectedPaths: readonly string[]; otherPools: readonly PoolPlace[] };

/**
 * `invalid` when `root`, links followed, is in a folder of the system, in a protected one (its `pools` excepted), in
 * another pool, or around one: a pool takes what it does not know in its folder for leftovers. Nothing of `root` need be
 * there yet. Returns the real path.
 */
export async function requireAllowedPlace(
	root: string,
	{ protectedPaths, otherPools }: ForbiddenPlaces,
): Promise<string> {
	const real = await resolved(root);
	const refuse = (why: string) =>
		new AppError(
			"invalid",
			`The folder ${root}${real === root ? "" : ` (${real})`} cannot hold a storage pool: ${why}`,
		);
	const refusal = poolPathRefusal(real);
	if (refusal !== null) throw refuse(refusal);
	for (const path of protectedPaths) {
		const folder = await resolved(path);
		const ownPools = join(folder, "pools");
		if (isInside(real, folder) && (real === ownPools || !isInside(real, ownPools)))
			throw refuse("It is inside the folder of LimiQuantix itself.");
		if (isInside(folder, real)) throw refuse("The folder of LimiQuantix is inside it.");
	}
	for (const place of otherPools) {
		const folder = await realPlace(place);
		const named = `storage pool "${place.name}"`;
		if (isInside(real, folder)) throw refuse(`It is inside the folder of ${named} (${folder}).`);
		if (isInside(folder, real)) throw refuse(`The folder of ${named} (${folder}) is inside it.`);
	}
	return real;
}

/** Where a pool really is, or was when it last answered; as written, when its links lead nowhere now, or nobody has seen that. */
export async function realPlace({ path, realPath, lastRealPath }: PoolPlace): Promise<string> {
	if (realPath !== undefined) return realPath ?? lastRealPath ?? path;
	return resolved(path).catch((error) => {
		if (error instanceof AppError) return path;
		throw error;
	});
}

/** It does not answer, and nobody knows where its links lead. */
export const isUnseen = ({ realPath, lastRealPath }: PoolPlace): boolean =>
	realPath === null && (lastRealPath ?? null) === null;

/** Makes `path` and the missing folders above it, each 0711: QEMU's user passes through, nobody lists them. */
export async function makeFolders(path: string): Promise<void> {
	try {
		await mkdir(path, { mode: 0o700 });
	} catch (error) {
		if (errnoOf(error) === "EEXIST") return;
		if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
		await makeFolders(dirname(path));
		await mkdir(path, { mode: 0o700 });
	}
	await chmod(path, 0o711);
}

/**
 * `invalid` when `path` is no folder, is another user's, or can be written to by others. A link is refused unless
 * `mayBeLink`: a pool that is there already may be reached through one.
 */
export async function requireOwnFolder(path: string, mayBeLink = false): Promise<void> {
	const found = await (mayBeLink ? stat(path) : lstat(path));
	const refuse = (why: string) =>
		new AppError("invalid", `The folder ${path} cannot be used for a storage pool: ${why}`);
	if (!found.isDirectory()) throw refuse("it is not a folder.");
	if (!isOurs(found)) throw refuse("it belongs to another user than root. Make root its owner (chown root).");
	if (isOpenToOthers(found)) throw refuse("others may write to it. Take that away (chmod go-w).");
}

/** True for a regular file that nobody but root and this user can have written. */
export async function isOwnFile(path: string): Promise<boolean> {
	const found = await lstat(path);
	return found.isFile() && isOurs(found) && !isOpenToOthers(found);
}

/**
 * `wrong-state` when something is in the folder of a new pool. Not counted: what a new file system has, and `ours`,
 * what an interrupted start may have left: empty folders, or a regular file of this name. `byUs`: nobody else may have made them.
 */
export async function requireEmpty(root: string, ours: readonly string[], byUs = true): Promise<void> {
	for (const name of await readdir(root)) {
		if (name === "lost+found") continue;
		const found = await lstat(join(root, name));
		const isLeftover = found.isDirectory() ? (await readdir(join(root, name))).length === 0 : found.isFile();
		if (!ours.includes(name) || (byUs && !isOurs(found)) || !isLeftover)
			throw new AppError("wrong-state", `The folder ${root} is not empty. Choose an empty folder for a new pool.`);
	}
}

/** Name of the file that says whose pool a folder is. */
export const markerName = "limiquantix-pool.json";

/**
 * `in-use` when a folder above, up to the root of the host, is a pool: it would take what is here for leftovers. Of a new pool that nodes of several
 * clusters may reach: where all pools are, none of them knows. A folder that is not shown says nothing.
 */
export async function requireNoPoolAbove(root: string): Promise<void> {
	for (let folder = dirname(root); folder !== dirname(folder); folder = dirname(folder))
		if (await isThere(join(folder, markerName)))
			throw new AppError(
				"in-use",
				`The folder ${root} is inside of ${folder}, which is a storage pool. Choose one outside of it.`,
			);
}

const isOurs = ({ uid }: { uid: number }): boolean => uid === 0 || uid === process.geteuid?.();
const isOpenToOthers = ({ mode }: { mode: number }): boolean => (mode & 0o022) !== 0;

/** The path with all links followed; what is not there yet is taken as it is written. */
async function resolved(path: string): Promise<string> {
	try {
		return await realpath(path);
	} catch (error) {
		if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
		// A link that leads nowhere would be made where it leads.
		if (await isThere(path)) throw new AppError("invalid", `The folder ${path} is a link that leads nowhere.`);
		return join(await resolved(dirname(path)), basename(path));
	}
}

const isThere = (path: string): Promise<boolean> =>
	lstat(path).then(
		() => true,
		() => false,
	);
