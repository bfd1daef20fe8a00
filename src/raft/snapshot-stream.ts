/**
 * What a snapshot's sender and receiver say to each other, on a connection of its own so that a large snapshot never stands
 * before a heartbeat:
 *
 *   sender    offer     who leads, what the snapshot holds, how long it is
 *   receiver  want      send from this offset; or not at all
 *   sender    chunk     bytes at an offset, with their CRC-32C
 *   receiver  have      written up to this offset; after a restart it may ask for some of that again
 *   receiver  done      the whole is there, its checksum is right, and the core has taken or refused it
 */
import { isValidConfiguration } from "./configuration.ts";
import { maxTerm } from "./messages.ts";
import type { NodeId, SnapshotMeta } from "./types.ts";

/** `snapshot`: a name of this very file, the same on every offer of it. `crc`: CRC-32C of the whole file. */
export type Offer = {
	type: "offer";
	clusterId: string;
	from: NodeId;
	to: NodeId;
	term: number;
	snapshot: string;
	meta: SnapshotMeta;
	sizeBytes: number;
	crc: number;
};
export type Want = { type: "want"; snapshot: string; offset: number };
export type Chunk = { type: "chunk"; snapshot: string; offset: number; data: Uint8Array; crc: number };
export type Have = { type: "have"; snapshot: string; offset: number };
/** "damaged": the whole has another checksum; everything was thrown away. */
export type DoneReason = "installed" | "have" | "old-term" | "busy" | "refused" | "damaged" | "no-space" | "replaced";
export type Done = { type: "done"; snapshot: string; reason: DoneReason };

export type SenderMessage = Offer | Chunk;
export type ReceiverMessage = Want | Have | Done;

/** CRC-32C of `data`, going on from `crc` of what came before: passed in, as it lives with the log's format. */
export type Checksum = (data: Uint8Array, crc?: number) => number;

export const maxChunkBytes = 1024 * 1024;
export const maxSnapshotBytes = 64 * 1024 ** 3;

const isOffset = (value: unknown): value is number =>
	typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maxSnapshotBytes;
const isCrc = (value: unknown): boolean =>
	typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
const isName = (value: unknown): boolean => typeof value === "string" && value.length > 0 && value.length <= 128;

/** Never throws, whatever it is given. */
export function isValidSenderMessage(message: SenderMessage): boolean {
	if (typeof message !== "object" || message === null || !isName(message.snapshot)) return false;
	switch (message.type) {
		case "offer":
			return (
				[message.clusterId, message.from, message.to].every(isName) &&
				Number.isInteger(message.term) &&
				message.term > 0 &&
				message.term <= maxTerm &&
				isOffset(message.sizeBytes) &&
				isCrc(message.crc) &&
				isMeta(message.meta)
			);
		case "chunk":
			return (
				isOffset(message.offset) &&
				isCrc(message.crc) &&
				message.data instanceof Uint8Array &&
				message.data.length > 0 &&
				message.data.length <= maxChunkBytes
			);
		default:
			return false;
	}
}

function isMeta(meta: SnapshotMeta): boolean {
	if (typeof meta !== "object" || meta === null) return false;
	const { index, term, configuration: at } = meta;
	if (![index, term].every((value) => Number.isSafeInteger(value) && value > 0)) return false;
	return (
		typeof at === "object" && at !== null && Number.isSafeInteger(at.index) && isValidConfiguration(at.configuration)
	);
}

export function isValidReceiverMessage(message: ReceiverMessage): boolean {
	if (typeof message !== "object" || message === null || !isName(message.snapshot)) return false;
	if (message.type === "done") return typeof message.reason === "string";
	return (message.type === "want" || message.type === "have") && isOffset(message.offset);
}
