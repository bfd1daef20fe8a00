/**
 * Reading and overwriting logical volumes, by children with a limit: a device may stop answering at any time, and the daemon must not
 * wait for it.
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { LongOptions } from "../driver.ts";
import { parseQcow2Header, type Qcow2Header } from "../inspect/qcow2-header.ts";
import { boundedRun } from "./bounded-run.ts";

const readLimitMs = 30_000;
/** Of a qcow2 disk that we made: its header and all extensions are in the first cluster. */
const headerBytes = 64 * 1024;
/** One call of the kernel; between two of them the work can be ended. */
const zeroStepBytes = 256 * MiB;
/** A slow target writes this much within the limit. */
const zeroLimitMs = 10 * 60_000;

async function readDevice(path: string, start: number, length: number): Promise<Uint8Array> {
	const args = [
		"--address-radix=n",
		"--format=x1",
		"--output-duplicates",
		`--skip-bytes=${start}`,
		`--read-bytes=${length}`,
	];
	const { stdout } = await boundedRun("od", [...args, "--", path], {
		timeoutMs: readLimitMs,
		maxOutputBytes: 64 * MiB,
	});
	return Uint8Array.from(Buffer.from(stdout.replace(/\s+/g, ""), "hex"));
}

/** Past the page cache, which may know a device that is gone. */
export async function isReadable(path: string, timeoutMs: number): Promise<boolean> {
	try {
		const args = [`if=${path}`, "of=/dev/null", "bs=4096", "count=1", "iflag=direct", "status=none"];
		await boundedRun("dd", args, { timeoutMs });
		return true;
	} catch (error) {
		if (!isAppError(error)) throw error;
		return false;
	}
}

/** Whether this ASCII text is in the beginning of the device. */
export async function holdsText(path: string, length: number, text: string): Promise<boolean> {
	return Buffer.from(await readDevice(path, 0, length)).includes(text);
}

export async function readQcow2Header(path: string, lv: string): Promise<Qcow2Header> {
	const bytes = await readDevice(path, 0, headerBytes);
	try {
		return parseQcow2Header(bytes);
	} catch (cause) {
		throw new AppError("corrupt", `The disk ${lv} cannot be used: its header is damaged.`, { cause });
	}
}

/** True when the qcow2 disk maps no cluster of its own: it is as when made. */
export async function holdsNoData(path: string, header: Pick<Qcow2Header, "l1Size" | "l1Offset">): Promise<boolean> {
	if (header.l1Size > 1_000_000) return false;
	return (await readDevice(path, header.l1Offset, header.l1Size * 8)).every((byte) => byte === 0);
}

/** For a part of a longer work, which begins at `from` of it and ends at `to`. */
export function part({ signal, progress }: LongOptions, from: number, to: number): LongOptions {
	return {
		...(signal ? { signal } : {}),
		...(progress
			? { progress: (ratio, message) => progress(ratio === null ? null : from + (to - from) * ratio, message) }
			: {}),
	};
}

export type ZeroOptions = LongOptions & {
	/** Called after each step with the place up to which everything is zero. */
	reached?: (position: number) => Promise<void>;
	/** Fails when anything on this node has the device. */
	alone?: boolean;
};

/** Overwrites with zeroes (the target may do it by itself). Can be ended between two steps, and goes on at `start`. */
export async function zeroDevice(path: string, start: number, end: number, options: ZeroOptions = {}): Promise<void> {
	const { signal, progress } = options;
	for (let at = start; at < end; ) {
		signal?.throwIfAborted();
		const length = Math.min(zeroStepBytes, end - at);
		const args = [
			"--zeroout",
			...(options.alone ? [] : ["--force"]),
			"--offset",
			`${at}`,
			"--length",
			`${length}`,
			"--",
			path,
		];
		await boundedRun("blkdiscard", args, { timeoutMs: zeroLimitMs });
		at += length;
		progress?.((at - start) / (end - start));
		await options.reached?.(at);
	}
}

/** How often a long overwriting is recorded. */
export const recordEveryBytes = 4 * GiB;

/** What an operation failed with when it was ended from outside. */
export function canceledOr(error: unknown, signal: AbortSignal | undefined, what: string): unknown {
	if (signal?.aborted && !isAppError(error, "canceled"))
		return new AppError("canceled", `${what} was canceled.`, { cause: error });
	return error;
}
