/**
 * The Raft log on disk: append-only segments in one folder (format: record.ts). One owner, one append at a time; an
 * entry counts only after `append` has resolved, that is after fdatasync.
 *
 * - Disk full: the partial append is cut off again, the error is `no-space`, and a later append can succeed.
 * - Any other error of a write or sync: the log fails for good (`onFatal`). What the disk then holds is unknown, and a
 *   second fsync would say "ok" about pages that the first one lost.
 * - At open, a torn tail is cut off; damage of anything that was durable is `corrupt`, and nothing is changed.
 */
import { assert } from "../../lib/assert.ts";
import { AppError, isAppError, toAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { MiB } from "../../lib/units.ts";
import { restoreAdvice } from "../advice.ts";
import type { LogEntry } from "../apply/apply.ts";
import type { LogFile, LogFiles } from "./files.ts";
import { decodeRecord, encodeRecords, encodeSegmentHeader, segmentHeaderBytes } from "./record.ts";
import { recoverSegments, segmentName } from "./recovery.ts";

export const defaultSegmentBytes = 8 * MiB;

/** A segment with where its records begin; `file` is open for the last one only. */
export type Segment = { firstIndex: number; offsets: number[]; sizeBytes: number; lastTerm: number };

export type SegmentLogOptions = {
	files: LogFiles;
	logger: Logger;
	onFatal: (error: AppError) => void;
	/** The highest index that is known, from elsewhere, to have been durable: the state's. 0 for none. */
	knownIndex: number;
	segmentBytes?: number;
};

export class SegmentLog {
	readonly #options: SegmentLogOptions;
	readonly #segments: Segment[];
	readonly #segmentBytes: number;
	#active: LogFile;
	#failure: AppError | null = null;
	#busy = false;

	private constructor(options: SegmentLogOptions, segments: Segment[], active: LogFile) {
		this.#options = options;
		this.#segments = segments;
		this.#active = active;
		this.#segmentBytes = options.segmentBytes ?? defaultSegmentBytes;
	}

	/** `corrupt` when durable entries are damaged or missing. `createAt`: first index of a log that does not exist yet. */
	static async open(options: SegmentLogOptions, createAt: number | null): Promise<SegmentLog> {
		const recovered = await recoverSegments(options.files, options.knownIndex, options.logger);
		if (recovered !== null) return new SegmentLog(options, recovered.segments, recovered.active);
		if (createAt === null)
			throw new AppError(
				"corrupt",
				`The log is missing, while the state holds changes up to ${options.knownIndex}. Nothing was changed. Put the log's folder, raft/, back from a copy. ${restoreAdvice}`,
			);
		const active = await createSegment(options.files, createAt, 0);
		return new SegmentLog(options, [emptySegment(createAt)], active);
	}

	/** Of the first entry; one more than `lastIndex` when there is none. */
	get firstIndex(): number {
		return this.#segments[0]?.firstIndex ?? 0;
	}

	get lastIndex(): number {
		const last = this.#last();
		return last.firstIndex + last.offsets.length - 1;
	}

	/** Of the last entry; 0 when there is none. */
	get lastTerm(): number {
		return this.#last().lastTerm;
	}

	/** Bytes of the segments that hold entries after `index`. */
	bytesAfter(index: number): number {
		return this.#segments
			.filter((segment) => segment.firstIndex + segment.offsets.length > index + 1)
			.reduce((bytes, segment) => bytes + segment.sizeBytes, 0);
	}

	/**
	 * Durable when it resolves. Entries continue the log. `no-space` leaves the log as it was; it also comes when fewer
	 * than `keepFreeBytes` of the disk would stay free.
	 */
	async append(entries: readonly LogEntry[], keepFreeBytes = 0): Promise<void> {
		const first = entries[0];
		if (!first) return;
		assert(first.index === this.lastIndex + 1, `entry ${first.index} follows ${this.lastIndex}`);
		await this.#exclusively(async () => {
			if (this.#last().sizeBytes >= this.#segmentBytes) await this.#rotate(keepFreeBytes);
			const { data, offsets } = encodeRecords(entries, this.lastIndex);
			const segment = this.#last();
			await this.#write(data, segment.sizeBytes, keepFreeBytes);
			for (const offset of offsets) segment.offsets.push(segment.sizeBytes + offset);
			segment.sizeBytes += data.length;
			segment.lastTerm = entries.at(-1)?.term ?? segment.lastTerm;
		});
	}

	/** Entries from `index` on, of one segment at most; empty beyond the end. */
	async read(index: number, maxBytes = this.#segmentBytes): Promise<LogEntry[]> {
		assert(index >= this.firstIndex, `entry ${index} is not before the log, which begins at ${this.firstIndex}`);
		const segment = this.#segments.findLast((candidate) => candidate.firstIndex <= index);
		const start = segment?.offsets[index - segment.firstIndex];
		if (!segment || start === undefined) return [];
		const upTo = segment.offsets.findLast((offset) => offset - start <= maxBytes) ?? start;
		const endPosition = segment.offsets.indexOf(upTo) + 1;
		const end = segment.offsets[endPosition] ?? segment.sizeBytes;
		const data = await this.#readBytes(segment, start, end - start);
		return decodeAll(data, index);
	}

	/** Removes segments whose entries are all below `index`. The caller has them in a durable snapshot. */
	async cutBefore(index: number): Promise<void> {
		await this.#exclusively(async () => {
			for (;;) {
				const second = this.#segments[1];
				if (second === undefined || second.firstIndex > index) return;
				const [oldest] = this.#segments;
				// Oldest first, each durable before the next: a crash leaves no gap.
				await this.#options.files.remove(segmentName(oldest?.firstIndex ?? 0));
				await this.#options.files.syncDirectory();
				this.#segments.shift();
			}
		});
	}

	async close(): Promise<void> {
		await this.#active.close();
	}

	#last(): Segment {
		const last = this.#segments.at(-1);
		assert(last, "a log has a segment");
		return last;
	}

	async #exclusively(work: () => Promise<void>): Promise<void> {
		if (this.#failure !== null) throw this.#failure;
		assert(!this.#busy, "the log has one writer");
		this.#busy = true;
		try {
			await work();
		} catch (error) {
			if (!isAppError(error, "no-space")) this.#fail(error);
			throw error;
		} finally {
			this.#busy = false;
		}
	}

	#fail(error: unknown): void {
		const message = "The disk of the log failed. This node stops, so that it acknowledges nothing that it cannot keep.";
		this.#failure ??= new AppError("storage", message, { cause: toAppError(error) });
		this.#options.onFatal(this.#failure);
	}

	async #write(data: Uint8Array, sizeBefore: number, keepFreeBytes: number): Promise<void> {
		try {
			await this.#active.appendDurably(data, keepFreeBytes);
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
		const firstIndex = this.lastIndex + 1;
		const active = await createSegment(this.#options.files, firstIndex, keepFreeBytes);
		const full = this.#active;
		this.#segments.push({ ...emptySegment(firstIndex), lastTerm: this.lastTerm });
		this.#active = active;
		await full.close();
	}

	async #readBytes(segment: Segment, offset: number, length: number): Promise<Uint8Array> {
		if (segment === this.#last()) return this.#active.read(offset, length);
		const file = await this.#options.files.open(segmentName(segment.firstIndex), "existing");
		try {
			return await file.read(offset, length);
		} finally {
			await file.close();
		}
	}
}

const emptySegment = (firstIndex: number): Segment => ({
	firstIndex,
	offsets: [],
	sizeBytes: segmentHeaderBytes,
	lastTerm: 0,
});

/** A full disk is an answer only where nothing was promised yet; after that it is a failure like any other. */
async function notSpace(work: () => Promise<void>): Promise<void> {
	try {
		await work();
	} catch (error) {
		if (!isAppError(error, "no-space")) throw error;
		throw new AppError("storage", "The disk did not keep what was written.", { cause: error });
	}
}

/** With no space for it, no trace of the new segment stays. */
async function createSegment(files: LogFiles, firstIndex: number, keepFreeBytes: number): Promise<LogFile> {
	const name = segmentName(firstIndex);
	const file = await files.open(name, "create");
	try {
		await file.append(encodeSegmentHeader(firstIndex), keepFreeBytes);
	} catch (error) {
		await file.close();
		await notSpace(() => files.remove(name));
		throw error;
	}
	await notSpace(async () => {
		await file.sync();
		await files.syncDirectory();
	});
	return file;
}

function decodeAll(data: Uint8Array, firstIndex: number): LogEntry[] {
	const entries: LogEntry[] = [];
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
