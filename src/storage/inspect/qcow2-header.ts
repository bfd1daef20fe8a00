/**
 * Reads the header of a qcow2 file, by QEMU's docs/interop/qcow2.txt (versions 2 and 3). Pure; the bytes are hostile.
 * It is the first gate, before `qemu-img info`: it decides from the bytes alone whether the file refers to any other
 * file, and answers within the first cluster. It does not follow tables.
 */
import { AppError } from "../../lib/errors.ts";

export const qcow2Magic = 0x514649fb;
/** As much of the file as a header can take: the largest cluster of the format. */
export const qcow2HeaderBytes = 2 * 1024 * 1024;

export type Qcow2Header = {
	version: 2 | 3;
	virtualSizeBytes: number;
	clusterBits: number;
	/** Name of the backing file as written, null without one. */
	backingFile: string | null;
	/** Format of the backing file as written; null when not said. */
	backingFormat: string | null;
	/** True for a data file outside of this one, by feature bit or by header extension. */
	externalDataFile: boolean;
	encrypted: boolean;
	/** Marked by QEMU as not closed cleanly (`dirty`) or as damaged (`corrupt`). */
	dirty: boolean;
	corrupt: boolean;
	snapshotCount: number;
	l1Size: number;
	l1Offset: number;
};

const incompatible = { dirty: 1n, corrupt: 2n, dataFile: 4n, compression: 8n, extendedL2: 16n };
const extension = { end: 0, backingFormat: 0xe2792aca, dataFile: 0x44415441, encryption: 0x0537be77 };

/** `bytes`: the start of the file, at least its first cluster or the whole file. Fails with `invalid`, saying what is wrong. */
export function parseQcow2Header(bytes: Uint8Array): Qcow2Header {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	if (bytes.length < 72 || view.getUint32(0) !== qcow2Magic) throw bad("it has no qcow2 header");
	const version = view.getUint32(4);
	if (version !== 2 && version !== 3) throw bad(`version ${version} of qcow2 is not known`);
	const clusterBits = view.getUint32(20);
	if (clusterBits < 9 || clusterBits > 21) throw bad("its cluster size is outside of the format");
	const clusterBytes = 2 ** clusterBits;
	const features = version === 3 ? readFeatures(view, clusterBytes) : { flags: 0n, headerLength: 72 };
	const area = bytes.subarray(0, Math.min(bytes.length, clusterBytes));
	const backingFile = readBackingFile(view, area, clusterBytes);
	const extensions = readExtensions(area, features.headerLength, backingFile.offset);
	return {
		version,
		virtualSizeBytes: safeNumber(view.getBigUint64(24), "its virtual size"),
		clusterBits,
		backingFile: backingFile.name,
		backingFormat: extensions.backingFormat,
		externalDataFile: (features.flags & incompatible.dataFile) !== 0n || extensions.dataFile,
		encrypted: view.getUint32(32) !== 0 || extensions.encryption,
		dirty: (features.flags & incompatible.dirty) !== 0n,
		corrupt: (features.flags & incompatible.corrupt) !== 0n,
		snapshotCount: view.getUint32(60),
		l1Size: view.getUint32(36),
		l1Offset: safeNumber(view.getBigUint64(40), "the offset of its tables"),
	};
}

/** Fails with `invalid` when the file refers to another file, is encrypted, or was not closed cleanly. */
export function requireStandAlone(header: Qcow2Header): void {
	if (header.backingFile !== null)
		throw bad("it has a backing file; flatten it first (qemu-img convert makes a file that stands alone)");
	if (header.externalDataFile) throw bad("its data is in another file");
	if (header.encrypted) throw bad("it is encrypted");
	if (header.corrupt) throw bad("it is marked as corrupt; repair it first (qemu-img check -r all)");
	if (header.dirty) throw bad("it was not closed cleanly; repair it first (qemu-img check -r all)");
}

function readFeatures(view: DataView, clusterBytes: number): { flags: bigint; headerLength: number } {
	if (view.byteLength < 104) throw bad("its header is cut short");
	const flags = view.getBigUint64(72);
	const known = Object.values(incompatible).reduce((all, bit) => all | bit, 0n);
	if ((flags & ~known) !== 0n) throw bad("it uses features that are not known");
	const headerLength = view.getUint32(100);
	if (headerLength < 104 || headerLength > clusterBytes || headerLength % 8 !== 0 || headerLength > view.byteLength)
		throw bad("the length of its header is wrong");
	return { flags, headerLength };
}

function readBackingFile(
	view: DataView,
	area: Uint8Array,
	clusterBytes: number,
): { name: string | null; offset: number } {
	const offset = view.getBigUint64(8);
	const length = view.getUint32(16);
	if (offset === 0n) {
		if (length !== 0) throw bad("it gives a backing file without a place");
		return { name: null, offset: clusterBytes };
	}
	// A place without a name is how QEMU reads "no backing file", but nothing writes that: taken as a reference.
	if (length > 1023) throw bad("the name of its backing file is too long");
	if (offset + BigInt(length) > BigInt(area.length))
		throw bad("the name of its backing file lies outside of the header");
	return {
		name: new TextDecoder().decode(area.subarray(Number(offset), Number(offset) + length)),
		offset: Number(offset),
	};
}

function readExtensions(area: Uint8Array, start: number, end: number) {
	const found = { backingFormat: null as string | null, dataFile: false, encryption: false };
	const view = new DataView(area.buffer, area.byteOffset, area.byteLength);
	const limit = Math.min(end, area.length);
	for (let at = start; at + 8 <= limit; ) {
		const type = view.getUint32(at);
		const length = view.getUint32(at + 4);
		if (type === extension.end) return found;
		if (at + 8 + length > limit) throw bad("an extension of its header runs past the end");
		if (type === extension.backingFormat)
			found.backingFormat = new TextDecoder().decode(area.subarray(at + 8, at + 8 + length));
		if (type === extension.dataFile) found.dataFile = true;
		if (type === extension.encryption) found.encryption = true;
		at += 8 + Math.ceil(length / 8) * 8;
	}
	return found;
}

function safeNumber(value: bigint, what: string): number {
	if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(`${what} is impossible`);
	return Number(value);
}

const bad = (reason: string) => new AppError("invalid", `This qcow2 file cannot be used: ${reason}.`);
