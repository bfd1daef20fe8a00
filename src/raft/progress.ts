/**
 * What a leader knows of one follower, and how it sends to it:
 *
 *   probe      where the logs agree is unknown: one append, then wait for the answer or the next heartbeat's
 *   replicate  they agree at `match`: appends are pipelined, as far as the window allows
 *   snapshot   it needs entries that are gone: nothing is sent until the snapshot has arrived or failed
 */
import type { NodeId } from "./types.ts";

export class Progress {
	readonly id: NodeId;
	mode: "probe" | "replicate" | "snapshot" = "probe";
	/** The log is known to be the leader's up to here, durably. */
	match = 0;
	/** The next entry to be sent. */
	next: number;
	/** A probe is under way. */
	paused = false;
	/** An empty append is due: something may have been lost. */
	poke = false;
	/** `match` when the last heartbeat was answered: no progress since then means that something may be lost. */
	matchAtHeartbeat = -1;
	/** The commit index that was last sent along. */
	sentCommit = 0;
	/** The last tick in which it was heard; a leader begins with the tick of its election. */
	heardAt: number;
	/** The last round of reads that it has answered. */
	round = 0;
	recoveries = 0;
	recovering = false;
	/** The request for entries on disk that is under way. */
	fetch: number | null = null;
	/** The tick in which the log did not have what was asked for. */
	missedAt = -1;
	/** Snapshots that did not arrive, one after the other, and the tick from which another may be sent. */
	snapshotsFailed = 0;
	snapshotFrom = 0;
	readonly window: Window;

	constructor(id: NodeId, next: number, tick: number, maxMessages: number, maxBytes: number) {
		this.id = id;
		this.next = next;
		this.heardAt = tick;
		this.window = new Window(maxMessages, maxBytes);
	}

	probeFrom(next: number): void {
		this.mode = "probe";
		this.next = Math.max(next, this.match + 1);
		this.paused = false;
		this.poke = false;
		this.fetch = null;
		this.window.clear();
	}

	replicate(): void {
		this.mode = "replicate";
		this.snapshotsFailed = 0;
		this.next = this.match + 1;
		this.paused = false;
		this.fetch = null;
		this.window.clear();
	}

	/** Whoever has no room for it would write all that fits, and throw it away, with every heartbeat. The first may have been bad luck. */
	snapshotFailed(tick: number, electionTicks: number): void {
		const waits = this.snapshotsFailed === 0 ? 0 : 2 ** Math.min(this.snapshotsFailed - 1, 3);
		this.snapshotsFailed += 1;
		this.snapshotFrom = tick + waits * electionTicks;
	}

	awaitSnapshot(): void {
		this.mode = "snapshot";
		this.fetch = null;
		this.window.clear();
	}
}

/** The appends under way, oldest first: a ring of fixed size. */
export class Window {
	readonly #lastIndexes: Float64Array;
	readonly #bytes: Float64Array;
	readonly #maxBytes: number;
	#start = 0;
	#count = 0;
	#total = 0;

	constructor(maxMessages: number, maxBytes: number) {
		this.#lastIndexes = new Float64Array(maxMessages);
		this.#bytes = new Float64Array(maxMessages);
		this.#maxBytes = maxBytes;
	}

	get full(): boolean {
		return this.#count === this.#lastIndexes.length || this.#total >= this.#maxBytes;
	}

	get empty(): boolean {
		return this.#count === 0;
	}

	add(lastIndex: number, bytes: number): void {
		const at = (this.#start + this.#count) % this.#lastIndexes.length;
		this.#lastIndexes[at] = lastIndex;
		this.#bytes[at] = bytes;
		this.#count += 1;
		this.#total += bytes;
	}

	freeUpTo(index: number): void {
		while (this.#count > 0 && (this.#lastIndexes[this.#start] as number) <= index) {
			this.#total -= this.#bytes[this.#start] as number;
			this.#start = (this.#start + 1) % this.#lastIndexes.length;
			this.#count -= 1;
		}
	}

	clear(): void {
		this.#start = 0;
		this.#count = 0;
		this.#total = 0;
	}
}
