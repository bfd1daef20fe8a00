/**
 * One process owns a data folder: flock(2) on a file in it. The kernel lets go of the lock when the process ends, in
 * whatever way, so it is never stale; Bun opens files with O_CLOEXEC, so no child inherits it. Why flock: it holds
 * across network namespaces (an abstract socket does not), and unlike fcntl locks, which SQLite uses, it is not
 * dropped when some other part of the process opens and closes the same file. Bun has no call for it; bun:ffi
 * does, also in compiled executables.
 */
import { dlopen, FFIType, read } from "bun:ffi";
import {
	closeSync,
	existsSync,
	fstatSync,
	ftruncateSync,
	openSync,
	readFileSync,
	rmSync,
	statSync,
	writeSync,
} from "node:fs";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";

const lockExclusive = 2;
const lockNonBlocking = 4;
const wouldBlock = 11;
const maxTries = 10;

export type DataLock = {
	release(): void;
	/** And takes the file away when it was made for this: the folder is as if nobody had been here. */
	discard(): void;
};

const openLibc = () =>
	dlopen("libc.so.6", {
		flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
		__errno_location: { args: [], returns: FFIType.ptr },
	});
type Libc = ReturnType<typeof openLibc>;

/** `in-use` when another process has the folder. The folder exists. */
export function lockDataFolder(dataDir: string): DataLock {
	const libc = openLibc();
	const path = join(dataDir, "lock");
	const isNew = !existsSync(path);
	let handle = lockFile(libc, path, dataDir);
	// Whoever had it has discarded the file after it was opened here: the next one would lock another.
	for (let tries = 0; tries < maxTries && !isAt(path, handle); tries++) {
		closeSync(handle);
		handle = lockFile(libc, path, dataDir);
	}
	noteHolder(handle);
	let held = true;
	const release = () => {
		if (!held) return;
		held = false;
		ftruncateSync(handle);
		closeSync(handle);
	};
	return {
		release,
		discard() {
			if (held && isNew) rmSync(path, { force: true });
			release();
		},
	};
}

/** For people. On a disk without a free byte the lock holds without it. */
function noteHolder(handle: number): void {
	try {
		ftruncateSync(handle);
		writeSync(handle, `${process.pid}\n`);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
	}
}

function lockFile(libc: Libc, path: string, dataDir: string): number {
	const handle = openSync(path, "a+", 0o600);
	if (libc.symbols.flock(handle, lockExclusive | lockNonBlocking) === 0) return handle;
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

function isAt(path: string, handle: number): boolean {
	const there = statSync(path, { throwIfNoEntry: false });
	return there !== undefined && there.ino === fstatSync(handle).ino;
}
