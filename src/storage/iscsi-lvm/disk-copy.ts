/** qemu-img on logical volumes: sizes, empty disks, copies into them. Nothing here makes or activates a logical volume. */
import { MiB } from "../../lib/units.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { LongOptions } from "../driver.ts";
import { qemuImg, reporting, wholeQcow2Bytes } from "../qemu-img.ts";

const copyLimitMs = 24 * 3600_000;
const qcow2Options = "preallocation=off,compat=1.1,lazy_refcounts=off";
/** A disk that grows moves its tables, and needs both places for a moment. */
const tablesMoveBytes = 2 * MiB;

/** What a qcow2 disk takes at most: as much as its logical volume must have, since nobody extends it while the guest writes. */
export const qcow2Bytes = async (sizeBytes: number): Promise<number> =>
	(await wholeQcow2Bytes(sizeBytes)) + tablesMoveBytes;

/**
 * An empty overlay on `backing`. Its size is given and the backing disk is not opened: a VM may have it open for writing, paused, until
 * it is switched over.
 */
export async function makeOverlay(
	path: string,
	backing: { path: string; format: VolumeFormat },
	sizeBytes: number,
): Promise<void> {
	const on = ["-u", "-F", backing.format, "-b", backing.path];
	await qemuImg(["create", "-q", "-f", "qcow2", "-o", qcow2Options, ...on, "--", path, `${sizeBytes}`]);
}

export type CopySide = {
	path: string;
	format: VolumeFormat /** A logical volume: read and written past the page cache. */;
	device: boolean;
};

/** `reportedLength`: of the target, when it reads as zeroes already, holes are left out; else they are written. */
export async function copyInto(
	from: CopySide,
	to: CopySide & { isZero: boolean },
	options: LongOptions,
): Promise<void> {
	const { progress, signal } = options;
	const args = ["convert", "-p", "-n", "-f", from.format, "-O", to.format];
	if (from.device) args.push("-T", "none");
	if (to.device) args.push("-t", "none");
	if (to.isZero) args.push("--target-is-zero");
	await qemuImg([...args, "--", from.path, to.path], {
		timeoutMs: copyLimitMs,
		...(signal ? { signal } : {}),
		onStdoutLine: reporting(progress),
	});
}

/** The disk rests on `backing` afterwards, or on nothing; what differs is copied into it first. Cut short, it is as before. */
export async function rebaseDisk(
	path: string,
	backing: { path: string; format: VolumeFormat } | null,
	{ signal, progress }: LongOptions,
): Promise<void> {
	const on = backing === null ? ["-b", ""] : ["-F", backing.format, "-b", backing.path];
	await qemuImg(["rebase", "-p", "-f", "qcow2", ...on, "--", path], {
		timeoutMs: copyLimitMs,
		...(signal ? { signal } : {}),
		onStdoutLine: reporting(progress),
	});
}
