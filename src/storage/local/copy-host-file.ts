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
const sayEveryBytes = 16 * MiB;

/**
 * The first `sizeBytes` bytes into `path`, which is there and empty; not flushed. The SHA-256, in hex. `limited`: what is done with the
 * target. Fails with `wrong-state` when the file is shorter by now, `no-space`, `canceled`, `storage`.
 */
export async function copyHostFile(
	from: Readable,
	sizeBytes: number,
	path: string,
	{ signal, progress }: LongOptions,
	limited: (target: Writable) => Writable = (target) => target,
): Promise<string> {
	const target = await withFileErrors("opening the received file", () =>
		open(path, constants.O_WRONLY | constants.O_NOFOLLOW),
	);
	try {
		const hash = new RunningHash();
		const writer = new SparseWriter(limited(target), 0, hash);
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
		let saidBytes = -sayEveryBytes;
		let next = read(0, buffers[0]);
		for (let turn = 1; writer.position < sizeBytes; turn++) {
			if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
			const part = await next;
			if (part.length === 0) throw new AppError("wrong-state", "The file became shorter while it was being copied.");
			next = read(writer.position + part.length, buffers[turn % 2 === 0 ? 0 : 1]);
			await writer.append(part);
			if (writer.position - saidBytes < sayEveryBytes) continue;
			saidBytes = writer.position;
			progress?.(saidBytes / sizeBytes, "Copying the file");
		}
		await writer.settle();
		return hash.digest();
	} finally {
		await target.close();
	}
}
