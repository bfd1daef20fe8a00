/** Reads a segment and judges its damage. Pure: bytes in, findings out. */
import type { LogEntry } from "../apply/apply.ts";
import { couldBeRecord, decodeRecord, recordHeaderBytes, segmentHeaderBytes } from "./record.ts";

export type SegmentScan = {
	entries: LogEntry[];
	/** Where each entry's record begins. */
	offsets: number[];
	/** Where the intact records end. */
	end: number;
	/** True when there are bytes after `end`. */
	damaged: boolean;
};

/** `firstIndex`: of the segment; `minTerm`: the term of the entry before it. The header is checked by the caller. */
export function scanSegment(data: Uint8Array, firstIndex: number, minTerm: number): SegmentScan {
	const entries: LogEntry[] = [];
	const offsets: number[] = [];
	let end = segmentHeaderBytes;
	let term = minTerm;
	for (;;) {
		const record = decodeRecord(data, end);
		if (record === null || record.entry.index !== firstIndex + entries.length || record.entry.term < term) break;
		entries.push(record.entry);
		offsets.push(end);
		term = record.entry.term;
		end = record.end;
	}
	return { entries, offsets, end, damaged: end < data.length };
}

/**
 * Looks for proof, in what comes after the damage, that the entry `badIndex` had been durable: an intact record that
 * was written when it was. Null when there is none: then the damage is the tail of a write that was never finished.
 */
export function findProofOfLoss(data: Uint8Array, damageOffset: number, badIndex: number): LogEntry | null {
	const numbers = new DataView(data.buffer, data.byteOffset, data.byteLength);
	for (let offset = damageOffset; offset + recordHeaderBytes <= data.length; offset++) {
		if (!couldBeRecord(numbers, offset, badIndex - 1)) continue;
		const record = decodeRecord(data, offset);
		if (record !== null && record.entry.index >= badIndex && record.synced >= badIndex) return record.entry;
	}
	return null;
}
