/**
 * A stream of bytes in both directions, on a connection of its own: a console, an image, the disk of a VM that moves.
 *
 * - Each side sends at most a window more than the other has read: who reads slowly slows the sender down, and neither keeps more
 *   than a window.
 * - `end` closes one direction; the other goes on. Whoever has both ends, and knows that its own has arrived (a credit of
 *   nothing says so), closes the connection: then nothing is under way that closing could lose.
 * - `abort` ends both with an error that the other side's reads and writes fail with.
 *
 * One read and one write at a time. What was received before the end is read to its end, also when the connection is gone.
 */
import { StreamAbortSchema, StreamCreditSchema, StreamDataSchema } from "../gen/peer_pb.ts";
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { KiB, MiB } from "../lib/units.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import type { Connection } from "./connection.ts";
import type { Frame } from "./frame.ts";
import type { Peer } from "./hello.ts";
import { type Close, PeerError } from "./peer-error.ts";
import { decoded, decodeError, encoded, encodeError } from "./wire.ts";

export const windowBytes = MiB;
export const maxWindowBytes = 16 * MiB;
const maxDataBytes = 128 * KiB;
/** The other side's reader stands still. */
const stallMs = 60_000;

export const streamFrames = ["streamData", "streamCredit", "streamEnd", "streamAbort"] as const;

export type PeerStreamOptions = {
	connection: Connection;
	peer: Peer;
	clock: Clock;
	/** What the other side said when the stream was opened or accepted. */
	metadata: Uint8Array;
	/** How much it takes before it gives credit. */
	sendWindowBytes: number;
	stallMs?: number;
};

export class PeerStream {
	readonly peer: Peer;
	readonly metadata: Uint8Array;
	readonly #connection: Connection;
	readonly #clock: Clock;
	readonly #stallMs: number;
	readonly #received = new ChunkQueue();
	#credit: number;
	/** Received, and no credit given for it yet. */
	#outstanding = 0;
	/** Read, and no credit given for it yet. */
	#consumed = 0;
	#theyEnded = false;
	#weEnded = false;
	#endArrived = false;
	#error: Error | null = null;
	#wakeReader: (() => void) | null = null;
	#wakeWriter: (() => void) | null = null;

	constructor({ connection, peer, clock, metadata, sendWindowBytes, stallMs: stall = stallMs }: PeerStreamOptions) {
		this.#connection = connection;
		this.peer = peer;
		this.metadata = metadata;
		this.#clock = clock;
		this.#stallMs = stall;
		this.#credit = Math.min(sendWindowBytes, maxWindowBytes);
		connection.handle(streamFrames, {
			onFrame: (frame) => this.#frame(frame),
			onWritable: () => this.#wakeWriter?.(),
			onClose: (close) => this.#closed(close),
		});
	}

	/** The next bytes; null after the other side's end. Rejects with the error of an abort, or a PeerError. */
	async read(): Promise<Uint8Array | null> {
		assert(this.#wakeReader === null, "one read at a time");
		for (;;) {
			const chunk = this.#received.shift();
			if (chunk !== null) {
				this.#giveCredit(chunk.length);
				return chunk;
			}
			if (this.#theyEnded) return null;
			if (this.#error !== null) throw this.#error;
			await new Promise<void>((resolve) => {
				this.#wakeReader = resolve;
			});
			this.#wakeReader = null;
		}
	}

	/** Resolves when all of it is on its way. `timeout` when the other side reads nothing for a minute. */
	async write(data: Uint8Array): Promise<void> {
		assert(this.#wakeWriter === null, "one write at a time");
		assert(!this.#weEnded, "no write after the end");
		let rest = data;
		while (rest.length > 0) {
			if (this.#error !== null) throw this.#error;
			if (this.#credit <= 0 || !this.#connection.writable) {
				await this.#room();
				continue;
			}
			const part = rest.subarray(0, Math.min(this.#credit, maxDataBytes));
			this.#credit -= part.length;
			rest = rest.subarray(part.length);
			this.#connection.send("streamData", dataField(part.length), part);
		}
	}

	end(): void {
		if (this.#weEnded || this.#error !== null) return;
		this.#weEnded = true;
		this.#connection.send("streamEnd", new Uint8Array(0));
	}

	abort(error: AppError): void {
		if (this.#error !== null || (this.#weEnded && this.#theyEnded)) return;
		this.#connection.send("streamAbort", encoded(StreamAbortSchema, { errorJson: encodeError(error) }));
		this.#fail(error);
		this.#connection.end(done);
	}

	/** Reads what still comes, to no use, until the other side's end. */
	async discard(): Promise<void> {
		const late = new AppError("timeout", "Nobody reads this any more.");
		const timer = this.#clock.schedule(this.#stallMs, () => this.abort(late));
		try {
			while ((await this.read()) !== null);
		} catch {
			// Then nothing comes.
		}
		timer.cancel();
	}

	/** What comes, as a web stream; to cancel it is to abort. */
	readable(): ReadableStream<Uint8Array> {
		return new ReadableStream<Uint8Array>(
			{
				pull: async (controller) => {
					const chunk = await this.read();
					if (chunk === null) controller.close();
					else controller.enqueue(chunk);
				},
				cancel: () => this.abort(new AppError("canceled", "The reader has given up.")),
			},
			{ highWaterMark: 0 },
		);
	}

	/** Bytes received and not read. */
	get bufferedBytes(): number {
		return this.#received.bytes;
	}

	#frame({ name, payload }: Frame): void {
		if (name === "streamData") {
			const data = decoded(StreamDataSchema, payload, (message) => message.data);
			if (data === null || this.#theyEnded || this.#outstanding + data.length > windowBytes) this.#violated();
			else this.#take(data);
		} else if (name === "streamCredit") {
			const bytes = decoded(StreamCreditSchema, payload, (message) => message.bytes);
			if (bytes === null || this.#credit + bytes > maxWindowBytes) this.#violated();
			else this.#credited(bytes);
		} else if (name === "streamEnd") {
			this.#theyEnded = true;
			this.#connection.send("streamCredit", encoded(StreamCreditSchema, { bytes: 0 }));
			this.#wakeReader?.();
			this.#closeWhenDone();
		} else {
			const error = decoded(StreamAbortSchema, payload, ({ errorJson }) => decodeError(errorJson));
			this.#received.clear();
			this.#fail(error ?? decodeError(""));
			this.#connection.end(done);
		}
	}

	#take(data: Uint8Array): void {
		this.#outstanding += data.length;
		this.#received.push(data);
		this.#wakeReader?.();
	}

	#credited(bytes: number): void {
		if (bytes === 0) this.#endArrived = this.#weEnded;
		this.#credit += bytes;
		this.#wakeWriter?.();
		this.#closeWhenDone();
	}

	#violated(): void {
		this.#connection.end({ code: "protocol", message: "The rules of a stream were broken." });
	}

	#giveCredit(bytes: number): void {
		this.#consumed += bytes;
		if (this.#consumed < windowBytes / 4 || this.#theyEnded) return;
		this.#outstanding -= this.#consumed;
		this.#connection.send("streamCredit", encoded(StreamCreditSchema, { bytes: this.#consumed }));
		this.#consumed = 0;
	}

	async #room(): Promise<void> {
		const late = new AppError("timeout", "The other side stopped reading.");
		const timer = this.#clock.schedule(this.#stallMs, () => this.abort(late));
		await new Promise<void>((resolve) => {
			this.#wakeWriter = resolve;
		});
		this.#wakeWriter = null;
		timer.cancel();
	}

	#closeWhenDone(): void {
		if (this.#endArrived && this.#theyEnded) this.#connection.end(done);
	}

	#closed(close: Close): void {
		if (this.#weEnded && this.#theyEnded) return;
		this.#fail(new PeerError(close, true));
	}

	#fail(error: Error): void {
		this.#error ??= error;
		this.#wakeReader?.();
		this.#wakeWriter?.();
	}
}

/** StreamData{data} as protobuf writes it, up to where the data begins: it is large, and not copied for that. */
function dataField(length: number): Uint8Array {
	const bytes = [0x0a];
	let rest = length;
	for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
	return Uint8Array.from([...bytes, rest]);
}

export const done: Close = { code: "closing", message: "Done." };
