/**
 * What a storage worker and the daemon say to each other over the worker's standard input and output. A frame: its length and that
 * of its head (32 bits each, big endian), the head as JSON, and bytes that go with it. Each side answers for the size of what
 * it sends; what is larger than agreed ends the connection.
 */
import { AppError, type AppErrorOptions, errorCodes } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";

/** Both ends are of one build, but for an executable that was replaced while its daemon runs. */
export const protocolVersion = 1;
/** A list of 10,000 volumes takes about 5 MiB. */
const maxFrameBytes = 64 * MiB;
/** Bytes that go with one frame. */
export const maxPartBytes = MiB;

export type WireError = {
	code: string;
	message: string;
	fields: AppErrorOptions["fields"];
	retryAfterMs: number | null;
	context: Record<string, unknown>;
};

export type Request =
	| { kind: "call"; id: number; method: string; args: unknown[] }
	/** Ends a call that runs; it is answered all the same. */
	| { kind: "cancel"; id: number };
export type Reply =
	| { kind: "hello"; version: number }
	| { kind: "result"; id: number; value: unknown }
	| { kind: "error"; id: number; error: WireError }
	| { kind: "progress"; id: number; ratio: number | null; message: string | null };

export type Frame<T> = { head: T; part: Uint8Array };

export function encodeFrame(head: Request | Reply, part: Uint8Array = new Uint8Array(0)): Uint8Array {
	const text = new TextEncoder().encode(JSON.stringify(head));
	const bytes = new Uint8Array(8 + text.length + part.length);
	const view = new DataView(bytes.buffer);
	if (bytes.length > maxFrameBytes) throw new AppError("too-large", "An answer of the storage worker is too large.");
	view.setUint32(0, 4 + text.length + part.length);
	view.setUint32(4, text.length);
	bytes.set(text, 8);
	bytes.set(part, 8 + text.length);
	return bytes;
}

/** Puts frames together from pieces as they come. Throws on what is none. */
export class FrameReader<T> {
	#pieces: Uint8Array[] = [];
	#length = 0;

	*push(piece: Uint8Array): Generator<Frame<T>> {
		this.#pieces.push(piece);
		this.#length += piece.length;
		while (this.#length >= 8) {
			const header = this.#peek(8);
			const view = new DataView(header.buffer, header.byteOffset, 8);
			const [length, headLength] = [view.getUint32(0), view.getUint32(4)];
			if (length > maxFrameBytes || headLength > length - 4)
				throw new AppError("corrupt", "What the storage worker says is not understood.");
			if (this.#length < 4 + length) return;
			const frame = this.#take(4 + length);
			const head = JSON.parse(new TextDecoder().decode(frame.subarray(8, 8 + headLength))) as T;
			yield { head, part: frame.subarray(8 + headLength) };
		}
	}

	#peek(length: number): Uint8Array {
		const [first] = this.#pieces;
		if (first && first.length >= length) return first.subarray(0, length);
		const all = Buffer.concat(this.#pieces);
		this.#pieces = [all];
		return all.subarray(0, length);
	}

	#take(length: number): Uint8Array {
		const [first] = this.#pieces;
		const all = this.#pieces.length === 1 && first ? first : Buffer.concat(this.#pieces);
		const rest = all.subarray(length);
		this.#pieces = rest.length > 0 ? [rest] : [];
		this.#length = rest.length;
		// A copy: what it was cut from may be used again.
		return all.slice(0, length);
	}
}

export function toWire(error: unknown): WireError {
	const known =
		error instanceof AppError
			? error
			: new AppError("internal", "Something went wrong in the storage worker.", { cause: error });
	const { code, message, fields, retryAfterMs = null } = known;
	const cause =
		known.cause instanceof Error ? { cause: (known.cause.stack ?? known.cause.message).slice(0, 4000) } : {};
	return { code, message, fields, retryAfterMs, context: { ...plain(known.context), ...cause } };
}

export function fromWire({ code, message, fields, retryAfterMs, context }: WireError): AppError {
	return new AppError(errorCodes.find((known) => known === code) ?? "internal", message, {
		...{ context },
		...(fields && fields.length > 0 ? { fields } : {}),
		...(retryAfterMs === null ? {} : { retryAfterMs }),
	});
}

function plain(context: Record<string, unknown>): Record<string, unknown> {
	try {
		return JSON.parse(JSON.stringify(context)) as Record<string, unknown>;
	} catch {
		return {};
	}
}
