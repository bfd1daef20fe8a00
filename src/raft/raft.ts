/**
 * The consensus core: Raft (Ongaro's thesis, "Consensus: Bridging Theory and Practice", 2014) as a state machine without
 * IO, clock, timers or randomness of its own. What comes in: ticks, messages, proposals, reports of what was done. What
 * comes out, from `ready()`: what to do. The same calls in the same order give the same answers.
 *
 * The caller's duties
 *
 *  1. Call `tick()` in even intervals, `step()` for every message, and `ready()` after any call, until it says null. Calls
 *     never overlap. `peerGone()` may make an election come sooner.
 *  2. Carry out a Ready, the parts in any order or at once:
 *     - `messages`: send them, to `message.to`. They may be lost, late, repeated or out of order; those to one node are
 *       best sent in order. What has to be durable before a message leaves is durable: it is kept back here until then.
 *     - `persist`: replace the hard state, cut the log after `truncateAfter`, append `entries`, in this order; when all of
 *       it is durable, `persisted(token)`. When the disk has no room: undo what was appended and call
 *       `persistRefused(token)`. Any other error: end the process. There is one at a time. Never report what is not durable.
 *       A power cut in the middle may leave a part (the hard state without the cut, the cut without the entries, some of
 *       the entries): nobody was told of any of it.
 *     - `committed`: apply these entries, in order, each once; then `applied(index)`. They are durable here. With
 *       `entries` null read them from the log. Entries of a configuration only move the applied index.
 *     - `reads`: a read with an index may be served when the state has applied that index; with null, there is no
 *       leader to confirm it.
 *     - `fetches`: read these from the log; `entriesRead(request, entries)`, empty when that is not possible.
 *     - `snapshots`: send the newest snapshot to this node (snapshot-sender.ts); `snapshotSent(to, index)`, or null as
 *       the index when it failed.
 *  3. When a snapshot has arrived in whole (snapshot-receiver.ts), ask `snapshotReceived`. On "install": wait for the
 *     persist under way, if any, and report it; make the snapshot the state, durably; begin the log anew after it; then
 *     `snapshotInstalled()`. What `committed` said before that is not applied any more. On failure `snapshotAbandoned()`.
 *     Meanwhile a persist holds the hard state at most, and may go on at the same time.
 *  4. When a snapshot of this node's state is durable: `compacted(index)`, up to where the log may go.
 *  5. At a start, give what is durable. A log that was found damaged is cut before the damage, and `recovering` is true
 *     (recovery.ts); the first Ready then has a hard state to write.
 */
import { assert } from "../lib/assert.ts";
import { type Core, createCore } from "./core.ts";
import { becomeFollower, leaderGone, mayCampaign, preCampaign, voteForItselfDurable } from "./election.ts";
import { entryBytes } from "./log-view.ts";
import { appendToLog, hasQuorum, isActive, proposeChange } from "./membership.ts";
import type { Message } from "./messages.ts";
import { planted } from "./mutants.ts";
import { finishPersist, refusePersist, takePersist } from "./persistence.ts";
import { expireForwarded, flushReads, readIndex } from "./reads.ts";
import { receive } from "./receive.ts";
import { checkRecovered } from "./recovery.ts";
import { broadcastHeartbeat, entriesRead, flushAppends, maybeCommit, snapshotSent } from "./replication.ts";
import { snapshotAbandoned, snapshotInstalled, snapshotReceived } from "./snapshot-install.ts";
import { startTransfer, type TransferResult, tickTransfer } from "./transfer.ts";
import type {
	Change,
	Committed,
	Configuration,
	Entry,
	NodeId,
	PeerStatus,
	Proposed,
	RaftOptions,
	Ready,
	Refusal,
	RefusalReason,
	Role,
	SnapshotMeta,
	SnapshotVerdict,
	Status,
} from "./types.ts";

export class Raft {
	readonly #core: Core;

	constructor(options: RaftOptions) {
		this.#core = createCore(options);
	}

	tick(): void {
		const core = this.#core;
		core.now += 1;
		core.elapsed += 1;
		core.noticed.clear();
		expireForwarded(core);
		if (core.role === "leader") tickLeader(core);
		else if (core.elapsed >= core.timeout && mayCampaign(core)) preCampaign(core);
	}

	/** A message from a peer, as it came. Never throws for what a peer made up. */
	step(message: Message): void {
		receive(this.#core, message);
	}

	/** The link to a peer was ended by its side without a word: its process is most likely gone. May be wrong. */
	peerGone(id: NodeId): void {
		const core = this.#core;
		if (core.role === "follower" && core.leader === id) leaderGone(core);
	}

	/** `data` is not copied and must not change. */
	propose(data: Uint8Array): Proposed | Refusal {
		const core = this.#core;
		const refused = refusalOf(core, data.length);
		if (refused !== null) return { refused, leader: core.leader };
		const entry: Entry = { index: core.log.lastIndex + 1, term: core.term, kind: "command", data };
		core.uncommittedBytes += entryBytes(entry);
		appendToLog(core, entry);
		if (planted(core, "counts-itself-before-durable")) maybeCommit(core);
		return { index: entry.index, term: entry.term };
	}

	proposeConfiguration(change: Change): Proposed | Refusal {
		return proposeChange(this.#core, change);
	}

	/** Without `to`: to the voter best suited. */
	transferLeadership(to: NodeId | null = null): TransferResult {
		return startTransfer(this.#core, to);
	}

	/** On any node. The answer comes in `ready().reads`, at the latest an election time-out after the leader is lost. */
	readIndex(token: number): void {
		readIndex(this.#core, token);
	}

	/** What is to be done now; null when there is nothing. */
	ready(): Ready | null {
		const core = this.#core;
		flushReads(core);
		flushAppends(core);
		const persist = takePersist(core);
		const committed = takeCommitted(core);
		const { out: messages, reads, fetches, snapshots } = core;
		const some = messages.length > 0 || reads.length > 0 || fetches.length > 0 || snapshots.length > 0;
		if (!some && persist === null && committed === null) return null;
		if (messages.length > 0) core.out = [];
		if (reads.length > 0) core.reads = [];
		if (fetches.length > 0) core.fetches = [];
		if (snapshots.length > 0) core.snapshots = [];
		return { persist, messages, committed, reads, fetches, snapshots };
	}

	persisted(token: number): void {
		const core = this.#core;
		finishPersist(core, token);
		voteForItselfDurable(core);
		maybeCommit(core);
		checkRecovered(core);
		core.log.evict(core.applying);
	}

	persistRefused(token: number): void {
		refusePersist(this.#core, token);
	}

	applied(index: number): void {
		const core = this.#core;
		// What was handed over before a snapshot may be reported after it.
		core.applied = Math.max(core.applied, index);
		core.log.evict(core.applying);
	}

	entriesRead(request: number, entries: readonly Entry[]): void {
		entriesRead(this.#core, request, entries);
	}

	compacted(index: number): void {
		const core = this.#core;
		assert(index <= core.applied, "a snapshot holds what is applied");
		core.log.compact(index);
		core.configurations.compact(index);
	}

	snapshotSent(to: NodeId, index: number | null): void {
		snapshotSent(this.#core, to, index);
	}

	snapshotReceived(from: NodeId, term: number, meta: SnapshotMeta): SnapshotVerdict {
		return snapshotReceived(this.#core, from, term, meta);
	}

	snapshotInstalled(): void {
		snapshotInstalled(this.#core);
	}

	snapshotAbandoned(): void {
		snapshotAbandoned(this.#core);
	}

	/** The configuration that a snapshot up to `index` has to carry. */
	configurationAt(index: number): SnapshotMeta["configuration"] {
		return this.#core.configurations.at(index);
	}

	/** Null for an entry that is not in the log and not its snapshot's last. */
	termAt(index: number): number | null {
		return this.#core.log.termAt(index);
	}

	/** The parts of `status` that are asked for all the time (`Vitals`), without making one. */
	get role(): Role {
		return this.#core.role;
	}

	get term(): number {
		return this.#core.term;
	}

	get leader(): NodeId | null {
		return this.#core.leader;
	}

	/** It was removed from the cluster. */
	get removed(): boolean {
		return this.#core.inert;
	}

	get recovering(): boolean {
		return this.#core.recovering;
	}

	get quorum(): boolean {
		const core = this.#core;
		if (core.role === "leader") return hasQuorum(core, core.configuration);
		return core.leader !== null && core.elapsed < core.limits.electionTicks;
	}

	get commitIndex(): number {
		return this.#core.commit;
	}

	get appliedIndex(): number {
		return this.#core.applied;
	}

	get lastIndex(): number {
		return this.#core.log.lastIndex;
	}

	get configuration(): Configuration {
		return this.#core.configuration;
	}

	get configurationIndex(): number {
		return this.#core.configurationIndex;
	}

	status(): Status {
		const core = this.#core;
		const { log, dropped } = core;
		return {
			nodeId: core.nodeId,
			term: core.term,
			role: core.role,
			leader: core.leader,
			quorum: this.quorum,
			commitIndex: core.commit,
			appliedIndex: core.applied,
			lastIndex: log.lastIndex,
			durableIndex: log.durableIndex,
			configuration: core.configuration,
			configurationIndex: core.configurationIndex,
			recovering: core.recovering,
			removed: core.inert,
			transferringTo: core.transfer?.to ?? null,
			peers: peersOf(core),
			dropped: { invalid: dropped.invalid, otherCluster: dropped.otherCluster, removed: dropped.removed },
		};
	}
}

function peersOf(core: Core): PeerStatus[] {
	const peers: PeerStatus[] = [];
	for (const { id, match, mode, recovering } of core.progress.values())
		peers.push({ id, match, mode, recovering, active: isActive(core, id) });
	return peers;
}

function tickLeader(core: Core): void {
	if (!hasQuorum(core, core.configuration) && !planted(core, "no-check-quorum")) {
		becomeFollower(core, core.term, null);
		return;
	}
	core.heartbeatElapsed += 1;
	if (core.heartbeatElapsed >= core.limits.heartbeatTicks) broadcastHeartbeat(core);
	tickTransfer(core);
}

function refusalOf(core: Core, bytes: number): RefusalReason | null {
	const { limits, log } = core;
	if (core.role !== "leader") return "not-leader";
	if (core.transfer !== null) return "transferring";
	if (core.noSpaceUntil !== null) return "no-space";
	if (bytes > limits.maxEntryBytes) return "too-large";
	if (core.uncommittedBytes > 0 && core.uncommittedBytes + bytes > limits.maxUncommittedBytes) return "busy";
	if (log.lastIndex - core.commit >= limits.maxUncommittedEntries) return "busy";
	return log.unpersistedBytes > limits.maxUnpersistedBytes ? "busy" : null;
}

/** Only what is durable here, too: the state never gets ahead of the log on this node's disk. */
function takeCommitted(core: Core): Committed | null {
	const { log, limits } = core;
	if (core.installing !== null) return null;
	const durable = planted(core, "applies-not-durable") ? log.lastIndex : log.durableIndex;
	const known = planted(core, "applies-uncommitted") ? log.durableIndex : Math.min(core.commit, durable);
	const firstIndex = core.applying + 1;
	const lastIndex = Math.min(known, core.applied + limits.maxApplyEntries);
	if (firstIndex > lastIndex) return null;
	if (log.entry(firstIndex) === null) {
		core.applying = lastIndex;
		return { firstIndex, lastIndex, entries: null };
	}
	const entries = log.entries(firstIndex, lastIndex, limits.maxApplyBytes);
	core.applying += entries.length;
	return { firstIndex, lastIndex: core.applying, entries };
}
