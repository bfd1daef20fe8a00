/**
 * Writes the "newc" cpio format that Linux unpacks as its initial root (kernel: Documentation/driver-api/early-userspace/
 * buffer-format.rst). Entries must come parents first. Times are zero, so the same input makes the same bytes.
 */
import { assert } from "../../../lib/assert.ts";

export type CpioEntry =
	| { kind: "directory"; path: string; mode?: number }
	| { kind: "file"; path: string; data: Uint8Array; mode?: number }
	| { kind: "symlink"; path: string; target: string }
	| { kind: "device"; path: string; major: number; minor: number; mode?: number };

const typeBits = { directory: 0o040000, file: 0o100000, symlink: 0o120000, device: 0o020000 } as const;
const defaultMode = { directory: 0o755, file: 0o644, symlink: 0o777, device: 0o600 } as const;

/** The archive, padded and ended with its trailer. Paths are relative, without a leading slash. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
	const chunks = entries.map((entry, index) => record(index + 1, entry));
	chunks.push(header(0, 0, 0, 0, 0, 0, "TRAILER!!!"));
	return Buffer.concat(chunks);
}

function record(inode: number, entry: CpioEntry): Buffer {
	assert(!entry.path.startsWith("/"), `cpio path ${entry.path} must be relative`);
	const mode = typeBits[entry.kind] | (("mode" in entry ? entry.mode : undefined) ?? defaultMode[entry.kind]);
	const data =
		entry.kind === "file" ? entry.data : entry.kind === "symlink" ? Buffer.from(entry.target) : new Uint8Array();
	const [major, minor] = entry.kind === "device" ? [entry.major, entry.minor] : [0, 0];
	return padTo4(Buffer.concat([header(inode, mode, data.length, major, minor, 1, entry.path), data]));
}

/** "070701", 13 fields of eight hexadecimal digits, the name with its NUL, padding to a multiple of four. */
function header(
	inode: number,
	mode: number,
	sizeBytes: number,
	major: number,
	minor: number,
	links: number,
	name: string,
): Buffer {
	const nameBytes = Buffer.from(`${name}\0`);
	const fields = [inode, mode, 0, 0, links, 0, sizeBytes, 0, 0, major, minor, nameBytes.length, 0];
	const text = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
	return padTo4(Buffer.concat([Buffer.from(text), nameBytes]));
}

const padTo4 = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
