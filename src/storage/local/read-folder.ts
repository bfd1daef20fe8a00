/**
 * What is in a folder below a pool's, whoever put it there. The way down is opened name by name, each in the folder before it and
 * never through a link, so that nothing that is renamed meanwhile leads out of the pool. `find` reads the folder: one of a million
 * names never is in the memory as a whole, here or there, and a program can be ended.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { toRfc3339 } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { runForOutput } from "../../lib/run-for-output.ts";
import { isInside } from "../../model/host-paths.ts";
import { type ContentEntry, entryNamed, noSuchFolder } from "../content.ts";
import { errnoOf, fileError } from "../file-errors.ts";
import { parseMountinfo } from "../nfs/mountinfo.ts";

const limitMs = 60_000;
/** Type, length, blocks of 512 bytes, time of the last change, name; each entry ends with a zero byte, which no name has. */
const format = "%y %s %b %T@ %f\\0";
const maxEntryBytes = 1024;
const latestMs = Date.UTC(9999, 11, 31);

/** The folder, open; the caller closes it. Links on the way to `root` itself are followed. */
export async function openFolder(root: string, parts: readonly string[]): Promise<FileHandle> {
	await requireNoMount(root, parts);
	const flags = constants.O_RDONLY | constants.O_DIRECTORY;
	let current = await open(root, flags).catch((error: unknown) => {
		throw fileError(error, "opening the pool's folder");
	});
	for (const part of parts) {
		const above = current;
		try {
			current = await open(pathOf(above, part), flags | constants.O_NOFOLLOW);
		} catch (error) {
			throw openError(error);
		} finally {
			await above.close();
		}
	}
	return current;
}

/** Whatever it is called now. */
export const pathOf = ({ fd }: FileHandle, name: string): string => `/proc/${process.pid}/fd/${fd}/${name}`;

/** `more`: the folder has more than the first `limit` that were found. */
export async function readFolder(
	folder: FileHandle,
	limit: number,
	signal: AbortSignal | undefined,
): Promise<{ entries: ContentEntry[]; more: boolean }> {
	const args = [pathOf(folder, "."), "-ignore_readdir_race", "-mindepth", "1", "-maxdepth", "1", "-printf", format];
	const output = runForOutput("find", args, { timeoutMs: limitMs, ...(signal ? { signal } : {}) });
	const entries: ContentEntry[] = [];
	try {
		for await (const entry of entriesIn(output)) {
			if (entries.length === limit) return { entries, more: true };
			entries.push(entry);
		}
	} catch (error) {
		if (!isAppError(error, "internal")) throw error;
		throw new AppError("storage", "The folder could not be read.", { cause: error, context: error.context });
	}
	return { entries, more: false };
}

async function* entriesIn(output: ReadableStream<Uint8Array>): AsyncGenerator<ContentEntry> {
	let rest = Buffer.alloc(0);
	for await (const piece of output) {
		const bytes = Buffer.concat([rest, piece]);
		let from = 0;
		for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, from)) {
			yield entryOf(bytes.subarray(from, end));
			from = end + 1;
		}
		rest = Buffer.from(bytes.subarray(from));
		if (rest.length > maxEntryBytes) throw new AppError("internal", "What find says is not understood.");
	}
}

function entryOf(line: Buffer): ContentEntry {
	const ends: number[] = [];
	for (let at = line.indexOf(32); at >= 0 && ends.length < 4; at = line.indexOf(32, at + 1)) ends.push(at);
	const [type, size, blocks, changed] = line.subarray(0, ends[3]).toString("latin1").split(" ");
	const bytes = line.subarray((ends[3] ?? 0) + 1);
	const name = bytes.toString("utf8");
	const kind = type === "d" ? "folder" : type === "f" ? "file" : "other";
	return entryNamed(name, kind, {
		nameIsExact: Buffer.from(name, "utf8").equals(bytes),
		sizeBytes: kind === "file" ? count(size, 1) : null,
		allocatedBytes: kind === "file" ? count(blocks, 512) : null,
		modifiedAt: timeOf(changed),
	});
}

function count(text: string | undefined, unit: number): number | null {
	const number = Number(text) * unit;
	return Number.isSafeInteger(number) ? number : null;
}

/** Files may bear any time. */
function timeOf(seconds: string | undefined): string | null {
	const ms = Math.floor(Number(seconds) * 1000);
	return ms >= 0 && ms <= latestMs ? toRfc3339(ms) : null;
}

/** What is mounted below a pool is no part of it, and its server may be away for good: opening it would not come back. */
async function requireNoMount(root: string, parts: readonly string[]): Promise<void> {
	if (parts.length === 0) return;
	const top = await realpath(root).catch((error: unknown) => {
		throw fileError(error, "opening the pool's folder");
	});
	const path = join(top, ...parts);
	const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
	if (mounts.some(({ mountPoint }) => mountPoint !== top && isInside(mountPoint, top) && isInside(path, mountPoint)))
		throw new AppError("invalid", "Another file system is mounted there: it is no part of the pool.");
}

function openError(error: unknown): AppError {
	switch (errnoOf(error)) {
		case "ENOENT":
			return noSuchFolder(error);
		case "ENOTDIR":
		case "ELOOP":
			return new AppError("invalid", "This is no folder, or it is a link: links are not followed.", { cause: error });
		case "ENAMETOOLONG":
			return new AppError("invalid", "The name is too long.", { cause: error });
		default:
			return fileError(error, "opening the folder");
	}
}
