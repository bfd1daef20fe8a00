/** The nouns of the consensus core. What a caller must do with them is at the head of raft.ts. */
import { maxMembers, maxVoters } from "../model/member-limits.ts";
import type { Message } from "./messages.ts";
import type { MutantName } from "./mutants.ts";

/** A UUID. An id is never used again after its node was removed. */
export type NodeId = string;

/** A new leader's first entry is a "command" without data. */
export type EntryKind = "command" | "configuration";
export type Entry = { index: number; term: number; kind: EntryKind; data: Uint8Array };

/** What must never be forgotten. `recoveries`: grows when this node's log is found damaged; see recovery.ts. */
export type HardState = { term: number; vote: NodeId | null; recoveries: number; recovering: boolean };

/** `witnesses` is a part of `voters`. `removed`: ids that were members once, the oldest forgotten first. */
export type Configuration = { voters: NodeId[]; witnesses: NodeId[]; learners: NodeId[]; removed: NodeId[] };
export type ConfigurationAt = { index: number; configuration: Configuration };

/** Consecutive entries of one term: from `firstIndex` to before the next run. */
export type TermRun = { firstIndex: number; term: number };

export type Limits = {
	/** A follower campaigns after this many ticks without a leader, and up to `electionJitterTicks` more. */
	electionTicks: number;
	electionJitterTicks: number;
	/** How much longer a witness waits. */
	witnessDelayTicks: number;
	heartbeatTicks: number;
	maxEntryBytes: number;
	/** Of one append message; a single entry may be larger. */
	maxAppendBytes: number;
	/** Append messages under way to one follower. */
	maxInflightMessages: number;
	maxInflightBytes: number;
	/** Entries kept in memory for followers, beyond those that are not durable or not committed yet: so many, and of so many bytes. */
	maxTailEntries: number;
	maxTailBytes: number;
	/** Proposals that are not committed. */
	maxUncommittedBytes: number;
	/** Entries that are not committed, those of earlier leaders among them: each leader may add to what the last one left. */
	maxUncommittedEntries: number;
	/** What a follower takes before its disk has caught up. */
	maxUnpersistedBytes: number;
	maxPersistBytes: number;
	/** Messages that wait for the disk. */
	maxWaitingMessages: number;
	/** Handed over to be applied, and not reported as applied yet. */
	maxApplyEntries: number;
	maxApplyBytes: number;
	maxPendingReads: number;
	maxReadRounds: number;
	/** A learner with at most so many entries to go may become a voter. */
	promoteLagEntries: number;
	maxVoters: number;
	maxMembers: number;
	maxRemoved: number;
};

export const defaultLimits: Limits = {
	electionTicks: 10,
	electionJitterTicks: 10,
	witnessDelayTicks: 10,
	heartbeatTicks: 2,
	maxEntryBytes: 32 * 1024 * 1024,
	maxAppendBytes: 256 * 1024,
	maxInflightMessages: 64,
	maxInflightBytes: 8 * 1024 * 1024,
	maxTailEntries: 8192,
	maxTailBytes: 8 * 1024 * 1024,
	maxUncommittedBytes: 64 * 1024 * 1024,
	maxUncommittedEntries: 65_536,
	maxUnpersistedBytes: 64 * 1024 * 1024,
	maxPersistBytes: 4 * 1024 * 1024,
	maxWaitingMessages: 1024,
	maxApplyEntries: 4096,
	maxApplyBytes: 4 * 1024 * 1024,
	maxPendingReads: 4096,
	maxReadRounds: 4,
	promoteLagEntries: 64,
	maxVoters,
	maxMembers,
	maxRemoved: 64,
};

export type RaftOptions = {
	clusterId: string;
	nodeId: NodeId;
	hardState: HardState;
	/** What is durable: a snapshot up to `snapshotIndex` (0 for none), entries from there to `lastIndex`. */
	log: { snapshotIndex: number; snapshotTerm: number; lastIndex: number; termRuns: readonly TermRun[] };
	/** Ascending: the snapshot's (or the one of a new cluster, index 0), then those in the log. Empty: a node that joins. */
	configurations: readonly ConfigurationAt[];
	/** What the state machine holds durably. Between the snapshot and the end of the log. */
	appliedIndex: number;
	/** True at a start that found the log damaged and cut it. A recovery that is under way goes on by itself. */
	recovering: boolean;
	/** In [0, 1). Spreads elections and makes request ids; a simulator passes a seeded one. */
	random: () => number;
	limits?: Partial<Limits>;
	/** For tests: plants one bug. The daemon never passes it. */
	mutant?: MutantName;
};

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

export type Change =
	| { kind: "add-learner"; node: NodeId }
	| { kind: "promote"; node: NodeId; witness: boolean }
	| { kind: "remove"; node: NodeId };

export type RefusalReason =
	| "not-leader"
	| "transferring" // leadership is being handed over
	| "busy" // too much is waiting to be committed
	| "no-space" // the disk of this node's log is full
	| "too-large"
	| "not-ready" // no entry of this leader's term is committed yet
	| "change-in-flight" // another change of the members is not committed yet
	| "not-a-member"
	| "already-a-member"
	| "was-removed" // an id is used once
	| "not-caught-up"
	| "last-voter"
	| "too-many-members"
	| "would-lose-quorum"; // the members left could not commit anything now
export type Refusal = { refused: RefusalReason; leader: NodeId | null };
export type Proposed = { index: number; term: number };

/** In this order: the hard state, the truncation, the entries; all durable before `persisted(token)`. */
export type Persist = {
	token: number;
	hardState: HardState | null;
	/** Entries after this index go. May be at or beyond the end of the log: then there is nothing to do. */
	truncateAfter: number | null;
	entries: readonly Entry[];
};
/** To be applied in order. `entries` null: no longer in memory, to be read from the log. */
export type Committed = { firstIndex: number; lastIndex: number; entries: readonly Entry[] | null };
/** Index null: there is no leader that could confirm it; try again or serve stale. */
export type ReadAnswer = { token: number; index: number | null };
/** Entries of the log from `firstIndex` on, as many as fit into `maxBytes`, at least one; answered by `entriesRead`. */
export type Fetch = { request: number; firstIndex: number; maxBytes: number };
/** A follower that needs a snapshot, as new as there is one; answered by `snapshotSent`. */
export type SnapshotWanted = { to: NodeId; term: number };

export type Ready = {
	persist: Persist | null;
	messages: readonly Message[];
	committed: Committed | null;
	reads: readonly ReadAnswer[];
	fetches: readonly Fetch[];
	snapshots: readonly SnapshotWanted[];
};

export type SnapshotMeta = { index: number; term: number; configuration: ConfigurationAt };
/** "have": this node has all that it holds; the sender is told so. */
export type SnapshotVerdict = "install" | "have" | "old-term" | "busy" | "refused";

export type PeerStatus = {
	id: NodeId;
	match: number;
	mode: "probe" | "replicate" | "snapshot";
	recovering: boolean;
	active: boolean;
};
export type Status = {
	nodeId: NodeId;
	term: number;
	role: Role;
	leader: NodeId | null;
	/** A leader is known that reaches, or was reached from, a quorum within an election time-out. */
	quorum: boolean;
	commitIndex: number;
	appliedIndex: number;
	lastIndex: number;
	durableIndex: number;
	configuration: Configuration;
	configurationIndex: number;
	recovering: boolean;
	/** This node was removed from the cluster: it does nothing any more. */
	removed: boolean;
	transferringTo: NodeId | null;
	/** Of a leader only. */
	peers: PeerStatus[];
	dropped: { invalid: number; otherCluster: number; removed: number };
};

/** What is asked for all the time. As it is when it is looked at, not as it was: nobody keeps it. */
export type Vitals = Readonly<
	Pick<
		Status,
		| "term"
		| "role"
		| "leader"
		| "quorum"
		| "commitIndex"
		| "appliedIndex"
		| "lastIndex"
		| "configuration"
		| "configurationIndex"
		| "recovering"
		| "removed"
	>
>;
