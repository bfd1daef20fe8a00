/**
 * Tells by its first and last bytes when a file is plainly something else than the raw disk or ISO that it was said
 * to be. Never used to choose a format: only to refuse (a raw image that begins with a qcow2 header could name files of
 * this host to any program that guesses). Pure.
 */

type Magic = { name: string; at: number; bytes: string | number[]; compressed?: true };

const magics: Magic[] = [
	{ name: "qcow2", at: 0, bytes: "QFI\xfb" },
	{ name: "qed", at: 0, bytes: "QED\0" },
	{ name: "vmdk", at: 0, bytes: "KDMV" },
	{ name: "vmdk", at: 0, bytes: "COWD" },
	{ name: "vmdk (descriptor)", at: 0, bytes: "# Disk DescriptorFile" },
	{ name: "vhd", at: 0, bytes: "conectix" },
	{ name: "vhdx", at: 0, bytes: "vhdxfile" },
	{ name: "vdi", at: 0x40, bytes: [0x7f, 0x10, 0xda, 0xbe] },
	{ name: "parallels", at: 0, bytes: "WithoutFreeSpace" },
	{ name: "parallels", at: 0, bytes: "WithouFreSpacExt" },
	{ name: "bochs", at: 0, bytes: "Bochs Virtual HD Image" },
	{ name: "cloop", at: 0, bytes: "#!/bin/sh\n#V2.0 Format" },
	{ name: "luks", at: 0, bytes: "LUKS\xba\xbe" },
	{ name: "ova or tar", at: 257, bytes: "ustar" },
	{ name: "gzip", at: 0, bytes: [0x1f, 0x8b, 0x08], compressed: true },
	{ name: "xz", at: 0, bytes: "\xfd7zXZ\0", compressed: true },
	{ name: "zstd", at: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd], compressed: true },
	{ name: "bzip2", at: 0, bytes: "BZh", compressed: true },
	{ name: "zip", at: 0, bytes: "PK\x03\x04", compressed: true },
];
/** Formats that are marked in their last 512 bytes. */
const trailers: Magic[] = [
	{ name: "vhd", at: 0, bytes: "conectix" },
	{ name: "dmg", at: 0, bytes: "koly" },
];

export const trailerBytes = 512;
/** Bytes of the start of a file that `lookAlike` and `isIso9660` look at. */
export const magicBytes = 32_774;

export type LookAlike = { name: string; compressed: boolean };

/** `head`: the first `magicBytes` of the file, `tail`: its last 512 (fewer when the file is shorter). Null: nothing that we know. */
export function lookAlike(head: Uint8Array, tail: Uint8Array): LookAlike | null {
	const found = magics.find((magic) => matches(head, magic)) ?? trailers.find((magic) => matches(tail, magic));
	return found ? { name: found.name, compressed: found.compressed ?? false } : null;
}

/** ISO 9660 (ECMA-119 8.1.2): standard identifier "CD001" in the first volume descriptor, at sector 16. */
export const isIso9660 = (head: Uint8Array): boolean => matches(head, { name: "iso", at: 32_769, bytes: "CD001" });

function matches(bytes: Uint8Array, magic: Magic): boolean {
	const wanted = typeof magic.bytes === "string" ? Buffer.from(magic.bytes, "latin1") : Buffer.from(magic.bytes);
	if (bytes.length < magic.at + wanted.length) return false;
	return wanted.equals(bytes.subarray(magic.at, magic.at + wanted.length));
}
