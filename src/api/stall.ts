/**
 * Streams that may take as long as they like, as long as they move. The server's own idle limit does not serve here:
 * in Bun 1.4 it runs from the request on, whatever flows, so it is taken off these connections (Connection.keepOpen)
 * and this takes its place.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";

export const stallLimitMs = 60_000;

/**
 * What an upload sends: fails with `malformed` when nothing comes for a minute, with `too-large` once more than
 * `maxBytes` came.
 */
export function boundedUpload(
	stream: ReadableStream<Uint8Array>,
	options: { clock: Clock; maxBytes: number; tooLarge: () => AppError },
): ReadableStream<Uint8Array> {
	const reader = stream.getReader();
	let received = 0;
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				const chunk = await readInTime(reader, options.clock);
				if (chunk === null) return controller.close();
				received += chunk.length;
				if (received > options.maxBytes) {
					reader.cancel().catch(() => {});
					throw options.tooLarge();
				}
				controller.enqueue(chunk);
			},
			cancel: (reason) => reader.cancel(reason),
		},
		{ highWaterMark: 0 },
	);
}

async function readInTime(reader: ReadableStreamDefaultReader<Uint8Array>, clock: Clock): Promise<Uint8Array | null> {
	let timer: Timer | null = null;
	const late = new Promise<never>((_, reject) => {
		timer = clock.schedule(stallLimitMs, () => {
			reject(new AppError("malformed", "The upload stopped."));
			reader.cancel().catch(() => {});
		});
	});
	try {
		const { done, value } = await Promise.race([reader.read(), late]);
		return done ? null : value;
	} finally {
		(timer as Timer | null)?.cancel();
	}
}

/** What a download gets: ends, and cancels its source, when the client takes nothing for a minute. */
export function boundedDownload(stream: ReadableStream<Uint8Array>, clock: Clock): ReadableStream<Uint8Array> {
	const reader = stream.getReader();
	let timer: Timer | null = null;
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				timer?.cancel();
				const { done, value } = await reader.read();
				if (done) return controller.close();
				controller.enqueue(value);
				timer = clock.schedule(stallLimitMs, () => {
					controller.error(new AppError("timeout", "The client stopped reading."));
					reader.cancel().catch(() => {});
				});
			},
			cancel(reason) {
				timer?.cancel();
				return reader.cancel(reason);
			},
		},
		{ highWaterMark: 1 },
	);
}
