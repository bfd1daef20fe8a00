/**
 * What goes over between two nodes' APIs. The request's head is the metadata of the stream, its body the bytes that follow.
 * The answer is one frame (length, JSON) and then its body. Both heads come from another process: they are checked against
 * a schema here, and what they ask for is checked again by the operation's own schemas (relay-serve.ts).
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { ByteStream } from "../lib/byte-stream.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { KiB } from "../lib/units.ts";
import { Nullable, Strict, StringEnum } from "../model/schema.ts";
import { parseJson } from "./json.ts";
import type { Route } from "./route.ts";
import { fieldErrors } from "./validation.ts";

/** What the metadata of a stream between nodes hold. */
export const maxRequestHeadBytes = 60 * KiB;
const maxAnswerHeadBytes = 16 * KiB;
const lengthBytes = 4;

const headerValue = Type.String({ maxLength: 4096, pattern: "^[\\x20-\\x7e]*$" });
const named = <T extends TSchema>(value: T) =>
	Type.Record(Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,63}$" }), value, { additionalProperties: false });

const RequestHead = Strict({
	operationId: Type.String({ maxLength: 64 }),
	params: named(Type.String({ maxLength: 1024 })),
	query: named(Type.Array(Type.String({ maxLength: 8192 }), { minItems: 1, maxItems: 64 })),
	headers: named(headerValue),
	/** The caller's own. Null with `local` only. */
	credential: Nullable(
		Strict({
			secret: Type.String({ pattern: "^[\\x21-\\x7e]{1,256}$" }),
			via: StringEnum(["cookie", "bearer"] as const),
		}),
	),
	/** Root on the node that passes it on, over its local socket. */
	local: Type.Boolean(),
	remoteAddress: Nullable(Type.String({ pattern: "^[0-9A-Za-z.:%_-]{1,64}$" })),
	secure: Type.Boolean(),
	hasBody: Type.Boolean(),
});
export type RequestHead = Static<typeof RequestHead>;

const AnswerHead = Strict({
	status: Type.Integer({ minimum: 200, maximum: 599 }),
	headers: named(headerValue),
});
export type AnswerHead = Static<typeof AnswerHead>;

/** Headers of a request that go along, beside those that the route declares. */
export const passedRequestHeaders = (route: Route): string[] => [
	...(route.body ? ["content-type", "content-length", "content-encoding"] : []),
	...(route.ifMatch ? ["if-match"] : []),
	...(route.idempotent ? ["idempotency-key"] : []),
	...Object.keys(route.headers?.properties ?? {}),
];

/** Of an answer. Never Set-Cookie; the media type is the one that the operation defines. */
const passedAnswerHeaders = [
	"etag",
	"location",
	"task-location",
	"content-disposition",
	"content-length",
	"retry-after",
	"www-authenticate",
	"x-lqx-stale",
];

export function pick(headers: Headers, names: readonly string[]): Record<string, string> {
	const picked: Record<string, string> = {};
	for (const name of names) {
		const value = headers.get(name);
		if (value !== null && /^[\x20-\x7e]*$/.test(value)) picked[name] = value;
	}
	return picked;
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Null unless the bytes are a head of this kind. */
function decode<T extends TSchema>(schema: T, bytes: Uint8Array): Static<T> | null {
	try {
		const value = parseJson(bytes);
		return fieldErrors(schema, value).length === 0 ? (value as Static<T>) : null;
	} catch (error) {
		if (isAppError(error, "malformed")) return null;
		throw error;
	}
}

/** `too-large` for what does not fit. */
export function encodeRequestHead(head: RequestHead): Uint8Array {
	const bytes = encode(head);
	if (bytes.length > maxRequestHeadBytes)
		throw new AppError("too-large", "The parameters are too long to be passed on to another node.");
	return bytes;
}

export function decodeRequestHead(bytes: Uint8Array): RequestHead | null {
	const head = decode(RequestHead, bytes);
	// Root is never what is left when a credential is missing.
	return head !== null && head.local === (head.credential === null) ? head : null;
}

export function encodeAnswerHead({ status, headers }: Response): Uint8Array {
	const json = encode({ status, headers: pick(headers, passedAnswerHeaders) } satisfies AnswerHead);
	const frame = new Uint8Array(lengthBytes + json.length);
	new DataView(frame.buffer).setUint32(0, json.length);
	frame.set(json, lengthBytes);
	return frame;
}

/** The head of the answer, and what came of the body with it. */
export async function readAnswerHead(stream: ByteStream): Promise<{ head: AnswerHead; rest: Uint8Array }> {
	let got: Uint8Array = new Uint8Array(0);
	for (;;) {
		const length = got.length < lengthBytes ? null : new DataView(got.buffer, got.byteOffset).getUint32(0);
		if (length !== null && length > maxAnswerHeadBytes) throw unreadable();
		if (length !== null && got.length >= lengthBytes + length) {
			const head = decode(AnswerHead, got.subarray(lengthBytes, lengthBytes + length));
			if (head === null || Object.keys(head.headers).some((name) => !passedAnswerHeaders.includes(name)))
				throw unreadable();
			return { head, rest: got.subarray(lengthBytes + length) };
		}
		const chunk = await stream.read();
		if (chunk === null) throw unreadable();
		got = Buffer.concat([got, chunk]);
	}
}

const unreadable = () => new AppError("unavailable", "The answer of the other node cannot be read.");
