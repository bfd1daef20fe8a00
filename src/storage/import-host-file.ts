/** A regular file of this node into a pool, as the upload of an image. Whatever the pool is, the file is read here. */
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { LongOptions, StorageDriver, UploadFile } from "./driver.ts";
import { openHostFile } from "./local/host-file.ts";

/** What goes to the pool at once. */
const partBytes = MiB;

/**
 * From the beginning; a failed import leaves no upload. Nothing from below `protectedPaths` is taken. Fails with `invalid` for what
 * cannot be taken, `wrong-state` when the file is changed meanwhile, `canceled`, and whatever the pool says.
 */
export async function importHostFile(
	pool: Pick<StorageDriver, "openUpload" | "deleteImage">,
	protectedPaths: readonly string[],
	id: string,
	path: string,
	options: LongOptions,
): Promise<void> {
	const source = await openHostFile(path, protectedPaths);
	let upload: UploadFile | null = null;
	try {
		const before = await source.file.stat();
		upload = await pool.openUpload(id, source.sizeBytes, { restart: true });
		const buffer = new Uint8Array(partBytes);
		while (upload.receivedBytes < source.sizeBytes) {
			if (options.signal?.aborted)
				throw new AppError("canceled", "The operation was canceled.", { cause: options.signal.reason });
			const { bytesRead } = await source.file.read(buffer, 0, buffer.length, upload.receivedBytes);
			if (bytesRead === 0) break;
			await upload.write(buffer.subarray(0, bytesRead));
			options.progress?.(upload.receivedBytes / source.sizeBytes, "Copying the file");
		}
		const after = await source.file.stat();
		if (upload.receivedBytes !== source.sizeBytes || after.size !== before.size || after.mtimeMs !== before.mtimeMs)
			throw new AppError("wrong-state", `The file ${path} was changed while it was being copied.`);
		await upload.close();
	} catch (error) {
		await upload?.close().catch(() => {});
		if (upload !== null) await pool.deleteImage(id);
		throw error;
	} finally {
		await source.file.close();
	}
}
