/**
 * A streamed body into a file: first into a temporary file beside it, which takes its name only when every byte is
 * there and on the disk. Blocks of zeros are not written, so that a sparse disk stays sparse.
 */
import { constants } from "node:fs";
import { access, type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { randomHex } from "../lib/random.ts";
import { formatBytes, KiB } from "../lib/units.ts";
import type { Cli } from "./cli.ts";
import { interrupted, usageError } from "./failure.ts";
import { createProgress, type Progress } from "./progress.ts";

const blockBytes = 64 * KiB;
const zeros = new Uint8Array(blockBytes);
/** The server may be silent for so long while it prepares, or between two pieces. */
const silenceLimitMs = 120_000;
const showEveryMs = 250;

/** A name that the server chose, as a name of a file in this folder. */
export const safeFileName = (name: string): string =>
	name.replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^[.-]+/, "_") || "_";

export type DownloadRequest = {
	/** What is downloaded, for people. */
	title: string;
	/** "-" is standard output. */
	path: string;
	/** Replace a file that is there. */
	force: boolean;
	/** What is written in the place of what comes. */
	transform?: (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
};

/** Downloads what `start` asks for. Answers with the number of bytes. */
export async function download(
	cli: Cli,
	{ title, path, force, transform = (chunks) => chunks }: DownloadRequest,
	start: (signal: AbortSignal) => Promise<{ body: Response }>,
): Promise<number> {
	if (path === "-" && cli.io.stdout.isTTY) throw usageError("A disk image does not belong on a terminal. Name a file.");
	if (path !== "-" && !force) await mustNotExist(path);
	const watchdog = new AbortController();
	const progress = createProgress(cli, title);
	try {
		const { body: response } = await start(watchdog.signal);
		const expected = lengthOf(response);
		let received = 0;
		const counted = async function* () {
			for await (const chunk of watched(cli, response, watchdog, progress, expected)) {
				received += chunk.length;
				yield chunk;
			}
			// Before a file gets its name.
			if (expected !== null && received !== expected) throw cutShort(received, expected);
		};
		const chunks = transform(counted());
		await (path === "-" ? toStdout(cli, chunks) : toFile(cli, path, chunks));
		return received;
	} catch (error) {
		if (cli.interrupt.aborted) throw interrupted("Interrupted. Nothing was kept.");
		throw error;
	} finally {
		watchdog.abort();
		await progress.clear();
	}
}

const cutShort = (received: number, expected: number): AppError =>
	new AppError("unavailable", `The download ended after ${formatBytes(received)} of ${formatBytes(expected)}.`);

async function mustNotExist(path: string): Promise<void> {
	const exists = await access(path).then(
		() => true,
		() => false,
	);
	if (exists) throw new AppError("already-exists", `${path} is there already. Give --force to replace it.`);
}

function lengthOf(response: Response): number | null {
	const length = response.headers.get("content-length");
	return length !== null && /^\d{1,16}$/.test(length) ? Number(length) : null;
}

/** The pieces as they come; fails when there is silence for too long. */
async function* watched(
	cli: Cli,
	response: Response,
	watchdog: AbortController,
	progress: Progress,
	expected: number | null,
): AsyncGenerator<Uint8Array> {
	if (!response.body) return;
	const { clock } = cli.io;
	const reader = response.body.getReader();
	let received = 0;
	let shownMs = Number.NEGATIVE_INFINITY;
	try {
		while (true) {
			const timer = clock.schedule(silenceLimitMs, () => watchdog.abort(new Error("the server fell silent")));
			const { done, value } = await reader.read().finally(() => timer.cancel());
			if (done) return;
			received += value.length;
			yield value;
			if (clock.monotonicMs() - shownMs < showEveryMs) continue;
			shownMs = clock.monotonicMs();
			const of = expected === null ? "" : ` of ${formatBytes(expected)}`;
			await progress.show(expected ? (received / expected) * 100 : null, `${formatBytes(received)}${of}`);
		}
	} catch (error) {
		if (error instanceof AppError) throw error;
		const reason = error instanceof Error ? error.message : String(error);
		throw new AppError("unavailable", `The download broke off: ${reason}`, { cause: error });
	} finally {
		await reader.cancel().catch(() => {});
	}
}

async function toStdout(cli: Cli, chunks: AsyncIterable<Uint8Array>): Promise<number> {
	let received = 0;
	for await (const chunk of chunks) {
		received += chunk.length;
		await cli.io.stdout.write(chunk);
	}
	return received;
}

async function toFile(cli: Cli, path: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
	const temporary = join(dirname(path), `.${basename(path)}.${randomHex(cli.io.random, 6)}.part`);
	const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
	const handle = await open(temporary, flags, 0o600).catch((error: Error) => {
		throw new AppError("invalid", `${path} cannot be written: ${error.message}`, { cause: error });
	});
	try {
		const received = await writeSparse(handle, chunks).catch((error: unknown) => {
			if (error instanceof AppError) throw error;
			const reason = error instanceof Error ? error.message : String(error);
			throw new AppError("storage", `${path} cannot be written: ${reason}`, { cause: error });
		});
		await handle.truncate(received);
		await handle.sync();
		await handle.close();
		await rename(temporary, path);
		return received;
	} catch (error) {
		await handle.close().catch(() => {});
		await rm(temporary, { force: true });
		throw error;
	}
}

/** Writes in blocks; those that are all zeros stay holes. Answers with the length. */
export async function writeSparse(handle: FileHandle, chunks: AsyncIterable<Uint8Array>): Promise<number> {
	const block = new Uint8Array(blockBytes);
	let filled = 0;
	let position = 0;
	const flush = async () => {
		const part = block.subarray(0, filled);
		if (filled > 0 && Buffer.compare(part, zeros.subarray(0, filled)) !== 0) await writeAll(handle, part, position);
		position += filled;
		filled = 0;
	};
	for await (const chunk of chunks) {
		for (let at = 0; at < chunk.length; ) {
			const taken = Math.min(blockBytes - filled, chunk.length - at);
			block.set(chunk.subarray(at, at + taken), filled);
			filled += taken;
			at += taken;
			if (filled === blockBytes) await flush();
		}
	}
	await flush();
	return position;
}

async function writeAll(handle: FileHandle, data: Uint8Array, position: number): Promise<void> {
	for (let written = 0; written < data.length; ) {
		const { bytesWritten } = await handle.write(data, written, data.length - written, position + written);
		written += bytesWritten;
	}
}
