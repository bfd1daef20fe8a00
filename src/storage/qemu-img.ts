/**
 * The only user of `qemu-img` and `qemu-io`. Formats are always given, paths come after `--` and are absolute (so that QEMU cannot
 * take one for a protocol or a "json:" name). Errors: `no-space`, `in-use` (a running QEMU holds the file),
 * `canceled`, `timeout`, `unavailable` (not installed), otherwise `storage`.
 */
import { isAbsolute } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { assert } from "../lib/assert.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { type RunOptions, type RunResult, run } from "../lib/run.ts";
import type { Provisioning, VolumeFormat } from "../model/storage.ts";
import type { LongOptions, VolumeDamage } from "./driver.ts";
import { written } from "./written-file.ts";

const shortLimitMs = 60_000;
/** Of the qcow2 files that we make. */
const clusterBytes = 64 * 1024;
const copyLimitMs = 24 * 3600_000;

/** QEMU's word. A thick qcow2 disk has its tables, too. */
const preallocation = { thin: "off", thick: "falloc" } as const;

const creationOptions = (format: VolumeFormat, provisioning: Provisioning = "thin"): string =>
	`preallocation=${preallocation[provisioning]}${format === "qcow2" ? ",compat=1.1,lazy_refcounts=off" : ""}`;

/** Makes an empty disk file: sparse, or where it is thick and in a file, with all of its space. */
export async function createDisk(
	path: string,
	format: VolumeFormat,
	sizeBytes: number,
	{ provisioning, signal }: { provisioning?: Provisioning; signal?: AbortSignal } = {},
): Promise<void> {
	const options = creationOptions(format, provisioning);
	await writing(path, ["create", "-q", "-f", format, "-o", options, "--", absolute(path), `${sizeBytes}`], {
		// The tables of a large disk are written.
		...(provisioning === "thick" ? { timeoutMs: copyLimitMs } : {}),
		...(signal ? { signal } : {}),
	});
}

const Measured = Type.Object({ "fully-allocated": Type.Integer({ minimum: 1 }) });

/** What a qcow2 file that holds such a disk takes at most. */
export async function wholeQcow2Bytes(sizeBytes: number): Promise<number> {
	const { stdout } = await qemuImg(["measure", "--output=json", "-O", "qcow2", "--size", `${sizeBytes}`]);
	const notUnderstood = (cause?: unknown) =>
		new AppError("storage", "What qemu-img says of the size of a disk is not understood.", { cause });
	let value: unknown;
	try {
		value = JSON.parse(stdout);
	} catch (cause) {
		throw notUnderstood(cause);
	}
	if (!Value.Check(Measured, value)) throw notUnderstood();
	const measured: Static<typeof Measured> = value;
	return measured["fully-allocated"];
}

/**
 * Makes an empty qcow2 overlay. `backingName` is stored as written: relative names count from the overlay's folder. `unopened`:
 * the backing file is not looked at, be it that a running VM holds it; the caller knows that it is there.
 */
export async function createOverlay(
	path: string,
	backing: { name: string; format: VolumeFormat },
	sizeBytes: number,
	{ unopened = false }: { unopened?: boolean } = {},
): Promise<void> {
	// The name is made by us from ids, or was checked when it was adopted; "./" and "/" keep it from being a protocol.
	assert(/^(\.{0,2}\/)/.test(backing.name), "a backing file's name begins with / or ./ or ../");
	const options = ["-f", "qcow2", "-o", creationOptions("qcow2"), "-F", backing.format, "-b", backing.name];
	if (unopened) options.push("-u");
	await writing(path, ["create", "-q", ...options, "--", absolute(path), `${sizeBytes}`]);
}

/**
 * `pastCache`: what is written goes past the page cache. On a server that has room for a part of it only, the NFS client writes what it
 * has in its cache again and again, and QEMU waits for that without an end; past the cache each write ends, with an error.
 */
type Writing = { pastCache?: boolean };

const cacheMode = ({ pastCache = false }: Writing): string[] => (pastCache ? ["-t", "none"] : []);

/** Copies the content with its whole backing chain into a new file that stands alone; zeroes become holes, or unwritten space of a thick one. */
export async function copyDisk(
	from: { path: string; format: VolumeFormat },
	to: { path: string; format: VolumeFormat },
	options: LongOptions & Writing & { provisioning?: Provisioning },
): Promise<void> {
	const { progress, provisioning, signal } = options;
	const made = ["-O", to.format, "-o", creationOptions(to.format, provisioning), ...cacheMode(options)];
	const args = ["convert", "-p", "-f", from.format, ...made];
	await writing(to.path, [...args, "--", absolute(from.path), absolute(to.path)], {
		timeoutMs: copyLimitMs,
		...(signal ? { signal } : {}),
		onStdoutLine: reporting(progress),
	});
}

/** Of what `-p` prints. */
export const reporting = (progress: LongOptions["progress"]) => (line: string) => {
	const match = /\((\d+(?:\.\d+)?)\/100%\)/.exec(line);
	if (match) progress?.(Math.min(1, Number(match[1]) / 100));
};

/** What is added is a hole. */
export async function growDisk(path: string, format: VolumeFormat, sizeBytes: number): Promise<void> {
	await writing(path, ["resize", "-q", "-f", format, "--preallocation=off", "--", absolute(path), `${sizeBytes}`]);
}

/**
 * Writes what the qcow2 file `path` holds of its own into its backing file `into`, which then has the same content; `path` itself stays
 * as it is. The caller has held the header against its records: qemu-img follows it.
 */
export async function commitDisk(path: string, into: string, options: LongOptions & Writing): Promise<void> {
	const { progress, signal } = options;
	await writing(into, ["commit", "-p", "-d", "-f", "qcow2", ...cacheMode(options), "--", absolute(path)], {
		timeoutMs: copyLimitMs,
		...(signal ? { signal } : {}),
		onStdoutLine: reporting(progress),
	});
}

/**
 * Copies into the qcow2 disk `path` what it has from the chain below, and then says in its header that nothing is below. The caller has held
 * the headers of the chain against its records. Cut short, the header is as it was, and the content the same in any case. Each write is
 * flushed: after a power cut the header, which changes last, must not be there without what it relies on. `device`: a logical volume, past
 * the page cache.
 */
export async function flattenDisk(
	path: string,
	{ progress, signal, device = false, pastCache = false }: LongOptions & Writing & { device?: boolean },
): Promise<void> {
	const cache = ["-t", device || pastCache ? "directsync" : "writethrough", ...(device ? ["-T", "none"] : [])];
	await writing(path, ["rebase", "-p", "-f", "qcow2", ...cache, "-b", "", "--", absolute(path)], {
		timeoutMs: copyLimitMs,
		...(signal ? { signal } : {}),
		onStdoutLine: reporting(progress),
	});
}

/**
 * Undoes `flattenDisk`: the header names the disk below again, which is not looked at. What is zero there was not copied, so
 * the content is the same.
 */
export async function unflattenDisk(path: string, backing: { name: string; format: VolumeFormat }): Promise<void> {
	assert(/^(\.{0,2}\/)/.test(backing.name), "a backing file's name begins with / or ./ or ../");
	const on = ["-F", backing.format, "-b", backing.name];
	await writing(path, ["rebase", "-q", "-u", "-f", "qcow2", ...on, "--", absolute(path)]);
}

/** Of a qcow2 file. Errors in it are the answer, not a failure. */
export async function checkDisk(
	path: string,
	{ repair, signal }: LongOptions & { repair: boolean },
): Promise<VolumeDamage> {
	const args = ["check", "--output=json", "-f", "qcow2", ...(repair ? ["-r", "all"] : []), "--", absolute(path)];
	// 2: errors were found; 3: leaked clusters were.
	const options = { timeoutMs: copyLimitMs, okExitCodes: [0, 2, 3], ...(signal ? { signal } : {}) };
	const { stdout } = await qemuImg(args, options);
	const found = checkAnswer(stdout);
	const repaired = found("corruptions-fixed") + found("leaks-fixed");
	return { errors: found("corruptions") + found("check-errors"), leakedBytes: found("leaks") * clusterBytes, repaired };
}

/** Counts in what `qemu-img check` says, 0 where it says nothing. */
function checkAnswer(json: string): (name: string) => number {
	try {
		const answer: unknown = JSON.parse(json);
		const counts = new Map(Object.entries(answer as object));
		return (name) => {
			const count: unknown = counts.get(name);
			return typeof count === "number" && Number.isSafeInteger(count) && count >= 0 ? count : 0;
		};
	} catch (cause) {
		throw new AppError("storage", "What qemu-img says of the disk is not understood.", { cause });
	}
}

/** Fails with `in-use` when a running VM has the file open for writing. Changes nothing. */
export async function requireNotOpen(path: string, format: VolumeFormat): Promise<void> {
	// `info` reads a qcow2 file's tables, so it asks for QEMU's lock; of a raw file it reads nothing and asks for none.
	if (format === "qcow2") await qemuImg(["info", "--output=json", "-f", format, "--", absolute(path)]);
	else await qemuProgram("qemu-io", ["-f", format, "-c", "length", "--", absolute(path)], {});
}

/** `path`: the file that is written to. */
const writing = (path: string, args: string[], options: Partial<RunOptions> = {}): Promise<void> =>
	written(path, () => qemuImg(args, options));

export function qemuImg(args: string[], options: Partial<RunOptions> = {}): Promise<RunResult> {
	return qemuProgram("qemu-img", args, options);
}

async function qemuProgram(program: string, args: string[], options: Partial<RunOptions>): Promise<RunResult> {
	try {
		return await run(program, args, { timeoutMs: shortLimitMs, ...options });
	} catch (error) {
		throw qemuImgError(error);
	}
}

/** What `qemu-img` wrote on standard error, without the paths that people need not see. */
export function qemuImgMessage(error: unknown): string {
	const stderr = isAppError(error) && typeof error.context.stderr === "string" ? error.context.stderr : "";
	const line = stderr.trim().split("\n").at(-1) ?? "";
	return line
		.replace(/^qemu-img: /, "")
		.replace(/'\/[^']*'/g, "the file")
		.slice(0, 300);
}

function qemuImgError(error: unknown): AppError {
	if (!isAppError(error)) return new AppError("internal", "qemu-img could not be run.", { cause: error });
	if (error.code !== "internal") return error;
	const stderr = typeof error.context.stderr === "string" ? error.context.stderr : "";
	const options = { context: error.context, cause: error };
	if (/No space left on device|Disk quota exceeded/.test(stderr))
		return new AppError("no-space", "There is no space left in the storage pool.", options);
	if (/File too large/.test(stderr))
		return new AppError("no-space", "The pool's file system cannot hold a disk of this size.", options);
	if (/Failed to get (shared )?"[a-z ]+" lock|Is another process using the image/.test(stderr))
		return new AppError("in-use", "A running VM has this disk open.", options);
	return new AppError("storage", `qemu-img failed: ${qemuImgMessage(error) || "no message"}.`, options);
}

function absolute(path: string): string {
	assert(isAbsolute(path), "qemu-img gets absolute paths only");
	return path;
}
