/**
 * Uploads of images, in parts that the API confirms, so that they survive interruptions: a lost connection is tried
 * again with back-off, a pause keeps what was sent, and after a reload the same file, chosen again, goes on where it
 * was. One tab uploads an image at a time (Web Lock).
 */
import { computed, signal } from "@preact/signals";
import { formatBytes } from "../lib/format.ts";
import { fingerprint } from "../lib/image-file.ts";
import { readStored, writeStored } from "../lib/storage.ts";
import { images as t } from "../strings/images.ts";
import { call, read } from "./call.ts";
import { ApiError, toApiError } from "./errors.ts";
import { live } from "./live/live.ts";

export type UploadState = "uploading" | "waiting" | "paused" | "failed";
export type Upload = {
	imageId: string;
	fileName: string;
	sizeBytes: number;
	receivedBytes: number;
	state: UploadState;
	/** Of the last parts; null until known. */
	bytesPerSecond: number | null;
	/** While waiting: when it is tried again. */
	retryAtMs: number | null;
	error: ApiError | null;
};
/** What is remembered of a file, to know it again. */
type Remembered = { imageId: string; fileName: string; sizeBytes: number; lastModified: number; head: string };

export const partBytes = 8 * 1024 * 1024;
const partLimitMs = 10 * 60_000;
const delaysMs = [1000, 2000, 4000, 8000, 15_000, 30_000, 30_000, 30_000];
const mostRemembered = 50;

export const uploads = signal<ReadonlyMap<string, Upload>>(new Map());
export const uploadsRunning = computed(() =>
	[...uploads.value.values()].some(({ state }) => state === "uploading" || state === "waiting"),
);
const runs = new Map<string, { file: File; controller: AbortController }>();

function change(imageId: string, part: Partial<Upload>): void {
	const now = uploads.peek().get(imageId);
	if (now) uploads.value = new Map(uploads.peek()).set(imageId, { ...now, ...part });
}

function forget(imageId: string): void {
	runs.get(imageId)?.controller.abort();
	runs.delete(imageId);
	const next = new Map(uploads.peek());
	next.delete(imageId);
	uploads.value = next;
	writeStored(
		"local",
		"uploads",
		readRemembered().filter((one) => one.imageId !== imageId),
	);
}

const readRemembered = (): Remembered[] => readStored<Remembered[]>("local", "uploads", []);

/** The file that the upload of this image began with in this browser. */
export const rememberedFile = (imageId: string): Remembered | undefined =>
	readRemembered().find((one) => one.imageId === imageId);

/** Starts the upload of an image that was just created for this file. */
export async function startUpload(imageId: string, file: File): Promise<void> {
	const { name: fileName, size: sizeBytes, lastModified } = file;
	const head = await fingerprint(file);
	const others = readRemembered().filter((one) => one.imageId !== imageId);
	writeStored(
		"local",
		"uploads",
		[...others, { imageId, fileName, sizeBytes, lastModified, head }].slice(-mostRemembered),
	);
	void run(imageId, file, 0);
}

/** Goes on with a file chosen again. Throws an ApiError that says so when it is another file. */
export async function continueUpload(imageId: string, expectedBytes: number | null, file: File): Promise<void> {
	const known = rememberedFile(imageId);
	const refuse = (message: string) =>
		new ApiError(message, { status: 0, code: "invalid", operation: "imageContentPut" });
	if (expectedBytes !== null && file.size !== expectedBytes)
		throw refuse(t.uploads.otherSize(formatBytes(expectedBytes)));
	if (known && (await fingerprint(file)) !== known.head) throw refuse(t.uploads.otherFile(known.fileName));
	const { receivedBytes } = await read("imageUploadStatus", { id: imageId });
	void run(imageId, file, receivedBytes);
}

export function pauseUpload(imageId: string): void {
	runs.get(imageId)?.controller.abort();
	change(imageId, { state: "paused", retryAtMs: null, bytesPerSecond: null });
}

/** Only while the file is still at hand (no reload in between). */
export function resumeUpload(imageId: string): boolean {
	const file = runs.get(imageId)?.file;
	if (!file) return false;
	void run(imageId, file, uploads.peek().get(imageId)?.receivedBytes ?? 0);
	return true;
}

export const canResume = (imageId: string): boolean => runs.has(imageId);

/** After the image was deleted, or its upload has come to its end otherwise. */
export const dropUpload = (imageId: string): void => forget(imageId);

async function run(imageId: string, file: File, from: number): Promise<void> {
	runs.get(imageId)?.controller.abort();
	const controller = new AbortController();
	runs.set(imageId, { file, controller });
	uploads.value = new Map(uploads.peek()).set(imageId, {
		imageId,
		fileName: file.name,
		sizeBytes: file.size,
		receivedBytes: from,
		state: "uploading",
		bytesPerSecond: null,
		retryAtMs: null,
		error: null,
	});
	const work = () => sendParts(imageId, file, from, controller.signal);
	const locks = navigator.locks;
	if (!locks) {
		await work();
		return;
	}
	await locks.request(`lqx-upload-${imageId}`, { ifAvailable: true }, async (lock) => {
		if (lock) await work();
		else
			change(imageId, {
				state: "failed",
				error: new ApiError(t.uploads.inOtherTab, { status: 0, code: "wrong-state", operation: "imageContentPut" }),
			});
	});
}

async function sendParts(imageId: string, file: File, from: number, signal: AbortSignal): Promise<void> {
	let offset = from;
	let failures = 0;
	while (offset < file.size && !signal.aborted) {
		const startedMs = performance.now();
		try {
			const part = file.slice(offset, offset + partBytes);
			const { data } = await call("imageContentPut", {
				id: imageId,
				headers: { "upload-offset": offset },
				body: part,
				signal,
				timeoutMs: partLimitMs,
			});
			const seconds = (performance.now() - startedMs) / 1000;
			const last = uploads.peek().get(imageId)?.bytesPerSecond ?? null;
			const rate = part.size / Math.max(seconds, 0.001);
			offset = data.receivedBytes;
			failures = 0;
			change(imageId, {
				receivedBytes: offset,
				state: "uploading",
				error: null,
				bytesPerSecond: last === null ? rate : last * 0.7 + rate * 0.3,
			});
		} catch (error) {
			if (signal.aborted) return;
			const known = toApiError(error);
			if (!(await recover(imageId, known, failures, signal))) return;
			failures += 1;
			const status = await read("imageUploadStatus", { id: imageId, signal }).catch(() => null);
			if (status) offset = status.receivedBytes;
		}
	}
	if (!signal.aborted) forget(imageId);
}

/** Waits before the next try; false when there is none. */
async function recover(imageId: string, error: ApiError, failures: number, signal: AbortSignal): Promise<boolean> {
	// Deleted, or refused while it was received: there is nothing to go on with.
	const image = live.image.peek(imageId);
	if (error.code === "not-found" || (image && image.phase !== "uploading")) {
		forget(imageId);
		return false;
	}
	const passing = error.status === 0 || error.status === 429 || error.status >= 500 || error.code === "wrong-state";
	const delay = delaysMs[failures];
	if (!passing || delay === undefined || error.status === 507) {
		change(imageId, { state: passing ? "paused" : "failed", error, bytesPerSecond: null });
		return false;
	}
	const wait = Math.max(delay, error.retryAfterMs ?? 0);
	change(imageId, { state: "waiting", retryAtMs: Date.now() + wait, error, bytesPerSecond: null });
	await new Promise<void>((resolve) => {
		const timer = setTimeout(done, wait);
		function done() {
			clearTimeout(timer);
			removeEventListener("online", done);
			signal.removeEventListener("abort", done);
			resolve();
		}
		addEventListener("online", done);
		signal.addEventListener("abort", done);
	});
	return !signal.aborted;
}

/** Asks before leaving while an upload runs. */
export function guardUploads(): void {
	addEventListener("beforeunload", (event) => {
		if (uploadsRunning.peek()) event.preventDefault();
	});
}
