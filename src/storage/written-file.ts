/**
 * Files that another program writes to. On a file system of a server, that there is no space is often told when a file is flushed only, and
 * what could not be written is gone then. Linux tells each open file once; whoever opens the file afterwards is told nothing when
 * somebody was. QEMU flushes when it closes a file, and does not look at what comes of it: so the file is held open here meanwhile.
 */
import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { isAppError } from "../lib/errors.ts";
import { errnoOf, fileError, isFull } from "./file-errors.ts";

/**
 * Runs `work`, after which all that was written to the file is on its disk. Fails with what flushing failed with, or with what `work` did unless
 * that was for want of space. The file is made when it is missing. A device, or a link to one, is left to `work`.
 */
export async function written(path: string, work: () => Promise<unknown>): Promise<void> {
	if (!(await isFileOrMissing(path))) return void (await work());
	const flags = constants.O_RDONLY | constants.O_CREAT | constants.O_NOFOLLOW;
	const file = await open(path, flags, 0o600).catch((error: unknown) => {
		throw fileError(error, "opening the disk");
	});
	try {
		const failure = await work().then(
			() => null,
			(error: unknown) => error,
		);
		if (failure !== null && !isAppError(failure, "storage")) throw failure;
		try {
			await file.sync();
		} catch (error) {
			if (failure === null || isFull(error)) throw fileError(error, "writing the disk");
		}
		if (failure !== null) throw failure;
	} finally {
		await file.close();
	}
}

async function isFileOrMissing(path: string): Promise<boolean> {
	try {
		return (await lstat(path)).isFile();
	} catch (error) {
		return errnoOf(error) === "ENOENT";
	}
}
