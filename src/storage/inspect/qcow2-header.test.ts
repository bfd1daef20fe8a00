/** The qcow2 header reader: what it reads of good files, and that no bytes make it crash, hang or overlook a reference. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isAppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { checkImageBytes } from "./image-rules.ts";
import { parseQcow2Header, type Qcow2Header, requireStandAlone } from "./qcow2-header.ts";
import { qcow2Sample } from "./qcow2-sample.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** The header, or null when the bytes are refused; anything else that is thrown is a defect. */
function parse(bytes: Uint8Array): Qcow2Header | null {
	try {
		return parseQcow2Header(bytes);
	} catch (error) {
		if (isAppError(error, "invalid")) return null;
		throw error;
	}
}

function accepted(bytes: Uint8Array): boolean {
	const header = parse(bytes);
	if (header === null) return false;
	try {
		requireStandAlone(header);
		return true;
	} catch (error) {
		if (isAppError(error, "invalid")) return false;
		throw error;
	}
}

test("reads both versions", () => {
	for (const version of [2, 3] as const) {
		const header = parseQcow2Header(qcow2Sample({ virtualSizeBytes: 3 * GiB, version }));
		expect(header).toMatchObject({
			...{ version, virtualSizeBytes: 3 * GiB, clusterBits: 16, backingFile: null, backingFormat: null },
			...{ externalDataFile: false, encrypted: false, dirty: false, corrupt: false, snapshotCount: 0 },
		});
		requireStandAlone(header);
	}
});

test("finds backing file and format", () => {
	const bytes = qcow2Sample({
		...{ virtualSizeBytes: MiB, backingFile: "../base/disk-1.raw" },
		extensions: [{ type: 0xe2792aca, data: text("raw") }],
	});
	expect(parseQcow2Header(bytes)).toMatchObject({ backingFile: "../base/disk-1.raw", backingFormat: "raw" });
	expect(accepted(bytes)).toBe(false);
});

test("takes a qcow2 from a view into a larger buffer", () => {
	const bytes = qcow2Sample({ virtualSizeBytes: GiB });
	const larger = new Uint8Array(bytes.length + 100);
	larger.set(bytes, 37);
	expect(parse(larger.subarray(37, 37 + bytes.length))?.virtualSizeBytes).toBe(GiB);
});

test("a place for a backing file's name without a name counts as a reference", () => {
	const bytes = qcow2Sample({ virtualSizeBytes: MiB });
	new DataView(bytes.buffer).setBigUint64(8, 200n);
	expect(accepted(bytes)).toBe(false);
});

test("random bytes never crash it", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => void parse(bytes)),
		{ numRuns: 2000 },
	);
	const start = text("QFI\u00fb");
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
			parse(Uint8Array.of(0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3, ...bytes));
			checkOrRefuse(Uint8Array.of(...start, ...bytes));
		}),
		{ numRuns: 2000 },
	);
});

function checkOrRefuse(bytes: Uint8Array): void {
	for (const format of ["raw", "iso", "qcow2"] as const) {
		try {
			checkImageBytes(format, { fileSizeBytes: bytes.length, head: bytes, tail: bytes.subarray(-512) });
		} catch (error) {
			if (!isAppError(error, "invalid")) throw error;
		}
	}
}

/** What the specification says, read anew and without any of the reader's own logic: is there a reference? */
function refers(bytes: Uint8Array): boolean {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	if (view.getBigUint64(8) !== 0n) return true;
	if (view.getUint32(4) === 3 && (view.getBigUint64(72) & 4n) !== 0n) return true;
	return false;
}

test("a good header changed in any way is refused or refers to nothing", () => {
	const good = qcow2Sample({
		virtualSizeBytes: GiB,
		extensions: [
			{ type: 0x6803f857, data: new Uint8Array(48) },
			{ type: 0x23852875, data: new Uint8Array(24) },
		],
	});
	const change = fc.record({ at: fc.integer({ min: 0, max: 255 }), value: fc.integer({ min: 0, max: 255 }) });
	let taken = 0;
	fc.assert(
		fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.integer({ min: 0, max: 300 }), (changes, cut) => {
			const bytes = good.slice(0, cut === 0 ? good.length : Math.max(1, good.length - cut * 700));
			for (const { at, value } of changes) bytes[at] = value;
			if (!accepted(bytes)) return;
			taken += 1;
			expect(refers(bytes)).toBe(false);
		}),
		{ numRuns: 5000 },
	);
	// Else the property above says nothing.
	expect(taken).toBeGreaterThan(100);
});

test("an extension that names a data file is found wherever it stands", () => {
	const extension = fc.record({
		type: fc.constantFrom(0x6803f857, 0x23852875, 0x12345678, 0xe2792aca),
		data: fc.uint8Array({ maxLength: 64 }),
	});
	fc.assert(
		fc.property(fc.array(extension, { maxLength: 8 }), fc.array(extension, { maxLength: 8 }), (before, after) => {
			const data = { type: 0x44415441, data: text("/etc/passwd") };
			expect(accepted(qcow2Sample({ virtualSizeBytes: MiB, extensions: [...before, data, ...after] }))).toBe(false);
			expect(accepted(qcow2Sample({ virtualSizeBytes: MiB, extensions: [...before, ...after] }))).toBe(true);
		}),
	);
});
