/**
 * A byte stream over libvirt's RPC: a screenshot coming down, or a console both ways (virnetclientstream.c).
 *
 * After its call was answered, packets of type "stream" with the call's serial go both ways. Status "continue" carries
 * data, and without data it says that nothing more will come; "ok" ends the stream and is confirmed by "ok"; "error" ends
 * it with libvirt's error. libvirt sends as fast as the socket takes it, so holding it back means not reading the
 * socket: each stream therefore has a connection of its own, and aborting is closing that.
 */
import type { Clock, Timer } from "../../../lib/clock.ts";
import { AppError } from "../../../lib/errors.ts";
import { LibvirtError, ProtocolError, readRemoteError } from "./errors.ts";
import { messageStatus } from "./protocol.ts";
import type { XdrReader } from "./xdr-reader.ts";

/** Kept for a reader that is slower than libvirt; beyond it the socket is not read. */
const readBufferBytes = 256 * 1024;
/** What may wait in our own send buffer before `write` waits. */
const writeBufferBytes = 256 * 1024;
const packetBytes = 64 * 1024;
const finishLimitMs = 10_000;

export interface ByteStream {
	/** Bytes from libvirt, in order. Nothing more is read from the socket while they are not taken. Cancel it to abort. */
	readonly readable: ReadableStream<Uint8Array>;
	/** Sends bytes; resolves when they are on their way, so that a caller who awaits it cannot run ahead of libvirt. */
	write(data: Uint8Array): Promise<void>;
	/** Ends the stream in good order and waits for libvirt's confirmation. */
	finish(): Promise<void>;
	/** Ends it at once, whatever is still under way. May be called at any time and again. */
	abort(): void;
	/** Everything up to the end, at most `maxBytes`; more is an error and aborts. */
	collect(maxBytes: number): Promise<Uint8Array>;
}

/** The connection as a stream sees it. */
export type StreamCarrier = {
	send(status: number, data: Uint8Array): void;
	readonly bufferedBytes: number;
	drained(): Promise<void>;
	pause(): void;
	resume(): void;
	/** Closes the connection; the stream is told by `closed`. */
	close(reason: string): void;
};

export class RpcStream implements ByteStream {
	readonly readable: ReadableStream<Uint8Array>;
	readonly #carrier: StreamCarrier;
	readonly #clock: Clock;
	readonly #procedure: string;
	#controller: ReadableStreamDefaultController<Uint8Array> | null = null;
	#state: "open" | "finishing" | "done" = "open";
	#error: AppError | null = null;
	#finishTimer: Timer | null = null;
	readonly #done = Promise.withResolvers<void>();

	constructor(carrier: StreamCarrier, clock: Clock, procedure: string) {
		this.#carrier = carrier;
		this.#clock = clock;
		this.#procedure = procedure;
		this.#done.promise.catch(() => {}); // whoever cares awaits it; the error also reaches the reader
		this.readable = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					this.#controller = controller;
				},
				pull: () => this.#carrier.resume(),
				cancel: () => this.abort(),
			},
			new ByteLengthQueuingStrategy({ highWaterMark: readBufferBytes }),
		);
	}

	/** A packet for this stream. `data` must be a copy. Throws ProtocolError. */
	received(status: number, data: Uint8Array, reader: () => XdrReader): void {
		if (this.#state === "done") return;
		if (status === messageStatus.error) {
			this.#end(new LibvirtError(readRemoteError(reader()), this.#procedure));
		} else if (status === messageStatus.ok) {
			if (data.length > 0) throw new ProtocolError("an end of stream with data");
			this.#end(null);
		} else if (data.length === 0) {
			this.#sendFinish();
		} else {
			this.#controller?.enqueue(data);
			if ((this.#controller?.desiredSize ?? 0) <= 0) this.#carrier.pause();
		}
	}

	/** The connection is gone. */
	closed(error: AppError): void {
		this.#end(error);
	}

	async write(data: Uint8Array): Promise<void> {
		for (let at = 0; at < data.length; at += packetBytes) {
			this.#assertOpen();
			this.#carrier.send(messageStatus.continue, data.subarray(at, at + packetBytes));
			if (this.#carrier.bufferedBytes > writeBufferBytes) await this.#carrier.drained();
		}
		this.#assertOpen();
	}

	finish(): Promise<void> {
		this.#sendFinish();
		return this.#done.promise;
	}

	abort(): void {
		if (this.#state === "done") return;
		this.#end(new AppError("canceled", "The stream was aborted."));
	}

	async collect(maxBytes: number): Promise<Uint8Array> {
		const parts: Uint8Array[] = [];
		let total = 0;
		for await (const part of this.readable) {
			total += part.length;
			// Leaving the loop cancels the stream, which aborts it.
			if (total > maxBytes) throw new AppError("hypervisor", `libvirt sent more than ${maxBytes} bytes.`);
			parts.push(part);
		}
		return Buffer.concat(parts);
	}

	#assertOpen(): void {
		if (this.#error) throw this.#error;
		if (this.#state !== "open") throw new AppError("wrong-state", "The stream has ended.");
	}

	#sendFinish(): void {
		if (this.#state !== "open") return;
		this.#state = "finishing";
		this.#carrier.send(messageStatus.ok, new Uint8Array(0));
		this.#carrier.resume();
		this.#finishTimer = this.#clock.schedule(finishLimitMs, () => {
			this.#end(new AppError("timeout", "libvirt did not confirm the end of a stream."));
		});
	}

	#end(error: AppError | null): void {
		if (this.#state === "done") return;
		this.#state = "done";
		this.#error = error;
		this.#finishTimer?.cancel();
		if (error) {
			this.#controller?.error(error);
			this.#done.reject(error);
		} else {
			this.#controller?.close();
			this.#done.resolve();
		}
		this.#carrier.close("the stream ended");
	}
}
