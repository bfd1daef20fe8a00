/**
 * PDUs of iSCSI's login and text phases (RFC 7143, 11.10 to 11.13), as far as asking a target needs them. Pure. Digests are never used: the
 * login phase has none, and none are agreed on.
 */
import { AppError } from "../../lib/errors.ts";

export const headerBytes = 48;
/** We say that we take so much in one PDU; what a target sends in the login phase is limited to 8 KiB by the standard. */
export const maxDataBytes = 64 * 1024;

export const opcodes = {
	login: 0x03,
	text: 0x04,
	logout: 0x06,
	loginResponse: 0x23,
	textResponse: 0x24,
	logoutResponse: 0x26,
} as const;
export const noTag = 0xffff_ffff;
const immediate = 0x40;
const final = 0x80;
const more = 0x40;

export type Pdu = {
	opcode: number;
	/** Of a login: the target goes over to the next stage. Of a text: this was all. */
	isLast: boolean;
	/** The text goes on in the next PDU. */
	continues: boolean;
	/** Login: class and detail, "0201". */
	status: string;
	statSn: number;
	transferTag: number;
	/** Bytes 8 to 15, which a text that goes on repeats. */
	place: Uint8Array;
	data: Uint8Array;
};

export type Keys = readonly (readonly [name: string, value: string])[];

/** "name=value" with a NUL each. */
const textOf = (keys: Keys): Uint8Array => Buffer.from(keys.map(([name, value]) => `${name}=${value}\0`).join(""));

export type Counters = { isid: Uint8Array; tag: number; cmdSn: number; expStatSn: number };

function pdu(first: number, flags: number, { tag, cmdSn, expStatSn }: Counters, data: Uint8Array) {
	const bytes = Buffer.alloc(headerBytes + Math.ceil(data.length / 4) * 4);
	bytes[0] = first;
	bytes[1] = flags;
	bytes.writeUIntBE(data.length, 5, 3);
	bytes.writeUInt32BE(tag, 16);
	bytes.writeUInt32BE(cmdSn, 24);
	bytes.writeUInt32BE(expStatSn, 28);
	bytes.set(data, headerBytes);
	return bytes;
}

/** `stage`: 0 security, 1 operational. `next`: the stage to go over to; null stays. */
export function loginRequest(counters: Counters, stage: 0 | 1, next: 1 | 3 | null, keys: Keys): Uint8Array {
	const flags = (next === null ? 0 : final | next) | (stage << 2);
	const bytes = pdu(opcodes.login | immediate, flags, counters, textOf(keys));
	bytes.set(counters.isid, 8);
	return bytes;
}

/** `after`: what a text that goes on is asked for with. */
export function textRequest(counters: Counters, keys: Keys, after: Pick<Pdu, "transferTag" | "place"> | null) {
	const bytes = pdu(opcodes.text, final, counters, textOf(keys));
	bytes.writeUInt32BE(after?.transferTag ?? noTag, 20);
	if (after) bytes.set(after.place, 8);
	return bytes;
}

/** Of the whole session. */
export const logoutRequest = (counters: Counters): Uint8Array =>
	pdu(opcodes.logout | immediate, final, counters, new Uint8Array());

/** How many bytes follow the header: other headers, and data with what fills it up. Fails for more than we take. */
export function followingBytes(header: Buffer): { ahs: number; data: number; padded: number } {
	const ahs = (header[4] ?? 0) * 4;
	const data = header.readUIntBE(5, 3);
	if (data > maxDataBytes) throw notUnderstood();
	return { ahs, data, padded: Math.ceil(data / 4) * 4 };
}

export const parsePdu = (header: Buffer, data: Uint8Array): Pdu => ({
	opcode: (header[0] ?? 0) & 0x3f,
	isLast: ((header[1] ?? 0) & final) !== 0,
	continues: ((header[1] ?? 0) & more) !== 0,
	status: header.toString("hex", 36, 38),
	statSn: header.readUInt32BE(24),
	transferTag: header.readUInt32BE(20),
	place: header.subarray(8, 16),
	data,
});

/** In their order: names may come several times. */
export function parseKeys(data: Uint8Array): Keys {
	const keys: [string, string][] = [];
	for (const pair of Buffer.from(data).toString("utf8").split("\0")) {
		const at = pair.indexOf("=");
		if (at > 0) keys.push([pair.slice(0, at), pair.slice(at + 1)]);
	}
	return keys;
}

export const textFor = (keys: Keys, name: string): string | null => keys.find(([key]) => key === name)?.[1] ?? null;

export const notUnderstood = (): AppError => new AppError("storage", "the answer cannot be understood");
