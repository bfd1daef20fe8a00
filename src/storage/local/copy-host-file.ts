/** All of an open file of this node into a file of a pool, in one process: read ahead, written with holes, hashed on the way. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { LongOptions } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import type { Readable } from "../inspect/inspect-image.ts";
import { RunningHash } from "./running-hash.ts";
import { SparseWriter, type Writable } from "./sparse-writer.ts";

/** With parts of 1 MiB waiting for the next turn of the event loop was most of the time. */
const partBytes = 4 * MiB;
/** So that the end does not take long, and what piles up in memory does not hold up others. */
const flushEveryBytes = 64 * MiB;

/** What a step of the target may take (default: as long as it likes); it fails with `timeout` past that. */
export type Limited = <T>(work: Promise<T>) => Promise<T>;

/**
 * The first `sizeBytes` bytes into `path`, which is there and empty; they are on the disk then. The SHA-256, in hex. Fails with
 * `wrong-state` when the file is shorter by now, `no-space`, `canceled`, `timeout`, `storage`.
 */
export async function copyHostFile(
	from: Readable,
	sizeBytes: number,
	path: string,
	{ signal, progress }: LongOptions,
	limited: Limited = (work) => work,
): Promise<string> {
	const target = await withFileErrors("opening the received file", () =>
		limited(open(path, constants.O_WRONLY | constants.O_NOFOLLOW)),
	);
	let isClosed = false;
	// A file of a server may say only here that there was no room.
	const close = () => {
		isClosed = true;
		return withFileErrors("writing the file", () => limited(target.close()));
	};
	try {
		const hash = new RunningHash();
		const writer = new SparseWriter(limitedFile(target, limited), 0, hash);
		// While one part is on its way to the disk, the next is copied.
		let flushing = Promise.resolve();
		const flush = () => {
			const result = withFileErrors("flushing the file", () => limited(target.datasync()));
			result.catch(() => {});
			return result;
		};
		let flushedBytes = 0;
		const buffers = [new Uint8Array(partBytes), new Uint8Array(partBytes)] as const;
		const read = (position: number, into: Uint8Array) => {
			const length = Math.min(partBytes, sizeBytes - position);
			const part = withFileErrors("reading the file", async () =>
				into.subarray(0, length === 0 ? 0 : (await from.read(into, 0, length, position)).bytesRead),
			);
			// Told where it is waited for.
			part.catch(() => {});
			return part;
		};
		let next = read(0, buffers[0]);
		for (let turn = 1; writer.position < sizeBytes; turn++) {
			if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
			const part = await next;
			if (part.length === 0) throw new AppError("wrong-state", "The file became shorter while it was being copied.");
			next = read(writer.position + part.length, buffers[turn % 2 === 0 ? 0 : 1]);
			await writer.append(part);
			progress?.(writer.position / sizeBytes, "Copying the file");
			if (writer.position - flushedBytes < flushEveryBytes) continue;
			await flushing;
			flushing = flush();
			flushedBytes = writer.position;
		}
		await flushing;
		await withFileErrors("writing the file", () => writer.settle());
		await flush();
		await close();
		return hash.digest();
	} finally {
		// Nobody waits for that where the pool does not answer.
		if (!isClosed) void close().catch(() => {});
	}
}

const limitedFile = (file: Writable, limited: Limited): Writable => ({
	write: (...what) => limited(file.write(...what)),
	truncate: (length) => limited(file.truncate(length)),
});
