/**
 * Bytes of other nodes as protobuf messages, with a bound on what they become: a message of 40 MB can hold 20 million
 * empty list items, so fields are counted before anything is made of them. Nothing here throws for bytes that came from
 * outside, except through `decoded`, which makes null of it.
 */
import {
	create,
	type DescMessage,
	fromBinary,
	type MessageInitShape,
	type MessageShape,
	toBinary,
} from "@bufbuild/protobuf";
import { assert } from "../lib/assert.ts";
import { AppError, type ErrorInfo, errorCodes, type FieldError } from "../lib/errors.ts";

const defaultMaxFields = 4096;

export function encoded<Schema extends DescMessage>(schema: Schema, value: MessageInitShape<Schema>): Uint8Array {
	return toBinary(schema, create(schema, value));
}

/** Null when these bytes are no such message, hold too many fields, or `read` finds something wrong with it. */
export function decoded<Schema extends DescMessage, Value>(
	schema: Schema,
	bytes: Uint8Array,
	read: (message: MessageShape<Schema>) => Value,
	maxFields = defaultMaxFields,
): Value | null {
	if (!hasAtMostFields(bytes, maxFields)) return null;
	try {
		return read(fromBinary(schema, bytes, { readUnknownFields: false }));
	} catch {
		return null;
	}
}

/** False also when the bytes are no sequence of fields. */
export function hasAtMostFields(bytes: Uint8Array, max: number): boolean {
	let at = 0;
	let fields = 0;
	const varint = (): number => {
		let value = 0;
		for (let shift = 0; shift < 70; shift += 7) {
			const byte = bytes[at];
			if (byte === undefined) return -1;
			at += 1;
			if (shift < 49) value += (byte & 0x7f) * 2 ** shift;
			else if ((byte & 0x7f) !== 0) value = Number.MAX_SAFE_INTEGER;
			if (byte < 0x80) return value;
		}
		return -1;
	};
	while (at < bytes.length) {
		fields += 1;
		const tag = varint();
		if (tag < 8 || fields > max) return false;
		const wireType = tag % 8;
		if (wireType === 0) {
			if (varint() < 0) return false;
		} else if (wireType === 1) at += 8;
		else if (wireType === 5) at += 4;
		else if (wireType === 2) {
			const length = varint();
			if (length < 0) return false;
			at += length;
		} else return false;
	}
	return at === bytes.length;
}

export function toUint64(value: number): bigint {
	assert(Number.isSafeInteger(value) && value >= 0, "a number on the wire is a whole number from 0 to 2^53 - 1");
	return BigInt(value);
}

/** Throws when it is not a safe integer: inside `decoded`, which makes null of that. */
export function fromUint64(value: bigint): number {
	if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
		throw new AppError("malformed", "A number is out of range.");
	return Number(value);
}

const maxMessageLength = 4096;
const maxFieldErrors = 256;

/**
 * What crosses of an error: an ErrorInfo, when to try again, and of a change whether it may have happened (`context.outcome`,
 * store/raft/refusals.ts); nothing else of the private context. Always fits into a frame. Older versions do not know
 * `outcome`.
 */
export function encodeError(error: AppError): string {
	const { code, message, fields, retryAfterMs, context } = error;
	const info: ErrorInfo & { retryAfterMs?: number; outcome?: string } = {
		code,
		message: message.slice(0, maxMessageLength),
		...(fields.length > 0 ? { fields: fields.slice(0, 32).map(shortField) } : {}),
		...(retryAfterMs === undefined ? {} : { retryAfterMs }),
		...(isOutcome(context.outcome) ? { outcome: context.outcome } : {}),
	};
	return JSON.stringify(info);
}

const shortField = ({ path, message }: FieldError): FieldError => ({
	path: path.slice(0, 256),
	message: message.slice(0, 512),
});

/** Whatever the text is; a code that this version does not know becomes `internal`. */
export function decodeError(text: string): AppError {
	let value: unknown = null;
	try {
		value = JSON.parse(text);
	} catch {
		// Below.
	}
	const given = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
	const code = errorCodes.find((known) => known === given.code) ?? "internal";
	const message = typeof given.message === "string" ? given.message : "The other node failed and did not say how.";
	const fields = Array.isArray(given.fields) ? given.fields.slice(0, maxFieldErrors).filter(isFieldError) : [];
	const retryAfterMs = typeof given.retryAfterMs === "number" && given.retryAfterMs >= 0 ? given.retryAfterMs : null;
	return new AppError(code, message.slice(0, maxMessageLength), {
		fields,
		...(retryAfterMs === null ? {} : { retryAfterMs }),
		...(isOutcome(given.outcome) ? { context: { outcome: given.outcome } } : {}),
	});
}

const outcomes = ["not-proposed", "lost", "unknown"];
const isOutcome = (value: unknown): value is string => typeof value === "string" && outcomes.includes(value);

const isFieldError = (value: unknown): value is FieldError =>
	typeof value === "object" &&
	value !== null &&
	typeof (value as FieldError).path === "string" &&
	typeof (value as FieldError).message === "string";
