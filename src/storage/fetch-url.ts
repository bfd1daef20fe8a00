/**
 * Downloads a file into the upload area of an image. The URL is a person's and the server is a stranger: only http and
 * https, only addresses that fetch/address-policy.ts allows, at every redirect; bounded in length, in time, in silence.
 * A cut download goes on where it stopped when the server can (Range, same strong ETag: RFC 9110), also in a later call
 * for the same image; else it begins again.
 */
import type { IncomingMessage } from "node:http";
import { type Clock, delay, systemClock } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { formatBytes, TiB } from "../lib/units.ts";
import type { LongOptions, StorageDriver, UploadFile } from "./driver.ts";
import { isPrivate } from "./fetch/address-policy.ts";
import { checkedUrl, type GetOptions, httpGet, lostConnection, mayRetry } from "./fetch/http-get.ts";

export type FetchOptions = LongOptions & {
	url: string;
	/** Longest file that is taken (default 1 TiB, and what is free in the pool). */
	maxBytes?: number;
	/** Less than 1 KiB in this time is a stall (default 30 s); also the limit for the head of an answer. */
	stallMs?: number;
	/** Limit of all of it (default 24 h). */
	totalMs?: number;
	/** Tries without a byte of progress (default 5), with growing pauses. */
	attempts?: number;
	/** First pause (default 1 s); it doubles up to 30 s. */
	retryDelayMs?: number;
	clock?: Clock;
} & Partial<Pick<GetOptions, "allowLoopback" | "ownAddresses" | "extraCertificates" | "resolve">>;

export type UploadArea = Pick<StorageDriver, "openUpload" | "getUpload" | "check">;

const maxRedirects = 5;
const minBytesInStallTime = 1024;
/** Tries in all, also with progress: a file that changes all the time must come to an end. */
const maxTries = 200;

type Limits = Required<Pick<FetchOptions, "maxBytes" | "stallMs" | "clock">> & { signal: AbortSignal };
type Answer = { response: IncomingMessage; url: URL };

/**
 * Leaves a complete upload for finishImage. After a failure what was received stays for the next call; deleteImage
 * removes it. Fails with `invalid` (URL, address or answer), `unavailable`, `timeout`, `too-large`, `no-space`,
 * `canceled`.
 */
export async function fetchToUpload(
	area: UploadArea,
	imageId: string,
	options: FetchOptions,
): Promise<{ receivedBytes: number; url: string }> {
	const clock = options.clock ?? systemClock;
	const ended = new AbortController();
	const onAbort = () =>
		ended.abort(new AppError("canceled", "The download was canceled.", { cause: options.signal?.reason }));
	options.signal?.addEventListener("abort", onAbort, { once: true });
	if (options.signal?.aborted) onAbort();
	const timer = clock.schedule(options.totalMs ?? 24 * 3600_000, () =>
		ended.abort(new AppError("timeout", "The download took longer than it may.")),
	);
	try {
		return await attemptUntilDone(area, imageId, checkedUrl(options.url), options, ended.signal, clock);
	} catch (error) {
		throw ended.signal.aborted ? ended.signal.reason : error;
	} finally {
		timer.cancel();
		options.signal?.removeEventListener("abort", onAbort);
	}
}

async function attemptUntilDone(
	area: UploadArea,
	imageId: string,
	url: URL,
	options: FetchOptions,
	signal: AbortSignal,
	clock: Clock,
) {
	const limits: Limits = { maxBytes: options.maxBytes ?? TiB, stallMs: options.stallMs ?? 30_000, clock, signal };
	let failures = 0;
	for (let attempt = 0; ; attempt++) {
		const before = (await area.getUpload(imageId))?.receivedBytes ?? 0;
		try {
			return await fetchOnce(area, imageId, url, options, limits, attempt);
		} catch (error) {
			signal.throwIfAborted();
			const after = (await area.getUpload(imageId))?.receivedBytes ?? 0;
			failures = after > before ? 1 : failures + 1;
			if (!mayRetry(error) || failures >= (options.attempts ?? 5) || attempt >= maxTries) throw error;
			const pause = Math.min(30_000, (options.retryDelayMs ?? 1000) * 2 ** (failures - 1));
			options.progress?.(null, `${isAppError(error) ? error.message : "Failed."} Trying again.`);
			await delay(clock, pause, signal);
		}
	}
}

async function fetchOnce(
	area: UploadArea,
	imageId: string,
	url: URL,
	options: FetchOptions,
	limits: Limits,
	attempt: number,
) {
	const there = await area.getUpload(imageId);
	// Without a validator nobody can say that the rest belongs to the same file.
	const from = there?.validator ? there.receivedBytes : 0;
	if (there?.validator && from > 0 && from === there.totalBytes) return { receivedBytes: from, url: url.href };
	const headers: Record<string, string> =
		from > 0 && there?.validator ? { Range: `bytes=${from}-`, "If-Range": there.validator } : {};
	const answer = await followRedirects(url, headers, options, limits, attempt);
	try {
		const upload = await openFor(area, imageId, answer, from, there?.validator ?? null, limits);
		try {
			await receive(answer, upload.file, upload.totalBytes, options, limits);
		} finally {
			await upload.file.close();
		}
		return { receivedBytes: upload.file.receivedBytes, url: answer.url.href };
	} finally {
		answer.response.destroy();
	}
}

async function followRedirects(
	start: URL,
	headers: Record<string, string>,
	options: FetchOptions,
	limits: Limits,
	addressIndex: number,
): Promise<Answer> {
	let url = start;
	let publicOnly = false;
	for (let count = 0; count <= maxRedirects; count++) {
		const response = await httpGet(url, {
			...{ headers, addressIndex, signal: limits.signal, headTimeoutMs: limits.stallMs, clock: limits.clock },
			...{ allowLoopback: options.allowLoopback ?? false, publicOnly },
			...(options.ownAddresses ? { ownAddresses: options.ownAddresses } : {}),
			...(options.extraCertificates ? { extraCertificates: options.extraCertificates } : {}),
			...(options.resolve ? { resolve: options.resolve } : {}),
		});
		const { statusCode = 0 } = response;
		if (![301, 302, 303, 307, 308].includes(statusCode)) return { response, url };
		publicOnly ||= !isPrivate(response.socket.remoteAddress ?? "");
		response.destroy();
		const { location } = response.headers;
		if (!location) throw new AppError("unavailable", `${url.host} redirects to nowhere.`);
		const next = checkedUrl(location, url);
		if (url.protocol === "https:" && next.protocol === "http:")
			throw new AppError("invalid", `${url.host} redirects from https to plain http (${next.host}).`);
		url = next;
	}
	throw new AppError("unavailable", `${start.host} redirects more than ${maxRedirects} times.`);
}

/** Judges the head of the answer and opens the upload where its body goes on. */
async function openFor(
	area: UploadArea,
	imageId: string,
	{ response, url }: Answer,
	from: number,
	validator: string | null,
	limits: Limits,
): Promise<{ file: UploadFile; totalBytes: number | null }> {
	const { headers, statusCode = 0 } = response;
	const encoding = headers["content-encoding"] ?? "identity";
	if (encoding !== "identity")
		throw new AppError("invalid", `${url.host} sends the file in an encoding (${encoding.slice(0, 40)}) of its own.`);
	if (statusCode === 206 && from > 0) {
		const range = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(headers["content-range"] ?? "");
		const [start, end, total] = (range ?? []).slice(1).map(Number);
		if (start !== from || total === undefined || end !== total - 1 || headers.etag !== validator)
			throw await begunAnew(area, imageId, url);
		await requireRoom(area, total, from, limits);
		return { file: await area.openUpload(imageId, total), totalBytes: total };
	}
	if (statusCode === 416 && from > 0) throw await begunAnew(area, imageId, url);
	if (statusCode !== 200) throw refusedBy(url, response);
	const length = headers["content-length"];
	if (length === undefined && headers["transfer-encoding"] !== "chunked")
		throw new AppError(
			"invalid",
			`${url.host} does not say how long the file is: a cut download could not be told from a whole one.`,
		);
	const totalBytes = length === undefined ? null : Number(length);
	if (totalBytes !== null && !Number.isSafeInteger(totalBytes))
		throw new AppError("invalid", `${url.host} sends an impossible length.`);
	if (totalBytes === 0) throw new AppError("invalid", `The file on ${url.host} is empty.`);
	await requireRoom(area, totalBytes ?? 0, 0, limits);
	const strong =
		headers.etag !== undefined && /^"[\x21\x23-\x7e]{0,200}"$/.test(headers.etag) ? { validator: headers.etag } : {};
	return { file: await area.openUpload(imageId, totalBytes, { restart: true, ...strong }), totalBytes };
}

/** What was received does not fit to what the server has now: it goes, and the next try is for all of it. */
async function begunAnew(area: UploadArea, imageId: string, url: URL): Promise<AppError> {
	await (await area.openUpload(imageId, null, { restart: true })).close();
	return new AppError("unavailable", `The file on ${url.host} has changed; the download begins again.`, {
		context: { retry: true },
	});
}

function refusedBy(url: URL, { statusCode = 0, statusMessage = "" }: IncomingMessage): AppError {
	const words = statusMessage.replace(/[^\x20-\x7e]/g, "").slice(0, 80);
	const retry = statusCode >= 500 || [408, 425, 429].includes(statusCode);
	return new AppError(retry ? "unavailable" : "invalid", `${url.host} answered ${statusCode} ${words}`.trimEnd(), {
		context: { retry },
	});
}

async function requireRoom(area: UploadArea, totalBytes: number, from: number, limits: Limits): Promise<void> {
	if (totalBytes > limits.maxBytes)
		throw new AppError(
			"too-large",
			`The file has ${formatBytes(totalBytes)}; the limit is ${formatBytes(limits.maxBytes)}.`,
		);
	const { availableBytes } = await area.check();
	if (totalBytes - from > availableBytes)
		throw new AppError(
			"no-space",
			`The file has ${formatBytes(totalBytes)}; the pool has ${formatBytes(availableBytes)} left.`,
		);
}

async function receive(
	{ response, url }: Answer,
	file: UploadFile,
	totalBytes: number | null,
	{ progress }: FetchOptions,
	limits: Limits,
): Promise<void> {
	const chunks = response[Symbol.asyncIterator]();
	using watch = new StallWatch(response, url, limits);
	while (true) {
		const next = await watch.wait(chunks.next());
		if (next.done) break;
		const chunk: Uint8Array = next.value;
		if (file.receivedBytes + chunk.length > limits.maxBytes)
			throw new AppError("too-large", `The file is longer than the limit of ${formatBytes(limits.maxBytes)}.`);
		await file.write(chunk);
		watch.received(chunk.length);
		progress?.(totalBytes === null ? null : file.receivedBytes / totalBytes, "Downloading");
	}
	if (!response.complete || (totalBytes !== null && file.receivedBytes !== totalBytes))
		throw lostConnection(url.host, null);
}

/** Destroys the answer when it is silent for too long or the download is to end; time that we need to write does not count. */
class StallWatch implements Disposable {
	readonly #response: IncomingMessage;
	readonly #url: URL;
	readonly #limits: Limits;
	readonly #onAbort = () => this.#end(this.#limits.signal.reason);
	#waitedMs = 0;
	#bytes = 0;
	#failure: unknown = null;

	constructor(response: IncomingMessage, url: URL, limits: Limits) {
		this.#response = response;
		this.#url = url;
		this.#limits = limits;
		limits.signal.addEventListener("abort", this.#onAbort, { once: true });
		if (limits.signal.aborted) this.#onAbort();
	}

	async wait<T>(next: Promise<T>): Promise<T> {
		const { clock, stallMs } = this.#limits;
		const startedAt = clock.monotonicMs();
		const timer = clock.schedule(Math.max(1, stallMs - this.#waitedMs), () =>
			this.#end(new AppError("timeout", `${this.#url.host} sends nothing any more.`, { context: { retry: true } })),
		);
		try {
			return await next;
		} catch (error) {
			throw this.#failure ?? lostConnection(this.#url.host, error);
		} finally {
			timer.cancel();
			this.#waitedMs += clock.monotonicMs() - startedAt;
		}
	}

	received(bytes: number): void {
		this.#bytes += bytes;
		if (this.#bytes < minBytesInStallTime) return;
		this.#bytes = 0;
		this.#waitedMs = 0;
	}

	#end(failure: unknown): void {
		this.#failure ??= failure;
		this.#response.destroy(failure instanceof Error ? failure : undefined);
	}

	[Symbol.dispose](): void {
		this.#limits.signal.removeEventListener("abort", this.#onAbort);
	}
}
