/**
 * Streams that may take as long as they like, as long as they move and as long as the credential lasts that they were
 * begun with. The server's own idle limit does not serve here: in Bun 1.4 it runs from the request on, whatever flows,
 * so it is taken off these connections (Connection.keepOpen) and this takes its place.
 */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { KiB } from "../lib/units.ts";
import { credentialEnded } from "./credential-end.ts";

export const stallLimitMs = 60_000;
/** What must move before the client may keep us waiting for another minute: a byte now and then is a stall too. */
export const paceBytes = 256 * KiB;

/** How long one client may still keep us waiting. Our own disk's time does not count. */
class Patience {
	readonly #clock: Clock;
	#leftMs = stallLimitMs;
	#moved = 0;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Begins a wait; `onLate` when it takes too long. The function returned ends it. */
	wait(onLate: () => void): () => void {
		const began = this.#clock.monotonicMs();
		const timer = this.#clock.schedule(Math.max(0, this.#leftMs), onLate);
		return () => {
			timer.cancel();
			this.#leftMs -= this.#clock.monotonicMs() - began;
		};
	}

	moved(bytes: number): void {
		this.#moved += bytes;
		if (this.#moved < paceBytes) return;
		this.#moved = 0;
		this.#leftMs = stallLimitMs;
	}
}

/**
 * What an upload sends: fails with `malformed` when it stalls, with `too-large` once more than `maxBytes` came, with
 * the reason of `ended` when that is aborted.
 */
export function boundedUpload(
	stream: ReadableStream<Uint8Array>,
	options: { clock: Clock; maxBytes: number; tooLarge: () => AppError; ended: AbortSignal },
): ReadableStream<Uint8Array> {
	const { ended } = options;
	const reader = stream.getReader();
	const patience = new Patience(options.clock);
	let received = 0;
	const next = async (): Promise<Uint8Array | null> => {
		ended.throwIfAborted();
		const failure = Promise.withResolvers<never>();
		const onEnded = () => failure.reject(ended.reason);
		ended.addEventListener("abort", onEnded);
		const endWait = patience.wait(() => failure.reject(new AppError("malformed", "The upload stopped.")));
		try {
			const { done, value } = await Promise.race([reader.read(), failure.promise]);
			return done ? null : value;
		} finally {
			endWait();
			ended.removeEventListener("abort", onEnded);
		}
	};
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				try {
					const chunk = await next();
					if (chunk === null) return controller.close();
					patience.moved(chunk.length);
					received += chunk.length;
					if (received > options.maxBytes) throw options.tooLarge();
					controller.enqueue(chunk);
				} catch (error) {
					reader.cancel().catch(() => {});
					throw error;
				}
			},
			cancel: (reason) => reader.cancel(reason),
		},
		{ highWaterMark: 0 },
	);
}

/**
 * What a download gets: ends, and cancels its source, when the client stalls and when the credential ends. `watch`
 * calls back when that is; what it returns ends the watch.
 */
export function boundedDownload(
	stream: ReadableStream<Uint8Array>,
	options: { clock: Clock; watch: (onEnded: () => void) => () => void },
): ReadableStream<Uint8Array> {
	const reader = stream.getReader();
	const patience = new Patience(options.clock);
	/** Not taken by the client yet. */
	let offered = 0;
	let over = false;
	let endWait = (): void => {};
	let endWatch = (): void => {};
	const finish = () => {
		over = true;
		endWait();
		endWatch();
	};
	return new ReadableStream<Uint8Array>(
		{
			start(controller) {
				endWatch = options.watch(() => fail(controller, credentialEnded()));
			},
			async pull(controller) {
				endWait();
				patience.moved(offered);
				const { done, value } = await reader.read().catch((error: unknown) => {
					finish();
					throw error;
				});
				if (over) return;
				if (done) {
					finish();
					return controller.close();
				}
				offered = value.length;
				controller.enqueue(value);
				endWait = patience.wait(() => fail(controller, new AppError("timeout", "The client stopped reading.")));
			},
			cancel(reason) {
				finish();
				return reader.cancel(reason);
			},
		},
		{ highWaterMark: 1 },
	);

	function fail(controller: ReadableStreamDefaultController<Uint8Array>, error: AppError): void {
		if (over) return;
		finish();
		controller.error(error);
		reader.cancel().catch(() => {});
	}
}
