/**
 * The core with a modelled log: all its caller's duties (raft.ts), without files. Fast, and the faults of the disk come in
 * the core's own units. driver-process.ts runs the daemon's driver and log instead.
 */
import { assert, present } from "../../lib/assert.ts";
import type { Message } from "../../raft/messages.ts";
import type { MutantName } from "../../raft/mutants.ts";
import { Raft } from "../../raft/raft.ts";
import type { Change, Committed, ConfigurationAt, Limits, NodeId, Persist, Status, Vitals } from "../../raft/types.ts";
import type { Machine, Request } from "./machine.ts";
import type { ModelDisk } from "./model-disk.ts";
import type { Snapshot } from "./node-disk.ts";
import {
	answerWith,
	type ProcessHost,
	type ProposalOutcome,
	type Proposed,
	type ReadDone,
	type SimulatedProcess,
	type StreamMessage,
} from "./process.ts";
import type { Random } from "./random.ts";
import { SnapshotTraffic } from "./snapshot-traffic.ts";

export type CoreProcessOptions = {
	id: NodeId;
	host: ProcessHost;
	disk: ModelDisk;
	random: Random;
	limits: Partial<Limits>;
	mutant: MutantName | null;
	snapshotEntries: number;
	keptEntries: number;
	chunkBytes: number;
	tickMs: () => number;
};

type Waiting = { term: number; done: (outcome: ProposalOutcome) => void };
type Read = { index: number; done: ReadDone };

export class CoreProcess implements SimulatedProcess {
	readonly #options: CoreProcessOptions;
	readonly #raft: Raft;
	readonly #traffic: SnapshotTraffic;
	#persisting: Persist | null = null;
	#installing: { snapshot: Snapshot; done: () => void } | null = null;
	readonly #proposals = new Map<number, Waiting>();
	readonly #reads = new Map<number, { since: number; done: ReadDone }>();
	#confirmed: Read[] = [];
	#token = 0;

	constructor(options: CoreProcessOptions) {
		this.#options = options;
		const { id, disk, random, limits, mutant, host, chunkBytes } = options;
		this.#raft = new Raft({
			clusterId: "cluster",
			nodeId: id,
			...disk.forRaft(),
			random: random.next,
			limits,
			...(mutant === null ? {} : { mutant }),
		});
		this.#traffic = new SnapshotTraffic({
			id,
			host,
			mutant,
			chunkBytes,
			sent: (to, index) => {
				this.#raft.snapshotSent(to, index);
				this.flush();
			},
			received: (from, term, snapshot, finished) => {
				const { term: ownTerm } = this.#raft;
				const verdict = this.#raft.snapshotReceived(from, term, snapshot.meta);
				if (verdict === "install") {
					host.installing(term, ownTerm);
					this.#installing = { snapshot, done: () => finished("installed") };
					this.#install();
				} else finished(verdict);
				this.flush();
			},
		});
	}

	/** Once the node has it. */
	begin(): void {
		this.#schedule();
		this.flush();
	}

	get machine(): Machine {
		return this.#options.disk.machine;
	}

	#schedule(): void {
		const { host, tickMs } = this.#options;
		host.later(tickMs(), () => {
			this.tick();
			this.#schedule();
		});
	}

	tick(): void {
		this.#raft.tick();
		this.flush();
		this.#options.host.ticked();
	}

	receive(message: Message): void {
		this.#raft.step(message);
		this.flush();
	}

	receiveStream(from: NodeId, message: StreamMessage): void {
		this.#traffic.receive(from, message);
	}

	peerGone(id: NodeId): void {
		this.#raft.peerGone(id);
	}

	readonly forwarded = null;

	propose({ data, operation }: Request, done: Proposed): void {
		const answer = (outcome: ProposalOutcome): void => answerWith(this.machine, operation, outcome, done);
		const result = this.#raft.propose(data);
		if ("refused" in result) answer("refused");
		else this.#proposals.set(result.index, { term: result.term, done: answer });
	}

	read(done: ReadDone): void {
		const token = ++this.#token;
		this.#reads.set(token, { since: this.#options.host.step(), done });
		this.#raft.readIndex(token);
	}

	change(change: Change, refused: (why: string) => void): void {
		const result = this.#raft.proposeConfiguration(change);
		this.flush();
		if ("refused" in result) refused(result.refused);
	}

	transfer(to: NodeId | null): void {
		this.#raft.transferLeadership(to);
		this.flush();
	}

	status(): Status {
		return this.#raft.status();
	}

	get vitals(): Vitals {
		return this.#raft;
	}

	get leader(): NodeId | null {
		return this.#raft.leader;
	}

	get term(): number {
		return this.#raft.term;
	}

	get leads(): boolean {
		return this.#raft.role === "leader";
	}

	termAt(index: number): number | null {
		return this.#raft.termAt(index);
	}

	configuration(): ConfigurationAt {
		return this.#raft.configurationAt(Number.MAX_SAFE_INTEGER);
	}

	flush(): void {
		const { host, disk } = this.#options;
		for (;;) {
			const ready = this.#raft.ready();
			if (ready === null) return;
			for (const message of ready.messages) host.send(message);
			for (const { token, index } of ready.reads) this.#answered(token, index);
			if (ready.persist !== null) this.#persist(ready.persist);
			if (ready.committed !== null) this.#apply(ready.committed);
			for (const { request, firstIndex, maxBytes } of ready.fetches)
				this.#raft.entriesRead(request, disk.readBytes(firstIndex, maxBytes));
			for (const { to, term } of ready.snapshots)
				this.#traffic.begin(to, term, present(disk.snapshot, "a snapshot of what the log has not"));
		}
	}

	#persist(persist: Persist): void {
		const { host, disk, random } = this.#options;
		this.#persisting = persist;
		disk.underWay = persist;
		host.later(host.writeMs(), () => {
			const fault = host.writeFault("file");
			if (fault !== null) {
				host.ended(fault === "crash" ? "crash in a write" : "the disk failed");
				return;
			}
			this.#persisting = null;
			disk.underWay = null;
			// Room for a vote may be there when there is none for entries.
			if (host.isFull() && (persist.entries.length > 0 || random.chance(0.5))) {
				this.#raft.persistRefused(persist.token);
			} else {
				disk.write(persist);
				this.#raft.persisted(persist.token);
			}
			this.flush();
			this.#install();
		});
	}

	#apply({ firstIndex, lastIndex, entries }: Committed): void {
		const { disk, host } = this.#options;
		const { machine } = disk;
		const all = entries ?? disk.read(firstIndex, lastIndex);
		assert(all.length === lastIndex - firstIndex + 1, "committed entries are in the log");
		for (const entry of all) {
			assert(entry.index === machine.index + 1, `entries are applied in order: ${entry.index} after ${machine.index}`);
			assert(entry.index <= disk.lastIndex, "only what is durable is applied");
			host.applied(machine, entry, true);
			const waiting = this.#proposals.get(entry.index);
			if (waiting === undefined) continue;
			this.#proposals.delete(entry.index);
			waiting.done(waiting.term === entry.term ? "committed" : "unknown");
		}
		this.#raft.applied(lastIndex);
		this.#serveReads();
		this.#compact();
	}

	#answered(token: number, index: number | null): void {
		const read = this.#reads.get(token);
		this.#reads.delete(token);
		if (read === undefined) return;
		const { done, since } = read;
		if (index !== null) this.#options.host.readConfirmed(since);
		if (index === null) done(null, 0);
		else if (index <= this.machine.index) done(this.machine, index);
		else this.#confirmed.push({ index, done });
	}

	#serveReads(): void {
		if (this.#confirmed.length === 0) return;
		const { machine } = this;
		const ready = this.#confirmed.filter(({ index }) => index <= machine.index);
		this.#confirmed = this.#confirmed.filter(({ index }) => index > machine.index);
		for (const { index, done } of ready) done(machine, index);
	}

	#compact(): void {
		const { disk, snapshotEntries, keptEntries } = this.#options;
		const { index } = disk.machine;
		if (index - (disk.snapshot?.meta.index ?? 0) < snapshotEntries) return;
		const kept = Math.min(keptEntries, index - disk.start.index);
		const startTerm = this.#raft.termAt(index - kept);
		const term = this.#raft.termAt(index);
		if (startTerm === null || term === null) return;
		const meta = { index, term, configuration: this.#raft.configurationAt(index) };
		disk.compact(meta, kept, startTerm, this.#raft.configurationAt(index - kept));
		this.#raft.compacted(index - kept);
	}

	#install(): void {
		const { disk, host } = this.#options;
		if (this.#installing === null || this.#persisting !== null) return;
		const { snapshot, done } = this.#installing;
		this.#installing = null;
		const before = disk.machine.index;
		disk.install(snapshot);
		this.#raft.snapshotInstalled();
		host.installed(disk.machine, before);
		for (const [index, { done: abandoned }] of this.#proposals) {
			if (index > disk.machine.index) continue;
			this.#proposals.delete(index);
			abandoned("unknown");
		}
		done();
		this.#serveReads();
		this.flush();
	}
}
