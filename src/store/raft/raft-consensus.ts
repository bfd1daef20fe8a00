/**
 * Consensus of several nodes: the core (src/raft/) with a clock, the log on a disk, and links to the others. It carries
 * out what the core asks for, as said at the head of raft.ts, and knows no commands.
 *
 * - One write is under way at a time; what is proposed meanwhile goes into the next. Messages that do not depend on the
 *   disk go out at once. All that is called within one turn of the event loop is answered by the core together.
 * - Disk full: proposals are refused with `no-space`; votes still fit (disk.ts). Any other failure of the disk, and a
 *   broken promise within the core, ends it: `onFatal` once, everybody who waits is told, nothing is acknowledged.
 * - A proposal that was written resolves when it is committed. When it cannot be any more, or nobody can say, the error's
 *   `context.outcome` tells which (refusals.ts).
 * - A proposal on a node that does not lead goes to the leader by `forward`, if there is one.
 *
 * Every wait has a limit, in ticks: a clock that stands still is no reason to give up.
 */
import { AppError, toAppError } from "../../lib/errors.ts";
import type { Message } from "../../raft/messages.ts";
import { planted } from "../../raft/mutants.ts";
import { Raft } from "../../raft/raft.ts";
import type { DoneReason, Offer } from "../../raft/snapshot-stream.ts";
import {
	type Change,
	defaultLimits,
	type Entry,
	type Limits,
	type NodeId,
	type Ready,
	type SnapshotMeta,
	type Status,
	type Vitals,
} from "../../raft/types.ts";
import type { Consensus, ConsensusStatus } from "../consensus.ts";
import type { Urgency } from "../disk-reserve.ts";
import { maxPendingProposals } from "../limits.ts";
import { isTooLarge, maxRecordDataBytes } from "../log/record.ts";
import type { SegmentLog } from "../log/segment-log.ts";
import type { RaftDisk } from "./disk.ts";
import { HandOver } from "./hand-over.ts";
import { LeaderNews } from "./leader-news.ts";
import { Proposals } from "./proposals.ts";
import type { RaftConsensusParts } from "./raft-options.ts";
import { transferError, unconfirmedRead, unknownOutcome } from "./refusals.ts";
import { takeSnapshot } from "./snapshot-install.ts";
import { SnapshotTraffic } from "./snapshot-traffic.ts";
import { Space } from "./space.ts";
import { type TickDelays, Ticker } from "./ticker.ts";
import type { SnapshotMessage } from "./transport.ts";
import { WaitingReads } from "./waiting.ts";
import { WaitingTransfer } from "./waiting-transfer.ts";
import { Writer } from "./writer.ts";

export class RaftConsensus implements Consensus {
	readonly #parts: RaftConsensusParts;
	readonly #raft: Raft;
	readonly #disk: RaftDisk;
	readonly #log: SegmentLog;
	readonly #handOver: HandOver;
	readonly #traffic: SnapshotTraffic;
	readonly #proposals: Proposals;
	readonly #reads = new WaitingReads();
	readonly #transfer = new WaitingTransfer();
	readonly #leaderNews: LeaderNews;
	readonly #writer: Writer;
	readonly #onWake = (): void => {
		this.#woken = false;
		this.#pump();
	};
	readonly #ticker: Ticker;
	readonly #electionTicks: number;
	#now = 0;
	#woken = false;
	#pumping = false;
	#nextToken = 1;
	/** Reads of this turn of the event loop share it. */
	#newRead: Promise<number> | null = null;
	/** Where the log that followers can be sent begins. */
	#compactedTo: number;
	#down: AppError | null = null;
	#stopped = false;
	#closing: Promise<void> | null = null;

	private constructor(parts: RaftConsensusParts) {
		const { disk, log, start, clusterId, nodeId, random, mutant, tickMs = 50 } = parts;
		this.#parts = parts;
		this.#leaderNews = new LeaderNews(parts.onLeader);
		this.#disk = disk;
		this.#log = log;
		const ticks = { clock: parts.clock, random, tickMs, jitterMs: parts.tickJitterMs ?? 0 };
		this.#ticker = new Ticker({ ...ticks, onTick: () => this.#tick() });
		const limits: Partial<Limits> = { maxEntryBytes: maxRecordDataBytes, ...parts.limits };
		const planting = mutant === undefined ? {} : { mutant };
		this.#raft = new Raft({ ...start, clusterId, nodeId, random, limits, recovering: false, ...planting });
		this.#electionTicks = limits.electionTicks ?? defaultLimits.electionTicks;
		this.#proposals = new Proposals({
			raft: this.#raft,
			space: new Space(disk, parts.clock),
			ticks: parts.proposalTicks ?? Math.ceil(30_000 / tickMs),
			fullTicks: this.#electionTicks,
			down: () => this.#down,
			onProposed: () => this.#wake(),
			onFailed: (error) => this.#fail(error),
		});
		this.#writer = new Writer({
			raft: this.#raft,
			disk,
			durableTerm: start.hardState.term,
			onReported: (durable) => {
				if (!durable) this.#proposals.refused();
				this.#pump();
			},
			onFailed: (error) => this.#fail(error),
		});
		this.#compactedTo = start.log.snapshotIndex;
		this.#handOver = new HandOver({
			disk,
			appliedIndex: start.appliedIndex,
			deliver: (entries) => this.#deliver(entries),
			onIdle: () => this.#wake(),
			onFailed: (error) => this.#fail(error),
		});
		this.#traffic = new SnapshotTraffic({
			...{ clusterId, nodeId, store: parts.snapshots, transport: parts.transport, logger: parts.logger },
			chunkBytes: parts.snapshotChunkBytes ?? 256 * 1024,
			retryTicks: this.#electionTicks,
			current: () => ({ term: this.#raft.term, leads: this.#raft.role === "leader" }),
			resume: parts.resume,
			appliedIndex: () => this.#handOver.index,
			minIndex: () => this.#compactedTo,
			onSent: (to, index) => {
				this.#raft.snapshotSent(to, index);
				this.#wake();
			},
			onReceived: (offer) => this.#received(offer),
			onFatal: (error) => this.#fail(error),
			mutant: mutant ?? null,
		});
	}

	/** A node that alone decides leads, and has handed over all it has, when it resolves. */
	static async start(parts: RaftConsensusParts): Promise<RaftConsensus> {
		const consensus = new RaftConsensus(parts);
		parts.onStarting?.(consensus);
		const { voters } = consensus.#raft.configuration;
		if (voters.length === 1 && voters[0] === parts.nodeId) await consensus.#leadAlone();
		consensus.#ticker.schedule(parts.random());
		consensus.#wake();
		return consensus;
	}

	/** A message of a peer, as it came. */
	receive(message: Message): void {
		if (this.#down !== null) return;
		// What the log could not hold is not from an honest leader.
		if (message.type === "append" && Array.isArray(message.entries) && message.entries.some(isTooLarge)) return;
		this.#step(() => this.#raft.step(message));
	}

	/** The link to a peer was ended by its side without a word. */
	peerGone = (id: NodeId): void => this.#step(() => this.#raft.peerGone(id));

	/** A message about a snapshot, from the node that it says. */
	receiveSnapshot(from: NodeId, message: SnapshotMessage): void {
		if (this.#down === null) this.#traffic.receive(from, message);
	}

	propose(data: Uint8Array, urgency: Urgency): Promise<void> {
		return this.#proposals.propose(data, urgency, this.#parts.forward ?? null);
	}

	/** Others say that this node was removed. */
	noteRemoved = (): void => this.#proposals.noteRemoved();

	/** What another node forwarded: it is not sent on. */
	proposeHere(data: Uint8Array, urgency: Urgency): Promise<void> {
		return this.#proposals.propose(data, urgency, null);
	}

	readIndex(): Promise<number> {
		if (this.#down !== null) return Promise.reject(this.#down);
		if (this.#newRead !== null) return this.#newRead;
		if (this.#reads.count >= maxPendingProposals) return Promise.reject(unconfirmedRead());
		const token = this.#nextToken++;
		const { readTicks = 10 * this.#electionTicks } = this.#parts;
		this.#newRead = this.#reads.add(token, this.#now + readTicks);
		this.#raft.readIndex(token);
		this.#wake();
		return this.#newRead;
	}

	/** Resolves when the change is committed. Not forwarded: whoever asks goes to the leader. */
	changeMembers(change: Change): Promise<void> {
		return this.#proposals.change(change);
	}

	/** Without `to`: to the voter best suited. Resolves to who leads afterwards. */
	transferLeadership(to: NodeId | null = null): Promise<NodeId> {
		if (this.#down !== null) return Promise.reject(this.#down);
		const result = this.#raft.transferLeadership(to);
		this.#wake();
		if ("refused" in result) return Promise.reject(transferError(result));
		return this.#transfer.add(this.#now);
	}

	status(): ConsensusStatus {
		const { leader, quorum, commitIndex, term } = this.#raft;
		return { leader, quorum: quorum && this.#down === null, commitIndex, term };
	}

	/** How late its ticks have come. */
	get tickDelays(): TickDelays {
		return this.#ticker.delays;
	}

	get leader(): NodeId | null {
		return this.#raft.leader;
	}

	get vitals(): Vitals {
		return this.#raft;
	}

	/** Everything: role, members, how far each of them is, and what was dropped. */
	details(): Status {
		return this.#raft.status();
	}

	/** What a snapshot of the state up to `index` has to carry; null when the log does not know it any more. */
	snapshotMeta(index: number): SnapshotMeta | null {
		const term = this.#raft.termAt(index);
		return term === null ? null : { index, term, configuration: this.#raft.configurationAt(index) };
	}

	/** With `reportsApplied`: the state holds everything up to here. */
	applied(index: number): void {
		if (this.#down === null && index <= this.#handOver.index) this.#step(() => this.#raft.applied(index));
	}

	async compact(index: number): Promise<void> {
		if (this.#down !== null) throw this.#down;
		const upTo = Math.min(index, this.#raft.appliedIndex);
		if (upTo <= this.#compactedTo) return;
		this.#raft.compacted(upTo);
		this.#compactedTo = upTo;
		await this.#disk.cutBefore(upTo + 1).catch((error) => {
			this.#fail(error);
			throw error;
		});
	}

	logBytesAfter(index: number): number {
		return this.#log.bytesAfter(index);
	}

	/** Refuses what is new, finishes the write under way, and answers all who wait. */
	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	async #close(): Promise<void> {
		this.#ticker.stop();
		if (this.#down === null) {
			this.#down = new AppError("unavailable", "This node is shutting down.", { retryAfterMs: 1000 });
			await this.#settle();
		}
		this.#stop();
		this.#rejectAll(this.#down);
		await this.#traffic.close();
		await this.#disk.close();
	}

	async #leadAlone(): Promise<void> {
		for (let ticks = 0; ticks < 1000 && this.#raft.role === "follower"; ticks++) this.#raft.tick();
		await this.#settle();
	}

	/** Until there is nothing to write and nothing to hand over. */
	async #settle(): Promise<void> {
		for (;;) {
			this.#pump();
			if (this.#writer.underWay !== null) await this.#writer.underWay;
			else if (this.#handOver.waits || this.#stopped) return;
			// The next part is read from the log.
			else await this.#disk.idle();
		}
	}

	#tick(): void {
		if (this.#down !== null) return;
		this.#now += 1;
		this.#proposals.tick();
		this.#reads.expire(this.#now);
		this.#step(() => {
			this.#raft.tick();
			this.#traffic.tick();
			if (this.#transfer.some) this.#transfer.watch(this.#raft.status(), this.#now, 4 * this.#electionTicks);
		});
	}

	#step(work: () => void): void {
		try {
			work();
			this.#wake();
		} catch (error) {
			this.#fail(error);
		}
	}

	/** What the core has to say is asked for at the end of this turn, once. */
	#wake(): void {
		if (this.#woken || this.#stopped) return;
		this.#woken = true;
		queueMicrotask(this.#onWake);
	}

	#pump(): void {
		if (this.#stopped || this.#pumping) return;
		if (!planted(this.#disk, "read-shared-too-long")) this.#newRead = null;
		this.#pumping = true;
		try {
			for (let ready = this.#raft.ready(); ready !== null; ready = this.#raft.ready()) {
				this.#carryOut(ready);
				if (this.#stopped) return;
			}
			this.#leaderNews.tell(this.#raft.leader);
		} catch (error) {
			this.#fail(error);
		} finally {
			this.#pumping = false;
		}
	}

	#carryOut({ persist, messages, committed, reads, fetches, snapshots }: Ready): void {
		const { transport } = this.#parts;
		for (const message of messages) transport.send(message);
		if (persist !== null) this.#writer.start(persist);
		if (committed !== null) this.#handOver.add(committed);
		for (const { token, index } of reads) this.#reads.answer(token, index);
		for (const { request, firstIndex, maxBytes } of fetches) this.#fetch(request, firstIndex, maxBytes);
		for (const wanted of snapshots) this.#traffic.wanted(wanted);
	}

	#fetch(request: number, firstIndex: number, maxBytes: number): void {
		this.#disk.read(firstIndex, Number.POSITIVE_INFINITY, maxBytes).then(
			(entries) => {
				if (!this.#stopped) this.#step(() => this.#raft.entriesRead(request, entries));
			},
			(error) => this.#fail(error),
		);
	}

	#deliver(entries: readonly Entry[]): void {
		this.#parts.onCommitted(entries);
		this.#proposals.committed(entries);
		if (this.#parts.reportsApplied !== true) this.#raft.applied(this.#handOver.index);
	}

	async #received(offer: Offer): Promise<DoneReason> {
		const reason = await takeSnapshot(
			{
				raft: this.#raft,
				disk: this.#disk,
				handOver: this.#handOver,
				snapshots: this.#parts.snapshots,
				settle: () => this.#settle(),
				durableTerm: () => this.#writer.durableTerm,
				ending: () => this.#down !== null,
			},
			offer,
		);
		if (reason === "installed") {
			this.#compactedTo = offer.meta.index;
			this.#proposals.skipped(offer.meta.index);
		}
		this.#wake();
		return reason;
	}

	#fail(error: unknown): void {
		if (this.#stopped) return;
		this.#stop();
		const known = toAppError(error);
		this.#parts.logger.error("the consensus of this node has failed", { error: known });
		this.#down = known;
		this.#rejectAll(known);
		this.#parts.onFatal(known);
	}

	#stop(): void {
		this.#stopped = true;
		this.#ticker.stop();
		this.#writer.stop();
	}

	#rejectAll(reason: AppError): void {
		this.#proposals.rejectAll(unknownOutcome(reason.message, reason.code, reason));
		this.#reads.rejectAll(reason);
		this.#transfer.reject(reason);
	}
}
