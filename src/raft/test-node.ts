/**
 * For tests: a node with a disk that loses what was not made durable, and the caller's duties (raft.ts) carried out in
 * steps that a test can put in any order. What it applies is checked by whoever listens.
 */
import { assert, present } from "../lib/assert.ts";
import { decodeConfiguration } from "./configuration.ts";
import { entryBytes } from "./log-view.ts";
import type { Message } from "./messages.ts";
import type { MutantName } from "./mutants.ts";
import { Raft } from "./raft.ts";
import type {
	Committed,
	ConfigurationAt,
	Entry,
	HardState,
	Limits,
	NodeId,
	Persist,
	ReadAnswer,
	SnapshotMeta,
	TermRun,
} from "./types.ts";

export type Disk = {
	hardState: HardState;
	snapshot: SnapshotMeta;
	entries: Entry[];
	appliedIndex: number;
	damaged: boolean;
};
export type SnapshotUnderWay = { from: NodeId; to: NodeId; term: number; meta: SnapshotMeta };

export interface Listener {
	message(message: Message): void;
	snapshot(snapshot: SnapshotUnderWay): void;
	applied(node: NodeId, entry: Entry): void;
	answered(node: NodeId, answer: ReadAnswer): void;
	persisted(node: NodeId, entries: readonly Entry[], disk: Disk): void;
}

export type TestNodeOptions = {
	id: NodeId;
	clusterId?: string;
	initial: ConfigurationAt[];
	random: () => number;
	limits?: Partial<Limits>;
	mutant?: MutantName;
	listener: Listener;
};

/** How much of the write under way a crash leaves. */
export type Left = "nothing" | "hard-state" | "cut" | "half" | "all";

export class TestNode {
	readonly id: NodeId;
	readonly disk: Disk;
	raft: Raft | null = null;
	persisting: Persist | null = null;
	installing: SnapshotUnderWay | null = null;
	readonly #options: TestNodeOptions;

	constructor(options: TestNodeOptions) {
		this.id = options.id;
		this.#options = options;
		const configuration = options.initial[0] ?? {
			index: 0,
			configuration: { voters: [], witnesses: [], learners: [], removed: [] },
		};
		this.disk = {
			hardState: { term: 0, vote: null, recoveries: 0, recovering: false },
			snapshot: { index: 0, term: 0, configuration },
			entries: [],
			appliedIndex: 0,
			damaged: false,
		};
		this.start();
	}

	get lastIndex(): number {
		return this.disk.snapshot.index + this.disk.entries.length;
	}

	start(): void {
		const { disk } = this;
		const { clusterId = "cluster", random, limits = {}, mutant } = this.#options;
		const configurations = [disk.snapshot.configuration];
		const termRuns: TermRun[] = [];
		for (const entry of disk.entries) {
			if (termRuns.at(-1)?.term !== entry.term) termRuns.push({ firstIndex: entry.index, term: entry.term });
			if (entry.kind !== "configuration") continue;
			const configuration = present(decodeConfiguration(entry.data), "a configuration");
			configurations.push({ index: entry.index, configuration });
		}
		const { index: snapshotIndex, term: snapshotTerm } = disk.snapshot;
		this.raft = new Raft({
			clusterId,
			nodeId: this.id,
			hardState: { ...disk.hardState },
			log: { snapshotIndex, snapshotTerm, lastIndex: this.lastIndex, termRuns },
			configurations,
			appliedIndex: disk.appliedIndex,
			recovering: disk.damaged,
			random,
			limits,
			...(mutant === undefined ? {} : { mutant }),
		});
		this.persisting = null;
		this.installing = null;
	}

	/** Everything that needs no disk. A write stays under way until `finishPersist`. */
	pump(): void {
		const { raft } = this;
		if (raft === null) return;
		for (;;) {
			const ready = raft.ready();
			if (ready === null) return;
			for (const message of ready.messages) this.#options.listener.message(message);
			for (const answer of ready.reads) this.#options.listener.answered(this.id, answer);
			if (ready.persist !== null) this.persisting = ready.persist;
			if (ready.committed !== null) this.#apply(raft, ready.committed);
			for (const { request, firstIndex, maxBytes } of ready.fetches)
				raft.entriesRead(request, this.#readBytes(firstIndex, maxBytes));
			for (const { to, term } of ready.snapshots) this.#sendSnapshot(to, term);
		}
	}

	#read(firstIndex: number, lastIndex: number): Entry[] {
		const { snapshot, entries } = this.disk;
		if (firstIndex <= snapshot.index) return [];
		return entries.slice(firstIndex - snapshot.index - 1, lastIndex - snapshot.index);
	}

	#readBytes(firstIndex: number, maxBytes: number): Entry[] {
		let bytes = 0;
		return this.#read(firstIndex, this.lastIndex).filter((entry, at) => {
			bytes += entryBytes(entry);
			return at === 0 || bytes <= maxBytes;
		});
	}

	#apply(raft: Raft, { firstIndex, lastIndex, entries }: Committed): void {
		const all = entries ?? this.#read(firstIndex, lastIndex);
		assert(all.length === lastIndex - firstIndex + 1, "committed entries are in the log");
		assert(firstIndex === this.disk.appliedIndex + 1, `${this.id} applies ${firstIndex} in order`);
		for (const entry of all) this.#options.listener.applied(this.id, entry);
		this.disk.appliedIndex = lastIndex;
		assert(lastIndex <= this.lastIndex, `${this.id} applies only what its disk has`);
		raft.applied(lastIndex);
	}

	/** Of the state as it is: newer than where the log begins. */
	#sendSnapshot(to: NodeId, term: number): void {
		const index = this.disk.appliedIndex;
		const raft = present(this.raft, "raft");
		const meta = { index, term: raft.termAt(index) ?? 0, configuration: raft.configurationAt(index) };
		this.#options.listener.snapshot({ from: this.id, to, term, meta });
	}

	finishPersist(): void {
		const { persisting } = this;
		if (persisting === null || this.raft === null) return;
		this.persisting = null;
		this.#write(persisting, "all");
		this.#options.listener.persisted(this.id, persisting.entries, this.disk);
		this.raft.persisted(persisting.token);
		this.pump();
		this.#install();
	}

	refusePersist(): void {
		const { persisting } = this;
		if (persisting === null || this.raft === null) return;
		this.persisting = null;
		this.raft.persistRefused(persisting.token);
		this.pump();
		this.#install();
	}

	#write({ hardState, truncateAfter, entries }: Persist, left: Left): void {
		const { disk } = this;
		if (left === "nothing") return;
		if (hardState !== null) {
			disk.hardState = { ...hardState };
			disk.damaged = false;
		}
		if (left === "hard-state") return;
		if (truncateAfter !== null && truncateAfter < this.lastIndex)
			disk.entries.length = Math.max(0, truncateAfter - disk.snapshot.index);
		if (left === "cut") return;
		for (const entry of left === "all" ? entries : entries.slice(0, Math.ceil(entries.length / 2))) {
			assert(entry.index === this.lastIndex + 1, `${this.id} writes ${entry.index} after ${this.lastIndex}`);
			disk.entries.push(entry);
		}
	}

	/** True when the snapshot is on its way into the state; the sender learns of it when it is there. */
	receiveSnapshot(snapshot: SnapshotUnderWay): boolean {
		if (this.raft === null) return false;
		const verdict = this.raft.snapshotReceived(snapshot.from, snapshot.term, snapshot.meta);
		if (verdict === "install") this.installing = snapshot;
		this.#install();
		this.pump();
		return verdict === "install" || verdict === "have";
	}

	#install(): void {
		if (this.installing === null || this.persisting !== null || this.raft === null) return;
		const { meta } = this.installing;
		this.installing = null;
		this.disk.snapshot = meta;
		this.disk.entries = [];
		this.disk.appliedIndex = meta.index;
		this.raft.snapshotInstalled();
		this.pump();
	}

	/** A snapshot of its own up to `index`, and the log before it is gone. */
	compact(index: number): void {
		const { disk, raft } = this;
		if (raft === null || index <= disk.snapshot.index || index > disk.appliedIndex) return;
		const term = present(raft.termAt(index), "the term of an entry in the log");
		const configuration = raft.configurationAt(index);
		disk.entries.splice(0, index - disk.snapshot.index);
		disk.snapshot = { index, term, configuration };
		raft.compacted(index);
	}

	crash(left: Left): void {
		if (this.persisting !== null) this.#write(this.persisting, left);
		this.raft = null;
		this.persisting = null;
		this.installing = null;
	}

	/** While it is down: its disk of the time when `index` was the last entry is put back. */
	putBack(index: number): void {
		const { disk } = this;
		assert(this.raft === null && index >= disk.snapshot.index, "a node that is down gets an old disk");
		disk.entries.length = index - disk.snapshot.index;
		disk.appliedIndex = Math.min(disk.appliedIndex, index);
		const term = disk.entries.at(-1)?.term ?? disk.snapshot.term;
		disk.hardState = { term, vote: null, recoveries: 0, recovering: false };
	}

	/** While it is down: entries after `index` are unreadable, and maybe the state too. */
	damage(index: number): void {
		const { disk } = this;
		assert(this.raft === null && index >= disk.snapshot.index, "a node that is down is damaged");
		if (index >= this.lastIndex) return;
		disk.entries.length = index - disk.snapshot.index;
		disk.appliedIndex = Math.min(disk.appliedIndex, index);
		disk.damaged = true;
	}
}
