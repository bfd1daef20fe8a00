/**
 * What the store asks of whatever orders commands: Raft (raft/raft-consensus.ts, which has more for members and leaders),
 * or, in tests, something that commits at once. It knows bytes, not commands. Entries are handed over in order, each exactly once
 * since what the state held at the start, only when they are durable on a quorum. Those that are no commands are
 * among them: a leader's first, without data, and those that say who the members are (their `kind`).
 */
import type { LogEntry } from "./apply/apply.ts";
import type { Urgency } from "./disk-reserve.ts";

export type ConsensusStatus = { leader: string | null; quorum: boolean; commitIndex: number; term: number };

export interface Consensus {
	/**
	 * `urgency` "growing": refused earlier than others when the disk of the log fills up (disk-reserve.ts).
	 * Resolves when the entry is committed; the entry itself comes through the handler, before this resolves or shortly
	 * after. Rejects with `unavailable` (no leader, closing), `no-space` (the log's disk is full) or `too-many-requests`;
	 * nothing was written then, unless `context.outcome` says "unknown" (raft/refusals.ts).
	 */
	propose(data: Uint8Array, urgency: Urgency): Promise<void>;
	/** The index that a linearizable read, begun now, must have reached. */
	readIndex(): Promise<number>;
	status(): ConsensusStatus;
	/** A durable snapshot holds everything up to `index`: the log before may go. */
	compact(index: number): Promise<void>;
	/** Bytes of the log after `index`, about: what a start would have to read again with a snapshot of that index. */
	logBytesAfter(index: number): number;
	close(): Promise<void>;
}

export type CommittedHandler = (entries: readonly LogEntry[]) => void;
