/**
 * Request bodies, read within bounds: never more bytes than the limit, whatever Content-Length says or chunks bring,
 * and never longer than the time limit.
 */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { formatBytes, MiB } from "../lib/units.ts";
import type { CredentialEnd } from "./credential-end.ts";
import { parseJson } from "./json.ts";
import { type BinaryBody, type BodySpec, isBinary } from "./route.ts";
import { boundedUpload } from "./stall.ts";

export const maxJsonBytes = MiB;
const bodyLimitMs = 30_000;

const tooLarge = (maxBytes: number) =>
	new AppError("too-large", `The body is over the limit of ${formatBytes(maxBytes)}.`);

/** What Content-Length announces; null without it. */
function announcedBytes(headers: Headers): number | null {
	const text = headers.get("content-length");
	if (text === null) return null;
	if (!/^\d{1,16}$/.test(text)) throw new AppError("malformed", "The header Content-Length is no number.");
	return Number(text);
}

/** Media type without its parameters, lower case; null without the header. */
const mediaType = (headers: Headers): string | null =>
	headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() || null;

/** Does the request come with a body at all? Asking for `request.body` makes a stream of it, which costs more than reading it. */
function hasBody(request: Request): boolean {
	const announced = announcedBytes(request.headers);
	return announced === null ? request.body !== null : announced > 0;
}

function checkMediaType(headers: Headers, wanted: string): void {
	const type = mediaType(headers);
	if (type !== wanted) throw new AppError("unsupported-media-type", `The body must be ${wanted}.`);
	const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(headers.get("content-type") ?? "")?.[1];
	if (wanted === "application/json" && charset && charset.toLowerCase() !== "utf-8")
		throw new AppError("unsupported-media-type", "JSON is sent as UTF-8.");
}

/** Nothing is unpacked here: a small body could become a large one. RFC 9110, 8.4: then it is 415. */
function checkEncoding(headers: Headers): void {
	const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
	if (encoding !== "" && encoding !== "identity")
		throw new AppError("unsupported-media-type", "Bodies are taken as they are, without Content-Encoding.");
}

/** What can be said of an upload before it is read; returns how much of it may come. */
export function checkUpload(headers: Headers, { contentType, maxBytes = maxJsonBytes }: BinaryBody): number {
	checkEncoding(headers);
	checkMediaType(headers, contentType);
	const announced = announcedBytes(headers);
	if (announced !== null && announced > maxBytes) throw tooLarge(maxBytes);
	return maxBytes;
}

export type BodyOptions = {
	optional: boolean;
	/** It is as long as Content-Length says, or reading it fails: the HTTP server sees to that. What a node passes on may be longer. */
	measured: boolean;
	clock: Clock;
	credential: CredentialEnd;
};

/** The body as the route wants it: parsed JSON, a stream for bytes, undefined for none. */
export async function readBody(request: Request, spec: BodySpec, options: BodyOptions): Promise<unknown> {
	const { optional, clock, credential } = options;
	const present = hasBody(request);
	if (present) checkEncoding(request.headers);
	if (spec === null) {
		// Clients that always send "{}" are not wrong; anything else would be ignored, and is refused instead.
		if (!present) return undefined;
		const bytes = await readBytes(request, 64, options);
		if (bytes.length === 0 || new TextDecoder().decode(bytes).trim() === "{}") return undefined;
		throw new AppError("malformed", "This request takes no body.");
	}
	if (!present && optional) return undefined;
	if (isBinary(spec)) {
		const maxBytes = checkUpload(request.headers, spec);
		const stream = request.body ?? new ReadableStream({ start: (controller) => controller.close() });
		return boundedUpload(stream, { clock, maxBytes, tooLarge: () => tooLarge(maxBytes), ended: credential.signal });
	}
	if (!present) throw new AppError("malformed", "A body is needed.");
	checkMediaType(request.headers, "application/json");
	const bytes = await readBytes(request, maxJsonBytes, options);
	if (bytes.length === 0 && optional) return undefined;
	return parseJson(bytes);
}

async function readBytes(
	request: Request,
	maxBytes: number,
	{ measured, clock }: Pick<BodyOptions, "measured" | "clock">,
): Promise<Uint8Array> {
	const announced = announcedBytes(request.headers);
	if (announced !== null && announced > maxBytes) throw tooLarge(maxBytes);
	if (measured && announced !== null) return readWhole(request, clock);
	if (request.body === null) return new Uint8Array(0);
	const reader = request.body.getReader();
	let timedOut = false;
	const timer = clock.schedule(bodyLimitMs, () => {
		timedOut = true;
		reader.cancel().catch(() => {});
	});
	const chunks: Uint8Array[] = [];
	let received = 0;
	try {
		while (true) {
			const { done, value } = await reader.read();
			if (done) break;
			received += value.length;
			if (received > maxBytes) throw tooLarge(maxBytes);
			chunks.push(value);
		}
	} catch (error) {
		reader.cancel().catch(() => {});
		if (error instanceof AppError) throw error;
		throw incomplete(error);
	} finally {
		timer.cancel();
	}
	if (timedOut) throw late();
	return Buffer.concat(chunks);
}

/** What is still read when the time is over ends with the connection, which is closed after an error. */
function readWhole(request: Request, clock: Clock): Promise<Uint8Array> {
	return new Promise((resolve, reject) => {
		const timer = clock.schedule(bodyLimitMs, () => reject(late()));
		request.bytes().then(
			(bytes) => {
				timer.cancel();
				resolve(bytes);
			},
			(error: unknown) => {
				timer.cancel();
				reject(incomplete(error));
			},
		);
	});
}

const incomplete = (cause: unknown): AppError =>
	new AppError("malformed", "The body ended before it was complete.", { cause });
const late = (): AppError => new AppError("malformed", "The body did not arrive in time.");
