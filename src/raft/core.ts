/**
 * The state of one node, as one record that the files of this folder work on: election.ts, replication.ts, follower.ts,
 * reads.ts, membership.ts, transfer.ts, recovery.ts, snapshot-install.ts, persistence.ts. Only raft.ts is for callers.
 */
import { assert } from "../lib/assert.ts";
import { ConfigurationHistory, emptyConfiguration } from "./configuration.ts";
import { LogView } from "./log-view.ts";
import type { Message } from "./messages.ts";
import { type MutantName, planted } from "./mutants.ts";
import type { Progress } from "./progress.ts";
import {
	type Configuration,
	type ConfigurationAt,
	defaultLimits,
	type Fetch,
	type Limits,
	type NodeId,
	type RaftOptions,
	type ReadAnswer,
	type Role,
	type SnapshotMeta,
	type SnapshotWanted,
} from "./types.ts";

/** A message that waits until the hard state of `hardVersion` and the entries up to `index` are durable. */
export type Waiting = { message: Message; hardVersion: number; index: number };
export type PersistUnderWay = {
	token: number;
	hardVersion: number;
	/** Where the durable log ends when it is done. */
	lastIndex: number;
	truncateAfter: number | null;
	/** Nothing of the log is written. */
	hardStateOnly: boolean;
};
/** Reads that were begun together. `from` null: this node's own, `request` is the caller's token. */
export type PendingRead = { from: NodeId | null; request: number; askedAt: number };
export type ReadRound = { round: number; index: number; reads: PendingRead[] };
export type ForwardedReads = { request: number; tokens: number[]; askedAt: number };

export type Core = {
	readonly clusterId: string;
	readonly nodeId: NodeId;
	readonly limits: Limits;
	readonly random: () => number;
	readonly mutant: MutantName | null;

	term: number;
	vote: NodeId | null;
	recoveries: number;
	recovering: boolean;
	/** Counts changes of the four fields above. */
	hardVersion: number;
	durableHardVersion: number;

	role: Role;
	leader: NodeId | null;
	readonly log: LogView;
	readonly configurations: ConfigurationHistory;
	/** The one in force. */
	configuration: Configuration;
	configurationIndex: number;
	/** The last one that is committed: only it says who was removed. */
	committedConfiguration: ConfigurationAt;
	commit: number;
	/** Handed over to be applied, and reported as applied. */
	applying: number;
	applied: number;

	/** Ticks since the start, since the leader was heard (or a campaign began), since the last heartbeat was sent. */
	now: number;
	elapsed: number;
	timeout: number;
	heartbeatElapsed: number;
	/** The votes of this campaign; of a leader: those that made it one. */
	readonly votes: Map<NodeId, boolean>;
	/** Hard state that must be durable before this node's vote for itself counts. */
	campaignVersion: number;

	/** Of a leader: the others. */
	readonly progress: Map<NodeId, Progress>;
	/** The first entry of this leadership. */
	leadsFrom: number;
	uncommittedBytes: number;
	transfer: { to: NodeId; since: number; asked: boolean } | null;
	/** When leadership was last offered to somebody better. */
	offeredAt: number;

	round: number;
	newReads: PendingRead[];
	rounds: ReadRound[];
	pendingReads: number;
	toForward: number[];
	readonly forwarded: Map<number, ForwardedReads>;
	nextRequest: number;

	installing: SnapshotMeta | null;
	/** Learned that it was removed. */
	inert: boolean;
	/** Of a recovering node: the confirmed index that it has to reach. */
	recoverTo: number | null;
	readonly noticed: Set<NodeId>;

	out: Message[];
	waiting: Waiting[];
	reads: ReadAnswer[];
	fetches: Fetch[];
	readonly fetching: Map<number, NodeId>;
	snapshots: SnapshotWanted[];
	persisting: PersistUnderWay | null;
	nextToken: number;
	/** The last write found no space: no retry before this tick. */
	noSpaceUntil: number | null;
	noSpaceSince: number;
	/** Of a leader, while another voter has entries that the write under way does not bring onto this node's disk; see transfer.ts. */
	behind: { since: number; asked: number | null } | null;
	/** The last entry that was appended for it. */
	lastAsked: number;
	readonly dropped: { invalid: number; otherCluster: number; removed: number };
};

export function createCore(options: RaftOptions): Core {
	const limits = { ...defaultLimits, ...options.limits };
	const { hardState, appliedIndex } = options;
	const log = new LogView(options.log, limits);
	const configurations = new ConfigurationHistory(options.configurations);
	assert(appliedIndex >= log.snapshotIndex && appliedIndex <= log.lastIndex, "what is applied is in the log");
	assert(hardState.term >= log.lastTerm, "the term is at least that of the last entry");
	// Each discovery of damage is a recovery of its own: answers from before it must not count (recovery.ts).
	const recoveries = hardState.recoveries + (options.recovering ? 1 : 0);
	const core: Core = {
		clusterId: options.clusterId,
		nodeId: options.nodeId,
		limits,
		random: options.random,
		mutant: options.mutant ?? null,
		term: hardState.term,
		vote: hardState.vote,
		recoveries,
		recovering: options.recovering || hardState.recovering,
		hardVersion: options.recovering ? 1 : 0,
		durableHardVersion: 0,
		role: "follower",
		leader: null,
		log,
		configurations,
		configuration: emptyConfiguration,
		configurationIndex: 0,
		committedConfiguration: configurations.at(appliedIndex),
		commit: appliedIndex,
		applying: appliedIndex,
		applied: appliedIndex,
		now: 0,
		elapsed: 0,
		timeout: 0,
		heartbeatElapsed: 0,
		votes: new Map(),
		campaignVersion: 0,
		progress: new Map(),
		leadsFrom: 0,
		uncommittedBytes: 0,
		transfer: null,
		offeredAt: 0,
		round: 0,
		newReads: [],
		rounds: [],
		pendingReads: 0,
		toForward: [],
		forwarded: new Map(),
		// An answer to this node's life before its restart must not answer a new question.
		nextRequest: Math.floor(options.random() * 2 ** 40) + 1,
		installing: null,
		inert: false,
		recoverTo: null,
		noticed: new Set(),
		out: [],
		waiting: [],
		reads: [],
		fetches: [],
		fetching: new Map(),
		snapshots: [],
		persisting: null,
		nextToken: 1,
		noSpaceUntil: null,
		noSpaceSince: 0,
		behind: null,
		lastAsked: 0,
		dropped: { invalid: 0, otherCluster: 0, removed: 0 },
	};
	core.inert = core.committedConfiguration.configuration.removed.includes(core.nodeId);
	configurationInForce(core);
	drawTimeout(core);
	return core;
}

/** After an entry with a configuration was added, cut off or, for one mutant, committed. */
export function configurationInForce(core: Core): void {
	const late = planted(core, "configuration-on-commit");
	const { index, configuration } = late ? core.configurations.at(core.commit) : core.configurations.latest;
	core.configuration = configuration;
	core.configurationIndex = index;
}

export const isVoter = (core: Core): boolean => core.configuration.voters.includes(core.nodeId);
export const isWitness = (core: Core, id: NodeId): boolean => core.configuration.witnesses.includes(id);

/** A new election time-out, so that two nodes seldom campaign at once. */
export function drawTimeout(core: Core): void {
	const { electionTicks, electionJitterTicks, witnessDelayTicks } = core.limits;
	const jitter = Math.floor(core.random() * (electionJitterTicks + 1));
	core.timeout = electionTicks + jitter + (isWitness(core, core.nodeId) ? witnessDelayTicks : 0);
}

/** A change of term, vote or recovery: durable before anything that depends on it is sent. */
export function setTerm(core: Core, term: number): void {
	assert(term > core.term || planted(core, "term-goes-back"), "terms only grow");
	core.term = term;
	if (!planted(core, "vote-kept-in-new-term")) core.vote = null;
	core.hardVersion += 1;
}

/** An entry of the leader's own term is committed: only then does it know what is (thesis, 3.6.2 and 6.4). */
export const hasCommittedInTerm = (core: Core): boolean => core.commit >= core.leadsFrom;
