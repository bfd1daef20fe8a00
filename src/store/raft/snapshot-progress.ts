/**
 * How far a snapshot has arrived, kept in a file beside the bytes, so that a restart goes on there: one line,
 * `{"offer":{…},"offset":N,"crc":N} <CRC-32C of the JSON in hex>`, where `crc` is that of the first `offset` bytes. It is
 * written after they are durable, and believed only when they are what it says: a file of another snapshot, of a power cut, or
 * of a bad disk is not gone on with.
 */
import { type MutantName, planted } from "../../raft/mutants.ts";
import type { Resume } from "../../raft/snapshot-receiver.ts";
import { isValidSenderMessage } from "../../raft/snapshot-stream.ts";
import { crc32c } from "../log/crc32c.ts";

/** The CRC of a large file in parts, so that heartbeats get their turn. */
const partBytes = 1024 * 1024;

export function encodeProgress({ offer, offset, crc }: Resume): Uint8Array {
	const json = JSON.stringify({ offer, offset, crc });
	return Buffer.from(`${json} ${checksum(json)}\n`);
}

/** Null for what is missing, damaged or nonsense. */
export function decodeProgress(bytes: Uint8Array | null): Resume | null {
	const match = bytes === null ? null : /^(\{.*\}) ([0-9a-f]{8})\n$/.exec(Buffer.from(bytes).toString());
	const json = match?.[1];
	if (json === undefined || checksum(json) !== match?.[2]) return null;
	const { offer, offset, crc } = JSON.parse(json) as Resume;
	const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
	if (typeof offer !== "object" || offer === null || offer.type !== "offer" || !isValidSenderMessage(offer))
		return null;
	return isCount(offset) && isCount(crc) && offset <= offer.sizeBytes ? { offer, offset, crc } : null;
}

/** `read`: fewer bytes than asked for only where the file ends. */
export async function isAsKept(
	{ offset, crc }: Resume,
	read: (offset: number, length: number) => Promise<Uint8Array>,
	mutant: MutantName | null = null,
): Promise<boolean> {
	let found: number | undefined;
	for (let at = 0; at < offset; at += partBytes) {
		const length = Math.min(partBytes, offset - at);
		const data = await read(at, length);
		if (data.length !== length) return false;
		found = crc32c(data, found);
	}
	return (found ?? 0) === crc || planted({ mutant }, "resume-unchecked");
}

const checksum = (json: string): string => crc32c(Buffer.from(json)).toString(16).padStart(8, "0");
