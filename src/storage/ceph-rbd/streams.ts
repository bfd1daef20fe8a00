/** Streams of disks: exact lengths, and something to be done at their end. */
import { AppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";

type Limits = {
	sizeBytes: number;
	/** What comes after `sizeBytes` is left out; else it is an error. */
	cut?: boolean;
	/** Before the end, when all has come; what it throws is the stream's error. */
	check?: () => Promise<void>;
	/** Once, whenever it ends. */
	release?: () => Promise<void>;
};

/** The same bytes, exactly so many. */
export function limited(source: ReadableStream<Uint8Array>, limits: Limits): ReadableStream<Uint8Array> {
	const reader = source.getReader();
	let left = limits.sizeBytes;
	let canceled = false;
	let released: Promise<void> | null = null;
	const release = () => {
		released ??= limits.release?.() ?? Promise.resolve();
		return released;
	};
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				try {
					const { done, value } = await reader.read();
					// A read that was open then says that the source has ended.
					if (canceled) return;
					if (done) {
						if (left > 0) throw new AppError("storage", `The disk ended ${left} bytes before its end.`);
						await limits.check?.();
						await release();
						return controller.close();
					}
					if (value.length > left && !limits.cut) throw new AppError("storage", "More came of the disk than its size.");
					const part = value.subarray(0, left);
					left -= part.length;
					controller.enqueue(part);
				} catch (error) {
					if (canceled) return;
					await reader.cancel().catch(() => {});
					await release().catch(() => {});
					controller.error(error);
				}
			},
			async cancel(reason) {
				canceled = true;
				await reader.cancel(reason).catch(() => {});
				await release();
			},
		},
		{ highWaterMark: 0 },
	);
}

/** The chunks of a stream that must bring exactly `sizeBytes`; whoever takes them hears of a failure at the end at the latest. */
export async function* exactly(
	stream: ReadableStream<Uint8Array>,
	sizeBytes: number,
	{ signal, progress }: LongOptions,
): AsyncGenerator<Uint8Array> {
	const reader = stream.getReader();
	const giveUp = () => void reader.cancel().catch(() => {});
	signal?.addEventListener("abort", giveUp);
	let done = 0;
	try {
		while (true) {
			const next = await reader.read();
			if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
			if (next.done) break;
			done += next.value.length;
			if (done > sizeBytes) throw new AppError("storage", "More of the volume came than was announced.");
			yield next.value;
			progress?.(done / sizeBytes);
		}
		if (done !== sizeBytes) throw new AppError("storage", `The volume ended after ${done} of ${sizeBytes} bytes.`);
	} finally {
		signal?.removeEventListener("abort", giveUp);
		await reader.cancel().catch(() => {});
	}
}
