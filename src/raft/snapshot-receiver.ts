/**
 * Receives one snapshot at a time: pure, driven by the stream and by reports of the caller, who keeps the bytes in a file of
 * the snapshot's name. After a lost connection, or a restart with the file still there (`resume`), it goes on where it was. A
 * newer snapshot replaces an older one; an older or an equally old one is refused while one is under way. What is left from
 * before a restart waits only for its own sender: every other snapshot replaces it.
 *
 * The caller carries out `actions` in order, and reports:
 *   begin      throw away what is there of any snapshot, make an empty file
 *   write      at its end; then `written(offset)`, or `noSpace()`; `crc`: of all up to its end, to be kept for `resume`
 *   finish     make the file durable; then `Raft.snapshotReceived`, and when that says "install", install it and call
 *              `Raft.snapshotInstalled`; then `finished(reason)`, with "installed" or the core's verdict
 *   discard    throw the file away
 * and sends `messages`. Chunks beyond what is being written are dropped and asked for again.
 */
import { type MutantName, planted } from "./mutants.ts";
import {
	type Checksum,
	type Chunk,
	type DoneReason,
	isValidSenderMessage,
	type Offer,
	type ReceiverMessage,
	type SenderMessage,
} from "./snapshot-stream.ts";
import type { NodeId } from "./types.ts";

export type ReceiverAction =
	| { type: "begin"; offer: Offer }
	| { type: "write"; offset: number; data: Uint8Array; crc: number }
	| { type: "finish"; offer: Offer }
	| { type: "discard" };

/** `crc`: of the bytes so far. */
export type Resume = { offer: Offer; offset: number; crc: number };
export type ReceiverOptions = {
	clusterId: string;
	nodeId: NodeId;
	crc32c: Checksum;
	resume?: Resume;
	/** Chunks that wait to be written. */
	maxPendingWrites?: number;
	mutant?: MutantName;
};

export class SnapshotReceiver {
	readonly #clusterId: string;
	readonly #nodeId: NodeId;
	readonly #crc32c: Checksum;
	readonly #maxPending: number;
	readonly mutant: MutantName | null;
	#offer: Offer | null = null;
	/** Bytes taken and their checksum; bytes written and theirs. */
	#taken = 0;
	#crc = 0;
	#written = 0;
	#writtenCrc = 0;
	/** Of the writes under way: where each ends, and the checksum up to there. */
	#pending: { end: number; crc: number }[] = [];
	/** A chunk was dropped because too many were waiting. */
	#overrun = false;
	#finishing = false;
	/** It is from before a restart, and nobody has offered it since. */
	#left = false;
	/** It was asked to send again from `#taken`; what else comes is from before that. */
	#asked = false;
	#actions: ReceiverAction[] = [];
	#messages: ReceiverMessage[] = [];

	constructor({ clusterId, nodeId, crc32c, resume, maxPendingWrites = 8, mutant }: ReceiverOptions) {
		this.#clusterId = clusterId;
		this.#nodeId = nodeId;
		this.#crc32c = crc32c;
		this.#maxPending = maxPendingWrites;
		this.mutant = mutant ?? null;
		if (resume === undefined) return;
		this.#left = true;
		this.#offer = resume.offer;
		this.#taken = resume.offset;
		this.#written = resume.offset;
		this.#crc = resume.crc;
		this.#writtenCrc = resume.crc;
	}

	step(message: SenderMessage): void {
		if (!isValidSenderMessage(message)) return;
		if (message.type === "offer") this.#offered(message);
		else this.#chunk(message);
	}

	/** The oldest write is done: the file is `offset` bytes long. A write of a snapshot that was replaced is not reported. */
	written(offset: number): void {
		const offer = this.#offer;
		const oldest = this.#pending[0];
		if (offer === null || oldest?.end !== offset) return;
		this.#pending.shift();
		this.#written = offset;
		this.#writtenCrc = oldest.crc;
		this.#messages.push({ type: "have", snapshot: offer.snapshot, offset });
		if (this.#overrun) this.#want(offer);
		this.#finishWhenComplete(offer);
	}

	/** The disk is full: all of it is given up. */
	noSpace(): void {
		if (this.#offer !== null) this.#giveUp("no-space");
	}

	/** All of it came otherwise. */
	overtaken(): void {
		if (this.#offer !== null && !this.#finishing) this.#giveUp("have");
	}

	finished(reason: DoneReason): void {
		if (this.#offer !== null && this.#finishing) this.#end(reason);
	}

	takeActions(): ReceiverAction[] {
		return this.#actions.splice(0);
	}

	takeMessages(): ReceiverMessage[] {
		return this.#messages.splice(0);
	}

	/** Of the one that is arriving; null when there is none, or it is whole. */
	get arriving(): Offer | null {
		return this.#finishing ? null : this.#offer;
	}

	/** What a caller keeps to go on after a restart. */
	get state(): Resume | null {
		return this.#offer === null ? null : { offer: this.#offer, offset: this.#written, crc: this.#writtenCrc };
	}

	#offered(offer: Offer): void {
		if (offer.clusterId !== this.#clusterId || offer.to !== this.#nodeId) return;
		const current = this.#offer;
		if (current === null) {
			this.#begin(offer);
		} else if (this.#isSame(current, offer)) {
			// The same file again, maybe by another connection, maybe of a newer term.
			this.#offer = offer.term > current.term ? offer : current;
			this.#left = false;
			if (!this.#finishing) this.#want(offer);
			// All of it was there before a restart.
			this.#finishWhenComplete(this.#offer);
		} else if (this.#left) {
			this.#begin(offer);
		} else if (this.#finishing || !isNewer(offer, current)) {
			this.#messages.push({ type: "done", snapshot: offer.snapshot, reason: "busy" });
		} else {
			this.#messages.push({ type: "done", snapshot: current.snapshot, reason: "replaced" });
			this.#begin(offer);
		}
	}

	#isSame(a: Offer, b: Offer): boolean {
		if (planted(this, "chunk-of-other-snapshot")) return true;
		return a.snapshot === b.snapshot && a.sizeBytes === b.sizeBytes && a.crc === b.crc;
	}

	#begin(offer: Offer): void {
		this.#offer = offer;
		this.#taken = 0;
		this.#crc = 0;
		this.#written = 0;
		this.#writtenCrc = 0;
		this.#pending = [];
		this.#finishing = false;
		this.#left = false;
		this.#actions.push({ type: "begin", offer });
		this.#want(offer);
		this.#finishWhenComplete(offer);
	}

	#want({ snapshot }: Offer): void {
		this.#asked = true;
		this.#overrun = false;
		this.#messages.push({ type: "want", snapshot, offset: this.#taken });
	}

	#chunk({ snapshot, offset, data, crc }: Chunk): void {
		const offer = this.#offer;
		if (offer === null || this.#finishing) return;
		if (snapshot !== offer.snapshot && !planted(this, "chunk-of-other-snapshot")) return;
		if (offset + data.length > offer.sizeBytes) return;
		if (offset !== this.#taken && !planted(this, "chunk-offset-ignored")) {
			// From before the last "want", or a sign that one before it was lost.
			if (offset > this.#taken && !this.#asked) this.#want(offer);
			return;
		}
		if (this.#crc32c(data) !== crc && !planted(this, "chunk-crc-ignored")) {
			this.#want(offer);
			return;
		}
		if (this.#pending.length >= this.#maxPending) {
			this.#overrun = true;
			return;
		}
		this.#asked = false;
		this.#crc = this.#crc32c(data, this.#crc);
		this.#actions.push({ type: "write", offset: this.#taken, data, crc: this.#crc });
		this.#taken += data.length;
		this.#pending.push({ end: this.#taken, crc: this.#crc });
	}

	#finishWhenComplete(offer: Offer): void {
		if (this.#written < offer.sizeBytes || this.#finishing) return;
		if (this.#crc !== offer.crc && !planted(this, "chunk-crc-ignored") && !planted(this, "chunk-offset-ignored")) {
			this.#giveUp("damaged");
			return;
		}
		this.#finishing = true;
		this.#actions.push({ type: "finish", offer });
	}

	#giveUp(reason: DoneReason): void {
		this.#actions = this.#actions.filter(({ type }) => type !== "write");
		this.#actions.push({ type: "discard" });
		this.#end(reason);
	}

	#end(reason: DoneReason): void {
		this.#messages.push({ type: "done", snapshot: this.#offer?.snapshot ?? "", reason });
		this.#offer = null;
		this.#finishing = false;
		this.#pending = [];
	}
}

/** By what it holds; between equals, by who leads now. */
/**
 * The later leader's, however short: one that was deposed may have left half of a longer one here, whose rest nobody
 * sends any more.
 */
const isNewer = (a: Offer, b: Offer): boolean => a.term > b.term || (a.term === b.term && a.meta.index > b.meta.index);
