/**
 * Sends one snapshot to one follower: pure, driven by the stream and by reads of the file. A few chunks are under way at
 * once. It survives a lost connection: `connected` offers again, and the receiver says from where to go on.
 *
 * The caller sends `messages`, answers each of `reads` with `dataRead`, and calls `failed` when it cannot; when `result` is
 * not null, it is over: `Raft.snapshotSent(to, result.index)`. It also limits how long it waits without any progress
 * (`progressBytes`), and then gives up.
 */
import { assert } from "../lib/assert.ts";
import {
	type Checksum,
	type DoneReason,
	isValidReceiverMessage,
	maxChunkBytes,
	type Offer,
	type ReceiverMessage,
	type SenderMessage,
} from "./snapshot-stream.ts";

export type SnapshotRead = { offset: number; length: number };
export type SenderResult = { index: number | null; reason: DoneReason | "failed" };

export type SenderOptions = { offer: Offer; crc32c: Checksum; chunkBytes?: number; chunksUnderWay?: number };

export class SnapshotSender {
	readonly #offer: Offer;
	readonly #crc32c: Checksum;
	readonly #chunkBytes: number;
	readonly #windowBytes: number;
	#state: "idle" | "offered" | "sending" = "idle";
	/** What the receiver has; what was read and sent; what is being read. */
	#acknowledged = 0;
	#next = 0;
	#reading: SnapshotRead | null = null;
	#result: SenderResult | null = null;
	#messages: SenderMessage[] = [];
	#reads: SnapshotRead[] = [];

	constructor({ offer, crc32c, chunkBytes = 256 * 1024, chunksUnderWay = 4 }: SenderOptions) {
		assert(chunkBytes > 0 && chunkBytes <= maxChunkBytes, "a chunk has a size");
		this.#offer = offer;
		this.#crc32c = crc32c;
		this.#chunkBytes = chunkBytes;
		this.#windowBytes = chunkBytes * chunksUnderWay;
	}

	/** A connection is there, the first or another one. */
	connected(): void {
		if (this.#result !== null) return;
		this.#state = "offered";
		this.#messages = [this.#offer];
		this.#reads = [];
		this.#reading = null;
	}

	disconnected(): void {
		this.#state = "idle";
		this.#messages = [];
		this.#reads = [];
		this.#reading = null;
	}

	step(message: ReceiverMessage): void {
		if (!isValidReceiverMessage(message) || message.snapshot !== this.#offer.snapshot || this.#result !== null) return;
		if (this.#state === "idle") return;
		if (message.type === "done") {
			const there = message.reason === "installed" || message.reason === "have";
			this.#result = { index: there ? this.#offer.meta.index : null, reason: message.reason };
			return;
		}
		if (message.offset > this.#offer.sizeBytes) return;
		if (message.type === "want") {
			// From here on, whatever was sent before.
			this.#state = "sending";
			this.#acknowledged = message.offset;
			this.#next = message.offset;
			this.#reading = null;
			this.#reads = [];
		} else if (this.#state === "sending" && message.offset > this.#acknowledged && message.offset <= this.#next) {
			this.#acknowledged = message.offset;
		}
		this.#readMore();
	}

	/** Exactly what was asked for. Data that was asked for before a new start is ignored. */
	dataRead({ offset, length }: SnapshotRead, data: Uint8Array): void {
		if (this.#reading?.offset !== offset || this.#reading.length !== length || this.#state !== "sending") return;
		this.#reading = null;
		if (data.length !== length) {
			this.failed();
			return;
		}
		this.#messages.push({ type: "chunk", snapshot: this.#offer.snapshot, offset, data, crc: this.#crc32c(data) });
		this.#next = offset + length;
		this.#readMore();
	}

	/** The file cannot be read, or the receiver is too slow. */
	failed(): void {
		this.#result ??= { index: null, reason: "failed" };
	}

	takeMessages(): SenderMessage[] {
		return this.#messages.splice(0);
	}

	takeReads(): SnapshotRead[] {
		return this.#reads.splice(0);
	}

	get result(): SenderResult | null {
		return this.#result;
	}

	get progressBytes(): number {
		return this.#acknowledged;
	}

	#readMore(): void {
		if (this.#state !== "sending" || this.#reading !== null || this.#result !== null) return;
		const limit = Math.min(this.#offer.sizeBytes, this.#acknowledged + this.#windowBytes);
		const length = Math.min(this.#chunkBytes, limit - this.#next);
		if (length <= 0) return;
		this.#reading = { offset: this.#next, length };
		this.#reads.push(this.#reading);
	}
}
