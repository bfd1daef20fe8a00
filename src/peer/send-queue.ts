/**
 * What waits to be sent to one peer, bounded by number and bytes. Pure.
 *
 * Two lanes: appends that carry entries, and all the rest (heartbeats, votes, answers), which is small and goes first: a heartbeat
 * behind megabytes of entries would come too late. Within a lane the order is kept. The core allows for messages out of
 * order, and waits for an answer before what must not overtake.
 *
 * When it is full
 *  - a new append is dropped: the newest, as those before it are of use without it, and not the other way round;
 *  - for anything else the newest append makes room, or else the oldest of the rest, which the new one most likely replaces.
 * The core sends again what was lost.
 */
export type QueueLimits = { maxMessages: number; maxBytes: number; maxAgeMs: number };

export type Lane = "append" | "control";
type Waiting = { payload: Uint8Array; sinceMs: number };
export type Dropped = { appends: number; control: number; stale: number };

export class SendQueue {
	readonly #limits: QueueLimits;
	readonly #lanes: Record<Lane, Waiting[]> = { control: [], append: [] };
	readonly dropped: Dropped = { appends: 0, control: 0, stale: 0 };
	#bytes = 0;

	constructor(limits: QueueLimits) {
		this.#limits = limits;
	}

	get bytes(): number {
		return this.#bytes;
	}

	get length(): number {
		return this.#lanes.append.length + this.#lanes.control.length;
	}

	/** One message alone may be larger than the bound. */
	push(lane: Lane, payload: Uint8Array, nowMs: number): void {
		const fits = () =>
			this.length === 0 ||
			(this.length < this.#limits.maxMessages && this.#bytes + payload.length <= this.#limits.maxBytes);
		if (lane === "append" && !fits()) {
			this.dropped.appends += 1;
			return;
		}
		while (!fits()) {
			if (this.#remove(this.#lanes.append.pop())) this.dropped.appends += 1;
			else if (this.#remove(this.#lanes.control.shift())) this.dropped.control += 1;
		}
		this.#lanes[lane].push({ payload, sinceMs: nowMs });
		this.#bytes += payload.length;
	}

	/** The next to send; null when there is none. What waited too long (for a connection) is of no use any more. */
	shift(nowMs: number): Uint8Array | null {
		for (const lane of ["control", "append"] as const) {
			for (;;) {
				const next = this.#lanes[lane].shift();
				if (next === undefined) break;
				this.#remove(next);
				if (nowMs - next.sinceMs <= this.#limits.maxAgeMs) return next.payload;
				this.dropped.stale += 1;
			}
		}
		return null;
	}

	#remove(waiting: Waiting | undefined): boolean {
		this.#bytes -= waiting?.payload.length ?? 0;
		return waiting !== undefined;
	}
}
