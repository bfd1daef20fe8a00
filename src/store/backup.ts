/** A snapshot as a stream: what `limiquantix cluster backup` gets. The file that it is read from has no name any more. */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { randomHex, systemRandom } from "../lib/random.ts";
import { KiB } from "../lib/units.ts";
import type { Backup, Store } from "./store.ts";

const blockBytes = 256 * KiB;

/** `takeSnapshot` writes a file; `folder` is one where a name with ".tmp" is taken for a leftover (snapshot-files.ts). */
export function backups(takeSnapshot: Store["snapshot"], folder: string): () => Promise<Backup> {
	let busy = false;
	return async () => {
		if (busy)
			throw new AppError("too-many-requests", "Another backup is being made. Try again in a moment.", {
				retryAfterMs: 2000,
			});
		busy = true;
		const path = join(folder, `backup-${randomHex(systemRandom, 8)}.tmp.db`);
		try {
			const { index, bytes } = await takeSnapshot(path);
			return { index, sizeBytes: bytes, stream: await streamOf(path) };
		} finally {
			busy = false;
			// Whoever reads goes on reading; whenever it ends, in whatever way, the space is free.
			await rm(path, { force: true });
		}
	};
}

async function streamOf(path: string): Promise<ReadableStream<Uint8Array>> {
	const file = await open(path, "r");
	return new ReadableStream<Uint8Array>({
		async pull(controller) {
			const { bytesRead, buffer } = await file.read(new Uint8Array(blockBytes));
			if (bytesRead > 0) return controller.enqueue(buffer.subarray(0, bytesRead));
			controller.close();
			await file.close();
		},
		cancel: () => file.close(),
	});
}
