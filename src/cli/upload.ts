/**
 * A file of this machine into an image, in parts. Before the first byte and after each interruption the node is asked
 * how much it has, so that an upload goes on where it stopped: in this run, or in a later one.
 */
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { delay } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { formatBytes, MiB } from "../lib/units.ts";
import type { Cli } from "./cli.ts";
import { interrupted, usageError } from "./failure.ts";
import { createProgress, type Progress } from "./progress.ts";

/** A quarter of what the API takes at once; what is lost when a part fails. */
const partBytes = 16 * MiB;
const partTimeoutMs = 600_000;
const maxFailuresInARow = 6;
const firstRetryMs = 500;

export type UploadFile = { path: string; sizeBytes: number };
export type UploadFormat = "qcow2" | "raw" | "iso";

/** Fails with a usage error when it is no file, or empty. */
export async function uploadFile(path: string): Promise<UploadFile> {
	const info = await stat(path).catch((error: Error) => {
		throw usageError(`${path} cannot be read: ${error.message}`);
	});
	if (!info.isFile()) throw usageError(`${path} is no file.`);
	if (info.size === 0) throw usageError(`${path} is empty.`);
	return { path, sizeBytes: info.size };
}

/** What the first bytes say: qcow2's magic number, ISO 9660's volume descriptor; null when they say nothing. */
export async function formatByContent(path: string): Promise<UploadFormat | null> {
	const handle = await open(path, "r");
	try {
		const read = async (at: number, length: number) => {
			const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
			return buffer.subarray(0, bytesRead).toString("latin1");
		};
		if ((await read(0, 4)) === "QFI\u00fb") return "qcow2";
		if ((await read(32_769, 5)) === "CD001") return "iso";
		return null;
	} finally {
		await handle.close();
	}
}

/** SHA-256 of the file, in hexadecimal digits. */
export async function sha256OfFile(cli: Cli, { path, sizeBytes }: UploadFile): Promise<string> {
	const progress = createProgress(cli, `checksum of ${path}`);
	const hasher = new Bun.CryptoHasher("sha256");
	let read = 0;
	let shownMs = cli.io.clock.monotonicMs();
	try {
		for await (const chunk of createReadStream(path, { highWaterMark: MiB, signal: cli.interrupt })) {
			hasher.update(chunk as Buffer);
			read += (chunk as Buffer).length;
			if (cli.io.clock.monotonicMs() - shownMs < 500) continue;
			shownMs = cli.io.clock.monotonicMs();
			await progress.show((read / sizeBytes) * 100, null);
		}
	} catch (error) {
		if (cli.interrupt.aborted) throw interrupted("Interrupted.");
		throw usageError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`);
	} finally {
		await progress.clear();
	}
	return hasher.digest("hex");
}

/** Sends what the node does not have yet. Fails with `unavailable` when it stays away. */
export async function sendParts(cli: Cli, imageId: string, file: UploadFile, name: string): Promise<void> {
	const progress = createProgress(cli, `upload of ${name}`);
	try {
		await sendAll(cli, imageId, file, progress);
	} catch (error) {
		if (cli.interrupt.aborted) throw interrupted("Interrupted. The same command goes on where this one stopped.");
		throw error;
	} finally {
		await progress.clear();
	}
}

async function sendAll(cli: Cli, imageId: string, file: UploadFile, progress: Progress): Promise<void> {
	const content = Bun.file(file.path);
	let failures = 0;
	let offset = await receivedBytes(cli, imageId);
	while (offset < file.sizeBytes) {
		await progress.show((offset / file.sizeBytes) * 100, `${formatBytes(offset)} of ${formatBytes(file.sizeBytes)}`);
		const { size } = await stat(file.path);
		if (size !== file.sizeBytes) throw new AppError("wrong-state", `${file.path} changed while it was uploaded.`);
		try {
			const end = Math.min(offset + partBytes, file.sizeBytes);
			offset = await sendPart(cli, imageId, content.slice(offset, end), offset);
			failures = 0;
		} catch (error) {
			failures += 1;
			if (!isPassing(error) || failures >= maxFailuresInARow) throw error;
			await progress.show((offset / file.sizeBytes) * 100, "the connection was lost, trying again");
			await delay(cli.io.clock, firstRetryMs * 2 ** (failures - 1), cli.interrupt);
			offset = await receivedBytes(cli, imageId).catch((again: unknown) => {
				if (isPassing(again)) return offset;
				throw again;
			});
		}
	}
}

async function sendPart(cli: Cli, imageId: string, part: Blob, offset: number): Promise<number> {
	const { body } = await cli.call("imageContentPut", {
		path: { id: imageId },
		headers: { "upload-offset": offset },
		body: part,
		timeoutMs: partTimeoutMs,
	});
	if (body.receivedBytes <= offset) throw new AppError("unavailable", "The node took nothing of the upload.");
	return body.receivedBytes;
}

const receivedBytes = async (cli: Cli, imageId: string): Promise<number> =>
	(await cli.call("imageUploadStatus", { path: { id: imageId } })).body.receivedBytes;

/** Worth another try: the node was away, or it had got more or less than we thought (wrong offset). */
const isPassing = (error: unknown): boolean =>
	isAppError(error, "unavailable") ||
	isAppError(error, "timeout") ||
	(isAppError(error, "wrong-state") && error.context.status === 409);
