/**
 * The disk of a node whose log is modelled (core-process.ts): what is durable, in the units in which the core asks for it
 * to be written. It survives the process. A crash leaves a part of the write that was under way, in the order of the
 * caller's duties (raft.ts).
 */
import { assert, present } from "../../lib/assert.ts";
import { decodeConfiguration } from "../../raft/configuration.ts";
import { entryBytes } from "../../raft/log-view.ts";
import type {
	ConfigurationAt,
	Entry,
	HardState,
	Persist,
	RaftOptions,
	SnapshotMeta,
	TermRun,
} from "../../raft/types.ts";
import type { NodeRecord } from "./checker.ts";
import type { NodeDisk, Snapshot } from "./node-disk.ts";
import type { Random } from "./random.ts";
import { RegisterMachine } from "./register-machine.ts";

type Start = { index: number; term: number; configuration: ConfigurationAt };

export class ModelDisk implements NodeDisk {
	/** What is being written. */
	underWay: Persist | null = null;
	hardState: HardState = { term: 0, vote: null, recoveries: 0, recovering: false };
	snapshot: Snapshot | null = null;
	/** The log begins after this. */
	start: Start;
	entries: Entry[] = [];
	machine = new RegisterMachine();
	/** The next start finds the log damaged. */
	damaged = false;
	readonly record: NodeRecord;

	constructor(record: NodeRecord, initial: ConfigurationAt) {
		this.record = record;
		this.start = { index: 0, term: 0, configuration: initial };
	}

	get lastIndex(): number {
		return this.start.index + this.entries.length;
	}

	forRaft(): Pick<RaftOptions, "hardState" | "log" | "configurations" | "appliedIndex" | "recovering"> {
		const configurations = [this.start.configuration];
		const termRuns: TermRun[] = [];
		for (const entry of this.entries) {
			if (termRuns.at(-1)?.term !== entry.term) termRuns.push({ firstIndex: entry.index, term: entry.term });
			if (entry.kind !== "configuration") continue;
			configurations.push({
				index: entry.index,
				configuration: present(decodeConfiguration(entry.data), "a configuration"),
			});
		}
		const { index: snapshotIndex, term: snapshotTerm } = this.start;
		return {
			hardState: { ...this.hardState },
			log: { snapshotIndex, snapshotTerm, lastIndex: this.lastIndex, termRuns },
			configurations,
			appliedIndex: this.machine.index,
			recovering: this.damaged,
		};
	}

	/** Exactly these; empty when the log does not have them. */
	read(firstIndex: number, lastIndex: number): Entry[] {
		if (firstIndex <= this.start.index) return [];
		return this.entries.slice(firstIndex - this.start.index - 1, lastIndex - this.start.index);
	}

	readBytes(firstIndex: number, maxBytes: number): Entry[] {
		if (firstIndex <= this.start.index) return [];
		const found: Entry[] = [];
		let bytes = 0;
		for (let at = firstIndex - this.start.index - 1; at < this.entries.length; at++) {
			const entry = this.entries[at] as Entry;
			bytes += entryBytes(entry);
			if (bytes > maxBytes && found.length > 0) break;
			found.push(entry);
		}
		return found;
	}

	write(persist: Persist): void {
		this.#hardState(persist);
		this.#cut(persist);
		for (const entry of persist.entries) this.#append(entry);
	}

	crash(random: Random, power: boolean): void {
		const persist = this.underWay;
		this.underWay = null;
		const left = random.below(4);
		if (persist === null || (left === 0 && power)) return;
		this.#hardState(persist);
		if (left === 1) return;
		this.#cut(persist);
		const count = left === 2 ? random.below(persist.entries.length + 1) : persist.entries.length;
		for (let at = 0; at < count; at++) this.#append(persist.entries[at] as Entry);
	}

	#hardState({ hardState }: Persist): void {
		if (hardState === null) return;
		const recovered = this.hardState.recovering && !hardState.recovering;
		this.hardState = { ...hardState };
		this.damaged = false;
		if (!recovered) return;
		this.#holdsUpTo(this.start.index);
		for (const entry of this.entries) this.record.durableTerms[entry.index] = entry.term;
	}

	/** What the log begins after is in the snapshot. */
	#holdsUpTo(index: number): void {
		this.record.heldUpTo = Math.max(this.record.heldUpTo, index);
	}

	#cut({ truncateAfter }: Persist): void {
		if (truncateAfter !== null && truncateAfter < this.lastIndex)
			this.entries.length = Math.max(0, truncateAfter - this.start.index);
	}

	#append(entry: Entry): void {
		assert(entry.index === this.lastIndex + 1, `the log is written in order: ${entry.index} after ${this.lastIndex}`);
		this.entries.push(entry);
		if (!this.hardState.recovering) this.record.durableTerms[entry.index] = entry.term;
	}

	/** A snapshot of the machine as it is, and of the log `kept` entries before it. */
	compact(meta: SnapshotMeta, kept: number, startTerm: number, startConfiguration: ConfigurationAt): void {
		this.snapshot = { meta, data: this.machine.save() };
		const index = meta.index - kept;
		this.entries.splice(0, index - this.start.index);
		this.start = { index, term: startTerm, configuration: startConfiguration };
	}

	install(snapshot: Snapshot): void {
		const { index, term, configuration } = snapshot.meta;
		this.snapshot = snapshot;
		this.machine.restore(snapshot.data);
		this.entries = [];
		this.start = { index, term, configuration };
		if (!this.hardState.recovering) this.#holdsUpTo(index);
	}

	/** The state goes back to the snapshot, and is applied again from there. */
	forgetState(): void {
		this.machine.restore(this.snapshot?.data ?? null);
	}

	readonly voteDamaged = false;

	/** The files are not modelled. */
	damageVote(): boolean {
		return false;
	}

	/** Entries from some on cannot be read any more; and the state, if it had seen them, is rebuilt. */
	damage(random: Random): boolean {
		if (this.lastIndex === this.start.index) return false;
		const index = this.start.index + random.below(this.lastIndex - this.start.index);
		this.entries.length = index - this.start.index;
		this.damaged = true;
		if (this.machine.index > index) this.forgetState();
		if (this.machine.index > this.lastIndex) {
			// The log was damaged before the end of the snapshot: it begins anew after it.
			const { meta } = present(this.snapshot, "the snapshot that the log was cut for");
			this.start = { index: meta.index, term: meta.term, configuration: meta.configuration };
			this.entries = [];
		}
		return true;
	}
}
