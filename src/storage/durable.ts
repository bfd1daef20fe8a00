/**
 * Changes of a pool's folders that survive a power cut whole or not at all: write aside, fsync, rename, fsync the
 * folder. `step` is called before each change of what is on the disk; tests end the process there.
 */
import { constants } from "node:fs";
import { chmod, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

export type Step = (name: string) => void | Promise<void>;

export async function syncFolder(path: string): Promise<void> {
	const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
	try {
		await folder.sync();
	} finally {
		await folder.close();
	}
}

export async function syncFile(path: string): Promise<void> {
	const file = await open(path, "r");
	try {
		await file.sync();
	} finally {
		await file.close();
	}
}

/** Replaces or makes the small file `path` (mode 0600) by way of `path`.new, which a cut may leave and the next write replaces. */
export async function writeFileDurably(
	path: string,
	content: string | Uint8Array,
	step: Step = () => {},
): Promise<void> {
	const temporaryPath = `${path}.new`;
	await step("write the record aside");
	try {
		const file = await open(temporaryPath, "w", 0o600);
		try {
			await file.writeFile(content);
			await step("sync the record");
			await file.sync();
		} finally {
			await file.close();
		}
		await step("rename the record");
		await rename(temporaryPath, path);
	} catch (error) {
		await rm(temporaryPath, { force: true });
		throw error;
	}
	await step("sync the folder of the record");
	await syncFolder(dirname(path));
}

/** Makes the finished folder `from` appear as `to`, at once and with everything in it. Same file system. */
export async function commitFolder(from: string, to: string, step: Step): Promise<void> {
	await step("sync the new folder");
	await syncFolder(from);
	await step("open the new folder to others");
	await chmod(from, 0o711);
	await step("rename the new folder");
	await rename(from, to);
	await step("sync the parent of the new folder");
	await syncFolder(dirname(to));
}
