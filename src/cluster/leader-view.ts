/** What only the leader knows about the others, as this node last heard it; asked for when somebody wants it. */
import { type Clock, delay } from "../lib/clock.ts";
import type { PeerNode } from "../peer/peer.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { decodeJson, methods } from "./methods.ts";
import type { LeaderView } from "./status.ts";

const keptMs = 5_000;
const limitMs = 5_000;
/** A leader that works answers in a few milliseconds; nobody is kept waiting for one that hangs. */
const waitMs = 300;

export class LeaderViews {
	readonly #consensus: Pick<RaftConsensus, "details">;
	readonly #clock: Clock;
	#last: { view: LeaderView; atMs: number } | null = null;
	#asking: Promise<void> | null = null;

	constructor(consensus: Pick<RaftConsensus, "details">, clock: Clock) {
		this.#consensus = consensus;
		this.#clock = clock;
	}

	/** Of this node, when it leads. */
	own(): LeaderView | null {
		const { nodeId, peers, lastIndex, configuration, role } = this.#consensus.details();
		return role === "leader" ? { nodeId, peers, lastIndex, configuration } : null;
	}

	/** Null when there is none that is new enough: the next one who asks may have it. */
	get(peers: Pick<PeerNode, "call"> | null): LeaderView | null {
		const { leader } = this.#consensus.details();
		const own = this.own();
		if (own !== null || leader === null) return own;
		if (peers !== null) void this.#ask(peers, leader);
		const kept = this.#last;
		const fresh = kept?.view.nodeId === leader && this.#clock.monotonicMs() - kept.atMs < keptMs;
		return fresh ? kept.view : null;
	}

	/** Resolves when the view is as new as can be, or after a moment in which the leader has not answered. */
	async refresh(peers: Pick<PeerNode, "call"> | null): Promise<void> {
		const { leader } = this.#consensus.details();
		if (peers === null || leader === null || this.own() !== null) return;
		const over = new AbortController();
		try {
			await Promise.race([this.#ask(peers, leader), delay(this.#clock, waitMs, over.signal).catch(() => {})]);
		} finally {
			over.abort();
		}
	}

	#ask(peers: Pick<PeerNode, "call">, leader: string): Promise<void> {
		this.#asking ??= peers
			.call(leader, methods.memberStatus, new Uint8Array(0), { timeoutMs: limitMs })
			.then((bytes) => {
				this.#last = { view: decodeJson<LeaderView>(bytes), atMs: this.#clock.monotonicMs() };
			})
			// It is asked again.
			.catch(() => {})
			.finally(() => {
				this.#asking = null;
			});
		return this.#asking;
	}
}
