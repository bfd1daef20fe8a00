/** Reads a segment and judges its damage. Pure: bytes in, findings out. */
import type { Entry, TermRun } from "../../raft/types.ts";
import { couldBeRecord, decodeRecord, maxRecordDataBytes, recordAt, recordHeaderBytes } from "./record.ts";
import { addRun } from "./segment.ts";

export type SegmentScan = {
	/** Where each entry's record begins. */
	offsets: number[];
	/** Their terms. */
	runs: TermRun[];
	/** Those of configurations, as copies: the rest of the segment is not kept in memory for them. */
	configurations: Entry[];
	/** Where the intact records end. */
	end: number;
	/** True when there are bytes after `end`. */
	damaged: boolean;
};

/**
 * `firstIndex`: of the segment; `minTerm`: the term of the entry before it; `lastIndex`: what comes after it in the file
 * does not count. The header, which ends at `start`, is checked by the caller.
 */
export function scanSegment(
	data: Uint8Array,
	start: number,
	firstIndex: number,
	minTerm: number,
	lastIndex = Number.POSITIVE_INFINITY,
): SegmentScan {
	const offsets: number[] = [];
	const runs: TermRun[] = [];
	const configurations: Entry[] = [];
	let end = start;
	let termBefore = minTerm;
	for (let expected = firstIndex; expected <= lastIndex; expected++) {
		const record = recordAt(data, end);
		if (record === null || record.index !== expected || record.term < termBefore) break;
		const { index, term, kind, dataOffset } = record;
		offsets.push(end);
		addRun(runs, index, term);
		if (kind === "configuration") configurations.push({ index, term, kind, data: data.slice(dataOffset, record.end) });
		termBefore = term;
		end = record.end;
	}
	return { offsets, runs, configurations, end, damaged: end < data.length };
}

/**
 * Looks for proof, in what comes after the damage, that the entry `badIndex` had been durable: an intact record that
 * was written when it was. Null when there is none: then the damage may be the tail of a write that was never finished.
 */
export function findProofOfLoss(data: Uint8Array, damageOffset: number, badIndex: number): Entry | null {
	const numbers = new DataView(data.buffer, data.byteOffset, data.byteLength);
	for (let offset = damageOffset; offset + recordHeaderBytes <= data.length; offset++) {
		if (!couldBeRecord(numbers, offset, badIndex - 1)) continue;
		const record = decodeRecord(data, offset);
		if (record !== null && record.entry.index >= badIndex && record.synced >= badIndex) return record.entry;
	}
	return null;
}

const sectorBytes = 512;

/**
 * Whether the bad record at `offset` looks like one that was not written in whole: the file ends within it, or one of its
 * sectors is as it was before, empty. (A disk writes a sector or it does not; a segment is only ever written at its
 * end.) False: all of it was written, and is not any more what it was.
 */
export function looksUnwritten(data: Uint8Array, offset: number): boolean {
	if (offset + recordHeaderBytes > data.length) return true;
	const numbers = new DataView(data.buffer, data.byteOffset, data.byteLength);
	const length = numbers.getUint32(offset, true);
	// A length that cannot be: what follows is all that may belong to it.
	const whole = length <= maxRecordDataBytes ? offset + recordHeaderBytes + length : data.length;
	if (whole > data.length) return true;
	for (let start = offset; start < whole; ) {
		const end = Math.min(whole, start - (start % sectorBytes) + sectorBytes);
		if (isEmpty(data, start, end)) return true;
		start = end;
	}
	return false;
}

function isEmpty(data: Uint8Array, start: number, end: number): boolean {
	for (let position = start; position < end; position++) if (data[position] !== 0) return false;
	return true;
}
