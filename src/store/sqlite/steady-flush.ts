/**
 * Writes a file to the disk while another thread makes it. Left to the end, all of a large file would be written at once: the log's
 * writes to the same disk would wait behind it, and a kernel that holds too much unwritten data stops whoever writes next.
 *
 * What fails here is not noticed here: whoever makes the file syncs it, by a handle of before its first byte, and is told.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";

const everyMs = 200;

export async function flushSteadily<T>(path: string, clock: Clock, making: Promise<T>): Promise<T> {
	let file: FileHandle | null = null;
	let isMade = false;
	let flushing: Promise<void> = Promise.resolve();
	const flush = async (): Promise<void> => {
		file ??= await open(path, "r").catch(() => null);
		await file?.datasync().catch(() => {});
		if (!isMade) timer = clock.schedule(everyMs, start);
	};
	const start = (): void => {
		flushing = flush();
	};
	let timer = clock.schedule(everyMs, start);
	try {
		return await making;
	} finally {
		isMade = true;
		timer.cancel();
		await flushing;
		// Not before: to close a file ends the locks that SQLite has on it in this process.
		await (file as FileHandle | null)?.close().catch(() => {});
	}
}
