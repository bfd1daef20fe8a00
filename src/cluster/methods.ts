/**
 * Calls between nodes: their names and what they carry. Proposals are bytes; everything else is JSON, since it is rare.
 * A method that the other node does not know is `unsupported`.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { Urgency } from "../store/disk-reserve.ts";

export const methods = {
	propose: "propose",
	proposeSeveral: "propose-several",
	transferLeadership: "transfer-leadership",
	memberStatus: "member-status",
	probe: "probe",
	whereIs: "where-is",
	hears: "hears",
	secretsKey: "secrets-key",
} as const;

const urgencies: readonly Urgency[] = ["growing", "essential"];

export function encodeProposal(data: Uint8Array, urgency: Urgency): Uint8Array {
	const bytes = new Uint8Array(1 + data.length);
	bytes[0] = urgencies.indexOf(urgency);
	bytes.set(data, 1);
	return bytes;
}

export function decodeProposal(bytes: Uint8Array): Proposal {
	const urgency = urgencies[bytes[0] ?? -1];
	if (urgency === undefined || bytes.length < 2) throw new AppError("malformed", "This is no proposal.");
	return { data: bytes.slice(1), urgency };
}

export type Proposal = { data: Uint8Array; urgency: Urgency };

/** One after the other, each behind its length. */
export function encodeProposals(proposals: readonly Proposal[]): Uint8Array {
	const bytes = new Uint8Array(proposals.reduce((sum, { data }) => sum + lengthBytes + 1 + data.length, 0));
	const view = new DataView(bytes.buffer);
	let at = 0;
	for (const { data, urgency } of proposals) {
		view.setUint32(at, 1 + data.length);
		bytes[at + lengthBytes] = urgencies.indexOf(urgency);
		bytes.set(data, at + lengthBytes + 1);
		at += lengthBytes + 1 + data.length;
	}
	return bytes;
}

const lengthBytes = 4;
/** In one call. */
export const maxProposals = 1024;

export function decodeProposals(bytes: Uint8Array): Proposal[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const proposals: Proposal[] = [];
	for (let at = 0; at < bytes.length; ) {
		const end = at + lengthBytes + (bytes.length - at < lengthBytes ? Number.NaN : view.getUint32(at));
		if (!(end <= bytes.length) || proposals.length === maxProposals)
			throw new AppError("malformed", "These are no proposals.");
		proposals.push(decodeProposal(bytes.subarray(at + lengthBytes, end)));
		at = end;
	}
	return proposals;
}

/** Larger than what a node may bring (limits.ts), names only. */
const maxPackedBytes = 16 * MiB;

/** JSON that may be long, and has to fit into one frame. */
export const encodePacked = (value: unknown): Uint8Array => new Uint8Array(gzipSync(encodeJson(value)));

/** `malformed` also for what would become too large. */
export function decodePacked<T>(bytes: Uint8Array): T {
	let text: Uint8Array;
	try {
		text = gunzipSync(bytes, { maxOutputLength: maxPackedBytes });
	} catch (cause) {
		throw new AppError("malformed", "A message of another node cannot be read.", { cause });
	}
	return decodeJson<T>(text);
}

export const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export function decodeJson<T>(bytes: Uint8Array): T {
	try {
		return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as T;
	} catch (cause) {
		throw new AppError("malformed", "A message of another node cannot be read.", { cause });
	}
}
