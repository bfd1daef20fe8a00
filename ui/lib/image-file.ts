/** What a chosen file is, by its first bytes and its name, and a fingerprint to know it again after a reload. */

export type ImageFormat = "qcow2" | "raw" | "iso";

const isoMagicAt = 32_769;
const bootSignatureAt = 510;
const headBytes = 1024 * 1024;

/**
 * qcow2 and ISO are known by their magic numbers, a raw disk by the signature of its boot sector (MBR; GPT has one too).
 * Null: none of them is there. It may still be a disk, but nothing says so.
 */
export async function sniffFormat(file: Blob): Promise<ImageFormat | null> {
	const [start, boot, iso] = await Promise.all([
		bytesOf(file, 0, 4),
		bytesOf(file, bootSignatureAt, 2),
		bytesOf(file, isoMagicAt, 5),
	]);
	if (start === "QFI\u00fb") return "qcow2";
	if (iso === "CD001") return "iso";
	return boot === "\u0055\u00aa" ? "raw" : null;
}

async function bytesOf(file: Blob, at: number, length: number): Promise<string> {
	const bytes = new Uint8Array(await file.slice(at, at + length).arrayBuffer());
	return String.fromCharCode(...bytes);
}

/** Hash of the first mebibyte, in hex; with size and time it tells files apart well enough to go on with one. */
export async function fingerprint(file: Blob): Promise<string> {
	const digest = await crypto.subtle.digest("SHA-256", await file.slice(0, headBytes).arrayBuffer());
	return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** "Debian 13 (generic).qcow2" → "Debian-13-generic": a name that the API takes. */
export function nameFromFile(fileName: string): string {
	return (
		fileName
			.replace(/[?#].*$/, "")
			.split(/[/\\]/)
			.filter(Boolean)
			.map((part) => part.replace(/\.(qcow2|qcow|raw|img|iso|xz|gz|vmdk)$/i, ""))
			.at(-1)
			?.replace(/[^A-Za-z0-9._-]+/g, "-")
			.replace(/^[^A-Za-z0-9]+|-+$/g, "")
			.slice(0, 63) ?? ""
	);
}

export const formatFromName = (name: string): ImageFormat =>
	/\.iso$/i.test(name) ? "iso" : /\.(raw|img)$/i.test(name) ? "raw" : "qcow2";
