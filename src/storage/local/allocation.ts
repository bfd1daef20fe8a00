/**
 * Space of thick volumes: set aside with fallocate(2), which reserves blocks without writing them, and leaves what is in the file as it
 * is, also while QEMU has it open. Where a file system has no such call, programs write each block instead, which takes as long as
 * filling the disk and is undone by the first guest that discards: such pools have thin volumes only.
 *
 * A qcow2 disk is thick when its file has all that it can ever take (`qemu-img measure`), wherever in the file QEMU puts what the guest writes.
 */
import { rm, stat, statfs, truncate, writeFile } from "node:fs/promises";
import { AppError, isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { formatBytes, GiB } from "../../lib/units.ts";
import type { Provisioning, VolumeFormat } from "../../model/storage.ts";
import type { LongOptions } from "../driver.ts";
import { isFull, withFileErrors } from "../file-errors.ts";
import { sectorBytes } from "../names.ts";
import { wholeQcow2Bytes } from "../qemu-img.ts";
import { copiesOnWrite, noFallocate } from "./capabilities.ts";
import { volumeFile, volumeInfo } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import type { PoolFolder } from "./pool-folder.ts";
import type { VolumeRecord } from "./records.ts";

/** It writes metadata only; a server may still take its time over so much. */
const allocateLimitMs = 3_600_000;
/** Of one call: between two of them it is told how far it is. */
const allocateStepBytes = 16 * GiB;
const triedBytes = 64 * 1024;
const attributeLimitMs = 10_000;

/** What the file of a thick disk takes. */
export const thickBytes = (format: VolumeFormat, sizeBytes: number): Promise<number> =>
	format === "qcow2" ? wholeQcow2Bytes(sizeBytes) : Promise.resolve(sizeBytes);

/** Fails with `unsupported` for thick volumes where files cannot be given their space. */
export function requireProvisioning(
	{ allocates, whyThin }: LocalContext,
	provisioning: Provisioning | undefined,
): void {
	if (provisioning === "thick" && !allocates()) throw new AppError("unsupported", whyThin?.() ?? noFallocate);
}

/** `no-space` before anything is made. */
export async function requireRoom({ root }: PoolFolder, bytes: number): Promise<void> {
	const { bavail, bsize } = await withFileErrors("measuring the pool", () => statfs(root));
	if (bavail * bsize >= bytes) return;
	throw new AppError(
		"no-space",
		`There is no room for a thick volume of this size: the pool has ${formatBytes(bavail * bsize)} left, ${formatBytes(bytes)} are needed.`,
	);
}

export type AllocateOptions = LongOptions & {
	/** `keep-size`: the file stays as long as it is. `unshare`: blocks that another file has too are copied. */
	how?: "keep-size" | "unshare";
};

/**
 * The first `bytes` of the file have their space afterwards; the file is not shorter than that, unless its size is kept. Repeated, it
 * changes nothing. `storage` when the file system, or fallocate(1), cannot do that.
 */
export async function allocateFile(path: string, bytes: number, options: AllocateOptions = {}): Promise<void> {
	const { signal, progress, how } = options;
	const flags = how === undefined ? [] : [how === "unshare" ? "--unshare-range" : "--keep-size"];
	try {
		for (let at = 0; at < bytes; at += allocateStepBytes) {
			const length = Math.min(allocateStepBytes, bytes - at);
			await run("fallocate", [...flags, "--offset", `${at}`, "--length", `${length}`, "--", path], {
				timeoutMs: allocateLimitMs,
				...(signal ? { signal } : {}),
			});
			progress?.((at + length) / bytes);
		}
	} catch (error) {
		if (!isAppError(error, "internal")) throw error;
		const stderr = typeof error.context.stderr === "string" ? error.context.stderr : "";
		if (/No space left on device|Disk quota exceeded/.test(stderr))
			throw new AppError("no-space", "There is no space left in the storage pool.", { cause: error });
		if (/File too large/.test(stderr))
			throw new AppError("no-space", "The pool's file system cannot hold a disk of this size.", { cause: error });
		throw new AppError("storage", "Space for the volume could not be set aside.", { cause: error });
	}
}

/**
 * A disk whose file is this one gets the space that it will take when it is grown to `bytes`: growing it does not fail for want of space then.
 * The file is as long as before, but where the file system cannot do that (NFS), which is a raw disk that is grown already. Nothing is kept of
 * what could be had only in part.
 */
export async function reserveGrowth(path: string, bytes: number, options: LongOptions = {}): Promise<void> {
	const { size } = await stat(path);
	let mayBeLonger = false;
	try {
		await allocateFile(path, bytes, { ...options, how: "keep-size" }).catch((error: unknown) => {
			if (!isAppError(error, "storage")) throw error;
			mayBeLonger = true;
			return allocateFile(path, bytes, options);
		});
	} catch (error) {
		// An NFS client that was told of a failure knows nothing of what was done, and asks for no size that it takes the file to have.
		if (mayBeLonger) await truncate(path, size + sectorBytes);
		// Cuts off what lies past the end.
		await truncate(path, size);
		throw error;
	}
}

/**
 * The space that a thick volume lacks is set aside: it was grown, or layers were merged into it. One that rests on layers is thin until they
 * are gone. The caller holds the volume's lock; a VM may have it open.
 */
export async function fillThick(
	{ folder, sharesBlocks }: LocalContext,
	record: VolumeRecord,
	options: LongOptions,
): Promise<void> {
	if (record.provisioning !== "thick" || record.layers.length > 0 || record.backing !== null) return;
	const { sizeBytes } = await volumeInfo(folder, record);
	await folder.step("set space aside");
	const path = volumeFile(folder, record.id, record.file);
	const bytes = await thickBytes(record.format, sizeBytes);
	// Where files can share blocks, somebody may have cloned it.
	const unshared =
		sharesBlocks() &&
		(await allocateFile(path, bytes, { ...options, how: "unshare" }).then(
			() => true,
			(error) => {
				if (isAppError(error, "storage")) return false;
				throw error;
			},
		));
	if (!unshared) await allocateFile(path, bytes, options);
}

/** What statfs(2) says of btrfs. */
const btrfsMagic = 0x9123683e;

/**
 * Why files in this folder cannot be given their space, as a sentence; null when they can. Tried with a small one, whose blocks are counted
 * then (ZFS takes the call and reserves nothing). `path`: a name that is free.
 */
export async function whyOnlyThin(path: string): Promise<string | null> {
	try {
		await writeFile(path, new Uint8Array(0), { flag: "wx", mode: 0o600 });
		if ((await statfs(path)).type === btrfsMagic && !(await isWrittenInPlace(path))) return copiesOnWrite;
		await allocateFile(path, triedBytes);
		return (await stat(path)).blocks * 512 >= triedBytes ? null : noFallocate;
	} catch (error) {
		if (isAppError(error, "storage") || isAppError(error, "unavailable")) return noFallocate;
		// It would, if there were any.
		if (isAppError(error, "no-space") || isFull(error)) return null;
		throw error;
	} finally {
		await rm(path, { force: true });
	}
}

/** By the attribute of a file of btrfs, which it has from its folder (chattr +C) or from the mount (nodatacow). */
async function isWrittenInPlace(path: string): Promise<boolean> {
	const { stdout } = await run("lsattr", ["-d", "--", path], {
		...{ timeoutMs: attributeLimitMs, okExitCodes: [0, 1] },
	});
	return stdout.split(" ", 1)[0]?.includes("C") === true;
}
