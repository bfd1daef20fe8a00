/**
 * The Raft log on disk: append-only segments in one folder (format: record.ts). One owner, one change at a time; an
 * entry counts only after `append` has resolved, that is after fdatasync.
 *
 * - Disk full: the partial append is cut off again, the error is `no-space`, and a later append can succeed.
 * - Any other error of a write or sync: the log fails for good (`onFatal`). What the disk then holds is unknown, and a
 *   second fsync would say "ok" about pages that the first one lost.
 * - At open, a torn tail is cut off; damage of anything that was durable is refused, or cut off and told (recovery.ts).
 *
 * Entries are cut off by one step that is durable or has not happened: a new segment of the next generation, empty, that
 * begins where the cut is. From then on nothing from there on counts in segments of earlier generations, whatever lies
 * in them; those of which nothing counts are then removed, in any order, at the latest by the next start. So bytes are
 * never written over others: no entry of before can follow one of after the cut, and `synced` means the same in all of a
 * segment. A log that begins anew after a snapshot is cut in the same way, by a segment before which nothing counts.
 */
import { assert } from "../../lib/assert.ts";
import { AppError, isAppError, toAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { type MutantName, planted } from "../../raft/mutants.ts";
import type { Entry, TermRun } from "../../raft/types.ts";
import { restoreAdvice } from "../advice.ts";
import type { Urgency } from "../disk-reserve.ts";
import type { LogFile } from "./files.ts";
import { decodeRecord, encodeRecords, type NewEntry } from "./record.ts";
import { type Recovered, type RecoveryOptions, recoverSegments, termAt } from "./recovery.ts";
import { addRun, createSegment, cutSegment, endOf, lastTermOf, notSpace, type Segment } from "./segment.ts";

export const defaultSegmentBytes = 8 * MiB;
/** What even an empty file takes of a disk. */
const blockBytes = 4096;

export type SegmentLogOptions = RecoveryOptions & {
	onFatal: (error: AppError) => void;
	segmentBytes?: number;
};

export class SegmentLog {
	/** What opening it has found; empty for a log that was made. */
	readonly found: Pick<Recovered, "configurations" | "damaged">;
	readonly mutant: MutantName | null;
	readonly #options: SegmentLogOptions;
	readonly #segments: Segment[];
	readonly #segmentBytes: number;
	#active: LogFile;
	#failure: AppError | null = null;
	#busy = false;

	private constructor(options: SegmentLogOptions, { segments, active, configurations, damaged }: Recovered) {
		this.#options = options;
		this.#segments = segments;
		this.#active = active;
		this.#segmentBytes = options.segmentBytes ?? defaultSegmentBytes;
		this.found = { configurations, damaged };
		this.mutant = options.mutant ?? null;
	}

	/**
	 * `corrupt` when durable entries are damaged or missing and that is to be refused. `createAt`: first index of a log
	 * that does not exist yet; null when there has to be one.
	 */
	static async open(options: SegmentLogOptions, createAt: number | null): Promise<SegmentLog> {
		const recovered = await recoverSegments(options, createAt);
		if (recovered !== null) return new SegmentLog(options, recovered);
		if (createAt === null)
			throw new AppError(
				"corrupt",
				`The log is missing, while the state holds changes up to ${options.knownIndex}. Nothing was changed. Put the log's folder, raft/, back from a copy. ${restoreAdvice}`,
			);
		const { segment, file } = await createSegment(
			options.files,
			{ firstIndex: createAt, generation: 0, anew: false, previousTerm: 0 },
			0,
		);
		return new SegmentLog(options, { segments: [segment], active: file, configurations: [], damaged: null });
	}

	/** Of the first entry; one more than `lastIndex` when there is none. */
	get firstIndex(): number {
		return this.#segments[0]?.firstIndex ?? 0;
	}

	get lastIndex(): number {
		return endOf(this.#last());
	}

	/** Of the last entry, or of the one before the log; 0 when that is not known. */
	get lastTerm(): number {
		return lastTermOf(this.#last());
	}

	/** Of an entry of the log, or of the one before it; null for others, and when it is not known. */
	termAt(index: number): number | null {
		const first = this.#segments[0];
		if (first !== undefined && index === first.firstIndex - 1)
			return first.previousTerm > 0 || index === 0 ? first.previousTerm : null;
		return termAt(this.#segments, index);
	}

	/** Of all entries. */
	termRuns(): TermRun[] {
		const runs: TermRun[] = [];
		for (const segment of this.#segments)
			for (const { firstIndex, term } of segment.runs) addRun(runs, firstIndex, term);
		return runs;
	}

	/** Bytes on disk of the segments that hold entries after `index`. */
	bytesAfter(index: number): number {
		let bytes = 0;
		for (const segment of this.#segments)
			if (endOf(segment) > index) bytes += Math.max(segment.sizeBytes, segment.generation > 0 ? blockBytes : 0);
		return bytes;
	}

	/**
	 * Durable when it resolves. Entries continue the log. `no-space` leaves the log as it was; it also comes when fewer
	 * than `keepFreeBytes` of the disk would stay free.
	 */
	async append(entries: readonly NewEntry[], keepFreeBytes = 0): Promise<void> {
		const first = entries[0];
		if (!first) return;
		assert(first.index === this.lastIndex + 1, () => `entry ${first.index} follows ${this.lastIndex}`);
		this.#begin();
		try {
			if (this.#last().sizeBytes >= this.#segmentBytes) await this.#rotate(keepFreeBytes);
			const { data, offsets } = encodeRecords(entries, this.lastIndex);
			const segment = this.#last();
			await this.#write(data, segment.sizeBytes, keepFreeBytes);
			for (const offset of offsets) segment.offsets.push(segment.sizeBytes + offset);
			segment.sizeBytes += data.length;
			for (const entry of entries) addRun(segment.runs, entry.index, entry.term);
		} catch (error) {
			throw this.#failed(error);
		} finally {
			this.#busy = false;
		}
	}

	/**
	 * Entries after `index` are gone, for good, when it resolves; a crash meanwhile leaves all of them or none. `no-space`
	 * leaves the log as it was.
	 */
	async truncateAfter(index: number): Promise<void> {
		if (index >= this.lastIndex) return;
		assert(
			index >= this.firstIndex - 1,
			() => `entry ${index} is not before the log, which begins at ${this.firstIndex}`,
		);
		const kept = this.#segments.filter(({ firstIndex }) => firstIndex <= index);
		await this.#cut(kept, index + 1, this.termAt(index) ?? 0);
	}

	/**
	 * The log begins anew after the entry `index` of this term, that of a snapshot. Durable, in one step, as a cut is. The
	 * snapshot is durable before it is called, and found by the next start.
	 */
	async resetTo(index: number, term: number): Promise<void> {
		await this.#cut([], index + 1, term);
	}

	/** Entries from `index` on, of one segment at most; empty beyond the end. Larger than `maxBytes` only if it is one. */
	async read(index: number, maxBytes = this.#segmentBytes): Promise<Entry[]> {
		assert(index >= this.firstIndex, () => `entry ${index} is not before the log, which begins at ${this.firstIndex}`);
		const segment = this.#segments.findLast((candidate) => candidate.firstIndex <= index);
		if (segment === undefined) return [];
		const { offsets, sizeBytes } = segment;
		let position = index - segment.firstIndex;
		const start = offsets[position];
		if (start === undefined) return [];
		let end = start;
		do {
			position += 1;
			end = offsets[position] ?? sizeBytes;
		} while (position < offsets.length && (offsets[position + 1] ?? sizeBytes) - start <= maxBytes);
		const data = await this.#readBytes(segment, start, end - start);
		return decodeAll(data, index);
	}

	/** Removes segments whose entries are all below `index`. The caller has them in a durable snapshot. */
	async cutBefore(index: number): Promise<void> {
		this.#begin();
		try {
			for (;;) {
				const [oldest, second] = this.#segments;
				if (oldest === undefined || second === undefined || second.firstIndex > index) return;
				// Oldest first, each durable before the next: a crash leaves no gap.
				await this.#options.files.remove(oldest.name);
				await this.#options.files.syncDirectory();
				this.#segments.shift();
			}
		} catch (error) {
			throw this.#failed(error);
		} finally {
			this.#busy = false;
		}
	}

	/** Whether something of this urgency can be written and so much still stays free. */
	async hasSpace(urgency: Urgency, keepFreeBytes: number): Promise<boolean> {
		try {
			await this.#active.append(nothing, keepFreeBytes, urgency);
			return true;
		} catch (error) {
			if (isAppError(error, "no-space")) return false;
			throw error;
		}
	}

	async close(): Promise<void> {
		await this.#active.close();
	}

	#last(): Segment {
		const last = this.#segments.at(-1);
		assert(last, "a log has a segment");
		return last;
	}

	#begin(): void {
		if (this.#failure !== null) throw this.#failure;
		assert(!this.#busy, "the log has one writer");
		this.#busy = true;
	}

	#failed(error: unknown): unknown {
		if (isAppError(error, "no-space")) return error;
		const message = "The disk of the log failed. This node stops, so that it acknowledges nothing that it cannot keep.";
		this.#failure ??= new AppError("storage", message, { cause: toAppError(error) });
		this.#options.onFatal(this.#failure);
		return error;
	}

	async #write(data: Uint8Array, sizeBefore: number, keepFreeBytes: number): Promise<void> {
		try {
			if (planted(this, "log-not-synced")) await this.#active.append(data, keepFreeBytes);
			else await this.#active.appendDurably(data, keepFreeBytes);
		} catch (error) {
			if (!isAppError(error, "no-space")) throw error;
			await notSpace(async () => {
				await this.#active.truncate(sizeBefore);
				await this.#active.sync();
			});
			throw error;
		}
	}

	async #rotate(keepFreeBytes: number): Promise<void> {
		const { generation } = this.#last();
		const header = { firstIndex: this.lastIndex + 1, generation, anew: false, previousTerm: this.lastTerm };
		const { segment, file } = await createSegment(this.#options.files, header, keepFreeBytes);
		const full = this.#active;
		this.#segments.push(segment);
		this.#active = file;
		await full.close();
	}

	async #cut(kept: Segment[], firstIndex: number, previousTerm: number): Promise<void> {
		this.#begin();
		try {
			const { files } = this.#options;
			const generation = this.#last().generation + 1;
			const header = { firstIndex, generation, anew: kept.length === 0, previousTerm };
			const { segment, file } = await createSegment(files, header, 0);
			const before = this.#active;
			const gone = this.#segments.filter((one) => !kept.includes(one));
			const last = kept.at(-1);
			if (last !== undefined) cutSegment(last, firstIndex - 1);
			this.#segments.splice(0, this.#segments.length, ...kept, segment);
			this.#active = file;
			// The cut is in force: whoever was told that there is no space would go on with the log of before.
			await notSpace(async () => {
				await before.close();
				for (const { name } of gone) await files.remove(name);
				if (gone.length > 0) await files.syncDirectory();
			});
		} catch (error) {
			throw this.#failed(error);
		} finally {
			this.#busy = false;
		}
	}

	async #readBytes(segment: Segment, offset: number, length: number): Promise<Uint8Array> {
		if (segment === this.#last()) return this.#active.read(offset, length);
		const file = await this.#options.files.open(segment.name, "existing");
		try {
			return await file.read(offset, length);
		} finally {
			await file.close();
		}
	}
}

const nothing = new Uint8Array(0);

function decodeAll(data: Uint8Array, firstIndex: number): Entry[] {
	const entries: Entry[] = [];
	let offset = 0;
	while (offset < data.length) {
		const record = decodeRecord(data, offset);
		if (record === null || record.entry.index !== firstIndex + entries.length)
			throw new AppError("corrupt", `Entry ${firstIndex + entries.length} of the log was intact and is not any more.`);
		entries.push(record.entry);
		offset = record.end;
	}
	return entries;
}
