/**
 * Full copies of a disk. Where the file system can let two files share their blocks (XFS, btrfs, NFS 4.2 on such a server), a
 * disk that is one file is copied so, at once and without taking space; anything else is read and written by qemu-img.
 */
import { constants } from "node:fs";
import { copyFile, rm, stat, writeFile } from "node:fs/promises";
import { isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import type { Provisioning, VolumeFormat } from "../../model/storage.ts";
import type { MakingOptions } from "../driver.ts";
import { errnoOf, isFull } from "../file-errors.ts";
import { sectorBytes } from "../names.ts";
import { copyDisk, requireNotOpen } from "../qemu-img.ts";
import { type Chain, type ChainFile, readOwnHeader } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import type { VolumeRecord } from "./records.ts";

/** Cloning only writes metadata; a server may still take its time over a large file. */
const cloneLimitMs = 300_000;
/** Of the qcow2 files that we make: others are written anew, so that a volume is always such a file. */
const ownClusterBits = 16;

/** What is copied. A thick disk shares nothing: of a block that two files share, each write of its guest would take a new one. */
export type WholeSource = {
	file: ChainFile;
	/** Nothing is below the file in its chain. */
	alone: boolean;
	provisioning: Provisioning | undefined;
};

/** The file on top of such a chain of the volume. */
export const wholeSource = ({ provisioning }: VolumeRecord, chain: Chain): WholeSource => ({
	...{ file: chain[0], alone: chain.length === 1, provisioning },
});

/** Errors as copyDisk. */
export async function copyWhole(
	{ folder, sharesBlocks, log }: LocalContext,
	{ file: from, alone, provisioning }: WholeSource,
	to: { path: string; format: VolumeFormat },
	options: MakingOptions,
): Promise<void> {
	// A thick copy has blocks of its own, and so has what it is made of.
	const ownBlocks = provisioning === "thick" || options.provisioning === "thick";
	if (sharesBlocks() && !ownBlocks && alone && from.format === to.format && (await isPlain(from))) {
		// Nobody writes to an image, so it need not be asked.
		if (from.owner.kind === "volume") await requireNotOpen(from.path, from.format);
		try {
			const { signal } = options;
			await run("cp", ["--reflink=always", "--no-preserve=all", "--", from.path, to.path], {
				timeoutMs: cloneLimitMs,
				...(signal ? { signal } : {}),
			});
			options.progress?.(1);
			return;
		} catch (error) {
			await rm(to.path, { force: true });
			if (isAppError(error, "canceled") || isAppError(error, "timeout")) throw error;
			log.info("A file could not be cloned and is copied", { path: from.path, error });
		}
	}
	await copyDisk(from, to, { ...options, pastCache: folder.sharedBy !== null });
}

async function isPlain({ path, format, owner }: ChainFile): Promise<boolean> {
	if (format === "raw") return (await stat(path)).size % sectorBytes === 0;
	const header = await readOwnHeader(path, owner.id);
	const alone = header.backingFile === null && !header.externalDataFile && !header.encrypted;
	return alone && header.version === 3 && header.clusterBits === ownClusterBits && header.snapshotCount === 0;
}

/** Whether files in this folder can share blocks: tried with a small one; null when there is no room for it. `path`: a name that is free. */
export async function canShareBlocks(path: string): Promise<boolean | null> {
	const copy = `${path}-copy`;
	try {
		await writeFile(path, new Uint8Array(4096), { flag: "wx", mode: 0o600 });
		await copyFile(path, copy, constants.COPYFILE_FICLONE_FORCE);
		return true;
	} catch (error) {
		if (["EOPNOTSUPP", "ENOTSUP", "EXDEV", "ENOTTY", "EINVAL", "ENOSYS", "EBADF"].includes(errnoOf(error) ?? ""))
			return false;
		if (isFull(error)) return null;
		throw error;
	} finally {
		for (const one of [copy, path]) await rm(one, { force: true });
	}
}
