/** An open file as a stream, read only as fast as it is consumed. */
import type { FileHandle } from "node:fs/promises";
import { fileError } from "./file-errors.ts";

const chunkBytes = 256 * 1024;

/**
 * The first `sizeBytes` of the file; takes over `file` and closes it at the end, on error and on cancel. A file that
 * turns out shorter is an error of the stream, never a silent end.
 */
export function streamFile(file: FileHandle, sizeBytes: number, signal?: AbortSignal): ReadableStream<Uint8Array> {
	let position = 0;
	let closed = false;
	const close = async () => {
		if (closed) return;
		closed = true;
		await file.close();
	};
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				try {
					signal?.throwIfAborted();
					const buffer = new Uint8Array(Math.min(chunkBytes, sizeBytes - position));
					const { bytesRead } =
						buffer.length === 0 ? { bytesRead: 0 } : await file.read(buffer, 0, buffer.length, position);
					if (bytesRead === 0 && position < sizeBytes)
						throw new Error(`file ended at ${position} of ${sizeBytes} bytes`);
					position += bytesRead;
					if (bytesRead > 0) controller.enqueue(buffer.subarray(0, bytesRead));
					if (position < sizeBytes) return;
					await close();
					controller.close();
				} catch (error) {
					await close();
					controller.error(signal?.aborted ? signal.reason : fileError(error, "reading the file"));
				}
			},
			cancel: close,
		},
		{ highWaterMark: 0 },
	);
}
