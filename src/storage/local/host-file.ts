/**
 * Opening a file of this node that a person named. Refused: symbolic links in the last place, everything that is not a
 * regular file, the system's folders of the model's list, and folders that are ours. The check is made on the open file
 * and its real path, so links on the way and swapping the path meanwhile change nothing. Only for a storage worker: nobody knows where
 * such a path leads, and whether that answers.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readlink, realpath } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { imagePathRefusal, isInside } from "../../model/host-paths.ts";
import { errnoOf, fileError } from "../file-errors.ts";

/** What is known of it once it is open. */
export type OpenedHostFile = { realPath: string; sizeBytes: number; device: string; inode: string; changedMs: number };
export type HostFile = OpenedHostFile & { file: FileHandle };

/**
 * The caller closes `file`. `pools`: folders whose files are somebody's already. Fails with `invalid` (the message says
 * why) or `storage`.
 */
export async function openHostFile(
	path: string,
	protectedPaths: readonly string[],
	pools: readonly string[] = [],
): Promise<HostFile> {
	if (!isAbsolute(path) || path.includes("\0")) throw new AppError("invalid", "The path must be absolute.");
	const refuse = (why: string) => new AppError("invalid", `The file ${path} cannot be taken: ${why}.`);
	let file: FileHandle;
	try {
		// Before it is opened: opening a device can have effects of its own.
		const seen = await lstat(path);
		if (seen.isSymbolicLink()) throw refuse("it is a symbolic link");
		if (!seen.isFile()) throw refuse("it is not a regular file");
		file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
	} catch (error) {
		if (error instanceof AppError) throw error;
		if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") throw refuse("there is no such file");
		if (errnoOf(error) === "ELOOP") throw refuse("it is a symbolic link");
		if (errnoOf(error) === "EACCES" || errnoOf(error) === "EPERM") throw refuse("permission denied");
		if (errnoOf(error) === "ENAMETOOLONG") throw refuse("its name is too long");
		throw fileError(error, "opening the file");
	}
	try {
		const found = await file.stat();
		if (!found.isFile()) throw refuse("it is not a regular file");
		const realPath = await readlink(`/proc/self/fd/${file.fd}`);
		if ((await resolved(pools)).some((folder) => isInside(realPath, folder)))
			throw refuse("it is in the folder of a storage pool");
		const forbidden = await resolved(protectedPaths);
		if (imagePathRefusal(realPath) !== null || forbidden.some((folder) => isInside(realPath, folder)))
			throw refuse("it is in a folder of the system");
		const { dev, ino } = await file.stat({ bigint: true });
		return { file, realPath, sizeBytes: found.size, device: `${dev}`, inode: `${ino}`, changedMs: found.mtimeMs };
	} catch (error) {
		await file.close();
		throw fileError(error, "opening the file");
	}
}

async function resolved(paths: readonly string[]): Promise<string[]> {
	const all: string[] = [];
	for (const path of paths) {
		all.push(path);
		try {
			all.push(await realpath(path));
		} catch {
			// Not there: nothing can be below it.
		}
	}
	return all;
}
