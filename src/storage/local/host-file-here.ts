/** Reading an open file of this node in this very process: a storage worker, or a test. */
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { LongOptions } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import type { HostFileReader, HostFileState } from "../host-file-reader.ts";
import type { ImageBytes } from "../inspect/image-rules.ts";
import { imageBytesOf, type Readable } from "../inspect/inspect-image.ts";
import { copyHostFile } from "./copy-host-file.ts";
import { type HostFile, openHostFile } from "./host-file.ts";

const hashedAtOnce = MiB;
type File = HostFile["file"];

/** Fails as openHostFile does. The caller disposes it. */
export async function hostFileHere(path: string, protectedPaths: readonly string[]): Promise<HostFileReader> {
	const { file, ...opened } = await openHostFile(path, protectedPaths);
	return {
		...opened,
		programPath: `/proc/${process.pid}/fd/${file.fd}`,
		read: (position, maxBytes) => readHere(file, position, maxBytes),
		stat: () => statHere(file),
		copyTo: (target, options) => copyHostFile(file, opened.sizeBytes, target, options),
		sha256: (options) => hashFile(file, opened.sizeBytes, options),
		imageBytes: () => imageBytesHere(file),
		[Symbol.asyncDispose]: () => file.close(),
	};
}

/** Shorter than `maxBytes` at the end of the file. */
export const readHere = (file: Readable, position: number, maxBytes: number): Promise<Uint8Array> =>
	withFileErrors("reading the file", async () => {
		const buffer = new Uint8Array(maxBytes);
		return buffer.subarray(0, (await file.read(buffer, 0, maxBytes, position)).bytesRead);
	});

export const statHere = (file: File): Promise<HostFileState> =>
	withFileErrors("looking at the file", async () => {
		const { size, mtimeMs, ctimeMs } = await file.stat();
		return { sizeBytes: size, changedMs: mtimeMs, statusChangedMs: ctimeMs };
	});

export const imageBytesHere = (file: File): Promise<ImageBytes> =>
	withFileErrors("reading the file", () => imageBytesOf(file));

/** The SHA-256 of the first `sizeBytes` bytes, in hex. */
export async function hashFile(file: Readable, sizeBytes: number, { signal, progress }: LongOptions): Promise<string> {
	const hasher = new Bun.CryptoHasher("sha256");
	await withFileErrors("reading the received file", async () => {
		const buffer = new Uint8Array(hashedAtOnce);
		for (let done = 0; done < sizeBytes; ) {
			if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
			const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, sizeBytes - done), done);
			if (bytesRead === 0) throw new AppError("storage", "The received file became shorter while it was read.");
			hasher.update(buffer.subarray(0, bytesRead));
			done += bytesRead;
			progress?.(done / sizeBytes, "Computing the checksum");
		}
	});
	return hasher.digest("hex");
}
