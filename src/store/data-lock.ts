/**
 * One process owns a data folder: flock(2) on a file in it. The kernel lets go of the lock when the process ends, in
 * whatever way, so it is never stale; Bun opens files with O_CLOEXEC, so no child inherits it. Why flock: it holds
 * across network namespaces (an abstract socket does not), and unlike fcntl locks, which SQLite uses, it is not
 * dropped when some other part of the process opens and closes the same file. Bun has no call for it; bun:ffi
 * does, also in compiled executables.
 */
import { dlopen, FFIType, read } from "bun:ffi";
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";

const lockExclusive = 2;
const lockNonBlocking = 4;
const wouldBlock = 11;

export type DataLock = { release(): void };

/** `in-use` when another process has the folder. The folder exists. */
export function lockDataFolder(dataDir: string): DataLock {
	const libc = dlopen("libc.so.6", {
		flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
		__errno_location: { args: [], returns: FFIType.ptr },
	});
	const path = join(dataDir, "lock");
	const handle = openSync(path, "a+", 0o600);
	if (libc.symbols.flock(handle, lockExclusive | lockNonBlocking) !== 0) {
		const location = libc.symbols.__errno_location();
		const errno = location === null ? 0 : read.i32(location, 0);
		const holder = readFileSync(path, "utf8").trim();
		closeSync(handle);
		if (errno !== wouldBlock) throw new AppError("storage", `The file ${path} cannot be locked (errno ${errno}).`);
		throw new AppError(
			"in-use",
			`The data folder ${dataDir} is in use by another LimiQuantix daemon${holder === "" ? "" : ` (process ${holder})`}. Stop that one first, or give this one a folder of its own with --data-dir.`,
		);
	}
	ftruncateSync(handle);
	writeSync(handle, `${process.pid}\n`);
	let held = true;
	return {
		release() {
			if (!held) return;
			held = false;
			ftruncateSync(handle);
			closeSync(handle);
		},
	};
}
