/**
 * The log's format on disk, all numbers little-endian.
 *
 *   segment  header, then records without gaps
 *   header   "LQXRLOG\n", version (u32), CRC-32C of version and all that follows (u32), first index (u64);
 *            version 2 also: generation (u32), flags (u32; 1: begins anew), term of the entry before (u32), 0 (u32)
 *   record   length of the data (u32), CRC-32C of everything else in the record (u32), index (u64), term (u32),
 *            kind (u32; 0 command, 1 configuration), synced (u64), data
 *
 * `synced` is the last index that was durable when the record was written. It tells a torn tail from corruption: records
 * of one group commit may reach the disk in any order, so a bad one before a good one can be what a power cut leaves
 * of a commit that nobody was told of; but when a later record says that the bad one had been durable, data that was
 * acknowledged is damaged. That holds within one segment, which is why a log that is cut goes on in a new one
 * (segment-log.ts): what a segment holds is never overwritten.
 *
 * Version 1 is what a log has that was never cut; its generation is 0. Kind was the upper half of the term, and 0.
 */
import { assert } from "../../lib/assert.ts";
import { AppError } from "../../lib/errors.ts";
import type { Entry, EntryKind } from "../../raft/types.ts";
import type { LogEntry } from "../apply/apply.ts";
import { maxCommandBytes } from "../limits.ts";
import { crc32c } from "./crc32c.ts";

/** Of version 1, the shortest. */
export const segmentHeaderBytes = 24;
export const cutSegmentHeaderBytes = 40;
export const recordHeaderBytes = 32;
const magic = new TextEncoder().encode("LQXRLOG\n");
const newestVersion = 2;
/** More than any command; a length beyond it is damage. */
export const maxRecordDataBytes = maxCommandBytes + 1024 * 1024;
const kinds: readonly EntryKind[] = ["command", "configuration"];
const highestTerm = 2 ** 32 - 1;
const half = 2 ** 32;

/**
 * `generation`: how often the log had been cut. `anew`: nothing before this segment counts. `previousTerm`: of the entry
 * before the first; null in version 1, which does not say it.
 */
export type SegmentHeader = { firstIndex: number; generation: number; anew: boolean; previousTerm: number | null };

/** What goes into the log; without a kind it is a command. */
export type NewEntry = LogEntry & { kind?: EntryKind };

const view = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

function setIndex(numbers: DataView, offset: number, value: number): void {
	numbers.setUint32(offset, value % half, true);
	numbers.setUint32(offset + 4, Math.floor(value / half), true);
}

const getIndex = (numbers: DataView, offset: number): number =>
	numbers.getUint32(offset + 4, true) * half + numbers.getUint32(offset, true);

export function encodeSegmentHeader({ firstIndex, generation, anew, previousTerm }: SegmentHeader): Uint8Array {
	const header = new Uint8Array(generation === 0 ? segmentHeaderBytes : cutSegmentHeaderBytes);
	const numbers = view(header);
	header.set(magic);
	numbers.setUint32(8, generation === 0 ? 1 : 2, true);
	setIndex(numbers, 16, firstIndex);
	if (generation > 0) {
		numbers.setUint32(24, generation, true);
		numbers.setUint32(28, anew ? 1 : 0, true);
		numbers.setUint32(32, previousTerm ?? 0, true);
	}
	numbers.setUint32(12, headerCrc(header, header.length), true);
	return header;
}

const headerCrc = (header: Uint8Array, length: number): number => crc32c(header, crc32c(header, 0, 8, 12), 16, length);

export const headerBytesOf = (generation: number): number =>
	generation === 0 ? segmentHeaderBytes : cutSegmentHeaderBytes;

/** Null when these bytes are no header. `unsupported` for a version that this program cannot read. */
export function decodeSegmentHeader(data: Uint8Array): SegmentHeader | null {
	if (data.length < segmentHeaderBytes || !magic.every((byte, position) => data[position] === byte)) return null;
	const numbers = view(data);
	const found = numbers.getUint32(8, true);
	const intact = (length: number): boolean =>
		data.length >= length && headerCrc(data, length) === numbers.getUint32(12, true);
	if (found === 1 && intact(segmentHeaderBytes))
		return { firstIndex: getIndex(numbers, 16), generation: 0, anew: false, previousTerm: null };
	if (found === 2 && intact(cutSegmentHeaderBytes))
		return {
			firstIndex: getIndex(numbers, 16),
			generation: numbers.getUint32(24, true),
			anew: (numbers.getUint32(28, true) & 1) === 1,
			previousTerm: numbers.getUint32(32, true),
		};
	if (found > newestVersion && (intact(segmentHeaderBytes) || intact(cutSegmentHeaderBytes)))
		throw new AppError(
			"unsupported",
			`The log has format ${found}; this version of LimiQuantix knows ${newestVersion}.`,
		);
	return null;
}

// Not a DataView: to make one costs more than all that is done with it for a few records.
const wordAt = (data: Uint8Array, at: number): number =>
	((data[at] as number) |
		((data[at + 1] as number) << 8) |
		((data[at + 2] as number) << 16) |
		((data[at + 3] as number) << 24)) >>>
	0;

function putWord(data: Uint8Array, at: number, word: number): void {
	data[at] = word;
	data[at + 1] = word >>> 8;
	data[at + 2] = word >>> 16;
	data[at + 3] = word >>> 24;
}

const indexAt = (data: Uint8Array, at: number): number => wordAt(data, at + 4) * half + wordAt(data, at);

function putIndex(data: Uint8Array, at: number, index: number): void {
	putWord(data, at, index % half);
	putWord(data, at + 4, Math.floor(index / half));
}

/** All records in one piece, and where each begins. */
export function encodeRecords(entries: readonly NewEntry[], synced: number): { data: Uint8Array; offsets: number[] } {
	let total = 0;
	for (const entry of entries) total += recordHeaderBytes + entry.data.length;
	const data = new Uint8Array(total);
	const offsets: number[] = [];
	let offset = 0;
	for (const entry of entries) {
		assert(entry.data.length <= maxRecordDataBytes && entry.term <= highestTerm, "an entry has the size of one");
		offsets.push(offset);
		putWord(data, offset, entry.data.length);
		putIndex(data, offset + 8, entry.index);
		putWord(data, offset + 16, entry.term);
		putWord(data, offset + 20, entry.kind === "configuration" ? 1 : 0);
		putIndex(data, offset + 24, synced);
		data.set(entry.data, offset + recordHeaderBytes);
		const end = offset + recordHeaderBytes + entry.data.length;
		putWord(data, offset + 4, recordCrc(data, offset, end));
		offset = end;
	}
	return { data, offsets };
}

const recordCrc = (data: Uint8Array, offset: number, end: number): number =>
	crc32c(data, crc32c(data, 0, offset, offset + 4), offset + 8, end);

/** What a record says of itself, whether it is intact or not. Null where none can begin. */
export function recordHeaderAt(data: Uint8Array, offset: number): { index: number; term: number; end: number } | null {
	if (offset + recordHeaderBytes > data.length) return null;
	const end = offset + recordHeaderBytes + wordAt(data, offset);
	return end > data.length ? null : { index: indexAt(data, offset + 8), term: wordAt(data, offset + 16), end };
}

/** A record but for its data, which is from `dataOffset` to `end`. */
export type FoundRecord = {
	index: number;
	term: number;
	kind: EntryKind;
	synced: number;
	dataOffset: number;
	end: number;
};

/** The record at `offset`; null when what is there is not an intact one. */
export function recordAt(data: Uint8Array, offset: number): FoundRecord | null {
	if (offset + recordHeaderBytes > data.length) return null;
	const length = wordAt(data, offset);
	const dataOffset = offset + recordHeaderBytes;
	const end = dataOffset + length;
	if (length > maxRecordDataBytes || end > data.length) return null;
	if (wordAt(data, offset + 4) !== recordCrc(data, offset, end)) return null;
	const kind = kinds[wordAt(data, offset + 20)];
	if (kind === undefined)
		throw new AppError("unsupported", "The log holds a kind of entry that this version of LimiQuantix does not know.");
	const index = indexAt(data, offset + 8);
	return { index, term: wordAt(data, offset + 16), kind, synced: indexAt(data, offset + 24), dataOffset, end };
}

export type DecodedRecord = { entry: Entry; synced: number; end: number };

/** The same with its data, which is a view, not a copy. */
export function decodeRecord(data: Uint8Array, offset: number): DecodedRecord | null {
	const record = recordAt(data, offset);
	if (record === null) return null;
	const { index, term, kind, synced, dataOffset, end } = record;
	return { entry: { index, term, kind, data: data.subarray(dataOffset, end) }, synced, end };
}

/** Whether a record could begin here, without reading it: keeps the search for one from computing a CRC at each byte. */
export function couldBeRecord(numbers: DataView, offset: number, indexAfter: number): boolean {
	const remaining = numbers.byteLength - offset;
	if (remaining < recordHeaderBytes) return false;
	const length = numbers.getUint32(offset, true);
	if (length > maxRecordDataBytes || recordHeaderBytes + length > remaining) return false;
	// The upper half of the index, and the kind: small numbers in reality, noise otherwise.
	if (numbers.getUint32(offset + 12, true) > 0x1fffff || numbers.getUint32(offset + 20, true) >= kinds.length)
		return false;
	const index = getIndex(numbers, offset + 8);
	return index > indexAfter && index <= indexAfter + numbers.byteLength;
}

/** An entry that came from elsewhere and that no log could hold. */
export const isTooLarge = (entry: Entry | null): boolean =>
	entry?.data instanceof Uint8Array && entry.data.length > maxRecordDataBytes;
