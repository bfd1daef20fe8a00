/**
 * What the core knows of the log, which itself is on disk: where it begins and ends, the terms, and the last entries
 * (those that are not durable or not committed, and as many more as the limits of the tail allow).
 *
 *   snapshotIndex < entries … durableIndex … handedIndex … lastIndex
 *
 * `durableIndex`: the disk has it. `handedIndex`: given to the caller to be written. Both fall when entries are cut off.
 */
import { assert } from "../lib/assert.ts";
import { TermRuns } from "./term-runs.ts";
import type { Entry, Limits, RaftOptions } from "./types.ts";

const entryOverheadBytes = 32;
export const entryBytes = (entry: Entry): number => entry.data.length + entryOverheadBytes;

type TailLimits = Pick<Limits, "maxTailBytes" | "maxTailEntries">;

export class LogView {
	snapshotIndex: number;
	snapshotTerm: number;
	lastIndex: number;
	durableIndex: number;
	handedIndex: number;
	/** What is on disk, or being written, after this index has to go; null for nothing. */
	truncateAfter: number | null = null;
	/** Of entries after `durableIndex`. */
	unpersistedBytes = 0;
	readonly #runs: TermRuns;
	readonly #limits: TailLimits;
	#tail: Entry[] = [];
	/** The first position of `#tail` that is in use. */
	#head = 0;
	#tailBytes = 0;

	constructor(log: RaftOptions["log"], limits: TailLimits) {
		assert(log.lastIndex >= log.snapshotIndex, "the log ends at or after the snapshot");
		this.snapshotIndex = log.snapshotIndex;
		this.snapshotTerm = log.snapshotTerm;
		this.lastIndex = log.lastIndex;
		this.durableIndex = log.lastIndex;
		this.handedIndex = log.lastIndex;
		this.#runs = new TermRuns(log.termRuns);
		this.#runs.truncateAfter(log.lastIndex);
		this.#limits = limits;
		assert(log.lastIndex === log.snapshotIndex || this.termAt(log.snapshotIndex + 1) !== null, "all terms are known");
	}

	get lastTerm(): number {
		return this.termAt(this.lastIndex) ?? 0;
	}

	/** Null for an entry that is gone into the snapshot, or not there yet. */
	termAt(index: number): number | null {
		if (index === this.snapshotIndex) return this.snapshotTerm;
		if (index < this.snapshotIndex || index > this.lastIndex) return null;
		return this.#runs.termAt(index);
	}

	append(entry: Entry): void {
		assert(entry.index === this.lastIndex + 1, () => `entry ${entry.index} follows ${this.lastIndex}`);
		assert(entry.term >= this.lastTerm, "terms never fall");
		this.#runs.append(entry.index, entry.term);
		this.lastIndex = entry.index;
		this.#tail.push(entry);
		this.#tailBytes += entryBytes(entry);
		this.unpersistedBytes += entryBytes(entry);
	}

	truncate(afterIndex: number): void {
		assert(afterIndex >= this.snapshotIndex, "a snapshot is never cut");
		if (afterIndex >= this.lastIndex) return;
		if (afterIndex < this.handedIndex) {
			this.truncateAfter = Math.min(this.truncateAfter ?? afterIndex, afterIndex);
			this.handedIndex = afterIndex;
		}
		while (this.#tail.length > this.#head && (this.#tail.at(-1) as Entry).index > afterIndex)
			this.#tailBytes -= entryBytes(this.#tail.pop() as Entry);
		this.#runs.truncateAfter(afterIndex);
		this.lastIndex = afterIndex;
		this.durableIndex = Math.min(this.durableIndex, afterIndex);
		this.#countUnpersisted();
	}

	durableUpTo(index: number): void {
		this.durableIndex = index;
		this.#countUnpersisted();
	}

	/** Forgets entries of memory that are not needed: up to `index`, the durable and committed ones. */
	evict(index: number): void {
		const upTo = Math.min(index, this.durableIndex);
		while (this.#isTailTooLong && this.#head < this.#tail.length) {
			const oldest = this.#tail[this.#head] as Entry;
			if (oldest.index > upTo) break;
			this.#tailBytes -= entryBytes(oldest);
			this.#head += 1;
		}
		if (this.#head > 1024 && this.#head * 2 > this.#tail.length) {
			this.#tail = this.#tail.slice(this.#head);
			this.#head = 0;
		}
	}

	get #isTailTooLong(): boolean {
		const { maxTailBytes, maxTailEntries } = this.#limits;
		return this.#tailBytes > maxTailBytes || this.#tail.length - this.#head > maxTailEntries;
	}

	/** The entry, when it is in memory. */
	entry(index: number): Entry | null {
		const first = this.#tail[this.#head];
		if (first === undefined || index < first.index || index > this.lastIndex) return null;
		return this.#tail[this.#head + index - first.index] as Entry;
	}

	/** Entries in memory from `firstIndex` to `lastIndex`, as many as fit into `maxBytes`, at least one. */
	entries(firstIndex: number, lastIndex: number, maxBytes: number): Entry[] {
		const first = this.#tail[this.#head];
		assert(first !== undefined && firstIndex >= first.index && lastIndex <= this.lastIndex, "entries are in memory");
		const start = this.#head + firstIndex - first.index;
		const limit = start + lastIndex - firstIndex + 1;
		let end = start;
		let bytes = 0;
		while (end < limit) {
			bytes += entryBytes(this.#tail[end] as Entry);
			if (bytes > maxBytes && end > start) break;
			end += 1;
		}
		return this.#tail.slice(start, end);
	}

	/** The caller has a durable snapshot up to `index` and has cut, or may now cut, the log before it. */
	compact(index: number): void {
		const term = this.termAt(index);
		if (term === null || index <= this.snapshotIndex) return;
		this.#runs.compact(index);
		if (index === this.lastIndex) this.#runs.clear();
		this.snapshotIndex = index;
		this.snapshotTerm = term;
		while (this.#head < this.#tail.length && (this.#tail[this.#head] as Entry).index <= index) {
			this.#tailBytes -= entryBytes(this.#tail[this.#head] as Entry);
			this.#head += 1;
		}
	}

	/** The log begins anew after a snapshot; the caller has done the same on disk. */
	reset(snapshotIndex: number, snapshotTerm: number): void {
		this.#runs.clear();
		this.#tail = [];
		this.#head = 0;
		this.#tailBytes = 0;
		this.unpersistedBytes = 0;
		this.snapshotIndex = snapshotIndex;
		this.snapshotTerm = snapshotTerm;
		this.lastIndex = snapshotIndex;
		this.durableIndex = snapshotIndex;
		this.handedIndex = snapshotIndex;
		this.truncateAfter = null;
	}

	/**
	 * The last index up to `maxIndex` whose term is at most `term`: where two logs can still agree, given that the other
	 * one has `term` there. Skips whole terms instead of going back entry by entry (thesis, 3.5).
	 */
	lastIndexOfTermAtMost(maxIndex: number, term: number): number {
		const bounded = Math.min(maxIndex, this.lastIndex);
		if (bounded <= this.snapshotIndex) return bounded;
		return this.#runs.lastIndexOfTermAtMost(bounded, term) ?? this.snapshotIndex;
	}

	#countUnpersisted(): void {
		let bytes = 0;
		for (let position = this.#tail.length - 1; position >= this.#head; position--) {
			const entry = this.#tail[position] as Entry;
			if (entry.index <= this.durableIndex) break;
			bytes += entryBytes(entry);
		}
		this.unpersistedBytes = bytes;
	}
}
