/**
 * A VM's folder on this node: `<dataDir>/vms/<id>/` with the cloud-init seed, and what the hypervisor driver keeps
 * there (NVRAM, serial log, sockets). Every path is made from the id alone, which is checked to be a UUID.
 */
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../lib/assert.ts";
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { writeFileDurably } from "../storage/durable.ts";
import { errnoOf, fileError } from "../storage/file-errors.ts";
import { bounds } from "./limits.ts";

export function vmFolder(dataDir: string, vmId: string): string {
	assert(isUuid(vmId), "a VM's id is a UUID");
	return join(dataDir, "vms", vmId);
}

export const seedPath = (folder: string): string => join(folder, "seed.iso");
export const serialLogPath = (folder: string): string => join(folder, "serial.log");

/** Changes of VMs' folders, as an argument: tests end the process between them. */
export type VmFolders = {
	make(folder: string): Promise<void>;
	/** Missing is done. */
	remove(folder: string): Promise<void>;
	/** Missing is done. */
	removeSeed(folder: string): Promise<void>;
	/** A small file of the node's own, whole or not at all, and flushed. */
	writeRecord(path: string, text: string): Promise<void>;
	/** Null when there is none. */
	readRecord(path: string): Promise<string | null>;
};

/** QEMU runs as a user of its own and passes through to what is given to it, so others may enter, but not list. */
async function makeVmFolder(folder: string): Promise<void> {
	await mkdir(join(folder, ".."), { recursive: true, mode: 0o711 });
	await mkdir(folder, { recursive: true, mode: 0o711 });
	// Whatever the umask took away.
	await chmod(join(folder, ".."), 0o711);
	await chmod(folder, 0o711);
}

export const vmFolders: VmFolders = {
	make: makeVmFolder,
	remove: (folder) => rm(folder, { recursive: true, force: true }),
	removeSeed: (folder) => rm(seedPath(folder), { force: true }),
	writeRecord: (path, text) => writeFileDurably(path, text),
	readRecord: (path) =>
		readFile(path, "utf8").catch((error) => {
			if (errnoOf(error) === "ENOENT") return null;
			throw fileError(error, "reading a record of the node");
		}),
};

/**
 * The last `maxBytes` (4 MiB at most) of a file that a guest fills. Never follows a symlink and never opens anything but
 * a regular file. Empty when there is none.
 */
export async function readTail(path: string, maxBytes: number): Promise<Uint8Array> {
	const wanted = Math.min(Math.max(0, Math.floor(maxBytes)), bounds.serialLogBytes);
	const found = await lstat(path).catch(() => null);
	if (found === null) return new Uint8Array();
	if (!found.isFile()) throw notAFile();
	// O_NONBLOCK: a pipe put there between the two calls must not hold us.
	const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
	const file = await open(path, flags).catch((cause) => {
		throw new AppError("unavailable", "The serial log cannot be read.", { cause });
	});
	try {
		const stat = await file.stat();
		if (!stat.isFile()) throw notAFile();
		const buffer = new Uint8Array(Math.min(wanted, stat.size));
		const { bytesRead } = await file.read(buffer, 0, buffer.length, stat.size - buffer.length);
		return buffer.subarray(0, bytesRead);
	} finally {
		await file.close();
	}
}

const notAFile = () => new AppError("internal", "The serial log is not a file.");
