/**
 * The log's format on disk, all numbers little-endian.
 *
 *   segment  header, then records without gaps; the file's name is the index of its first record
 *   header   "LQXRLOG\n", version (u32), CRC-32C of version and first index (u32), first index (u64)
 *   record   length of the data (u32), CRC-32C of everything else in the record (u32), index (u64), term (u64),
 *            synced (u64), data
 *
 * `synced` is the last index that was durable when the record was written. It tells a torn tail from corruption: records
 * of one group commit may reach the disk in any order, so a bad one before a good one can be what a power cut leaves
 * of a commit that nobody was told of; but when a later record says that the bad one had been durable, data that was
 * acknowledged is damaged.
 */
import { AppError } from "../../lib/errors.ts";
import type { LogEntry } from "../apply/apply.ts";
import { maxCommandBytes } from "../limits.ts";
import { crc32c } from "./crc32c.ts";

export const segmentHeaderBytes = 24;
export const recordHeaderBytes = 32;
const magic = new TextEncoder().encode("LQXRLOG\n");
const version = 1;
/** More than any command; a length beyond it is damage. */
export const maxRecordDataBytes = maxCommandBytes + 1024 * 1024;

const view = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

export function encodeSegmentHeader(firstIndex: number): Uint8Array {
	const header = new Uint8Array(segmentHeaderBytes);
	header.set(magic);
	view(header).setUint32(8, version, true);
	view(header).setBigUint64(16, BigInt(firstIndex), true);
	view(header).setUint32(12, headerCrc(header), true);
	return header;
}

const headerCrc = (header: Uint8Array): number =>
	crc32c(header.subarray(16, segmentHeaderBytes), crc32c(header.subarray(8, 12)));

/** The first index; null when these bytes are no header. `unsupported` for a version that this program cannot read. */
export function decodeSegmentHeader(data: Uint8Array): number | null {
	if (data.length < segmentHeaderBytes || !magic.every((byte, position) => data[position] === byte)) return null;
	const found = view(data).getUint32(8, true);
	const intact = headerCrc(data) === view(data).getUint32(12, true);
	if (intact && found > version)
		throw new AppError("unsupported", `The log has format ${found}; this version of LimiQuantix knows ${version}.`);
	return intact && found === version ? Number(view(data).getBigUint64(16, true)) : null;
}

/** All records in one piece, and where each begins. */
export function encodeRecords(entries: readonly LogEntry[], synced: number): { data: Uint8Array; offsets: number[] } {
	const total = entries.reduce((bytes, entry) => bytes + recordHeaderBytes + entry.data.length, 0);
	const data = new Uint8Array(total);
	const numbers = view(data);
	const offsets: number[] = [];
	let offset = 0;
	for (const entry of entries) {
		offsets.push(offset);
		numbers.setUint32(offset, entry.data.length, true);
		numbers.setBigUint64(offset + 8, BigInt(entry.index), true);
		numbers.setBigUint64(offset + 16, BigInt(entry.term), true);
		numbers.setBigUint64(offset + 24, BigInt(synced), true);
		data.set(entry.data, offset + recordHeaderBytes);
		const end = offset + recordHeaderBytes + entry.data.length;
		numbers.setUint32(offset + 4, recordCrc(data, offset, end), true);
		offset = end;
	}
	return { data, offsets };
}

const recordCrc = (data: Uint8Array, offset: number, end: number): number =>
	crc32c(data.subarray(offset + 8, end), crc32c(data.subarray(offset, offset + 4)));

export type DecodedRecord = { entry: LogEntry; synced: number; end: number };

/** The record at `offset`; null when what is there is not an intact one. The entry's data is a view, not a copy. */
export function decodeRecord(data: Uint8Array, offset: number): DecodedRecord | null {
	if (offset + recordHeaderBytes > data.length) return null;
	const numbers = view(data);
	const length = numbers.getUint32(offset, true);
	const end = offset + recordHeaderBytes + length;
	if (length > maxRecordDataBytes || end > data.length) return null;
	if (numbers.getUint32(offset + 4, true) !== recordCrc(data, offset, end)) return null;
	return {
		entry: {
			index: Number(numbers.getBigUint64(offset + 8, true)),
			term: Number(numbers.getBigUint64(offset + 16, true)),
			data: data.subarray(offset + recordHeaderBytes, end),
		},
		synced: Number(numbers.getBigUint64(offset + 24, true)),
		end,
	};
}

/** Whether a record could begin here, without reading it: keeps the search for one from computing a CRC at each byte. */
export function couldBeRecord(numbers: DataView, offset: number, indexAfter: number): boolean {
	const remaining = numbers.byteLength - offset;
	if (remaining < recordHeaderBytes) return false;
	const length = numbers.getUint32(offset, true);
	if (length > maxRecordDataBytes || recordHeaderBytes + length > remaining) return false;
	// The upper halves of index, term and synced: small numbers in reality, noise otherwise.
	if (numbers.getUint32(offset + 12, true) > 0x1fffff || numbers.getUint32(offset + 20, true) > 0x1fffff) return false;
	const index = Number(numbers.getBigUint64(offset + 8, true));
	return index > indexAfter && index <= indexAfter + numbers.byteLength;
}
