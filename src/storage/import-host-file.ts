/** A regular file of this node into a pool, as the upload of an image. Whatever the pool is, the file is read in the same way. */
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { LongOptions, StorageDriver, UploadFile } from "./driver.ts";
import { type HostFileReader, sameState } from "./host-file-reader.ts";

type Needed = "read" | "stat" | "copyTo" | "sizeBytes" | typeof Symbol.asyncDispose;
/** What goes to the pool at once. */
const partBytes = MiB;

/**
 * From the beginning; a failed import leaves no upload. `open` refuses what may not be taken. Fails with what `open` fails with,
 * `wrong-state` when the file is changed meanwhile, `timeout` when its file system does not answer, `canceled`, and whatever the pool says.
 */
export async function importHostFile(
	pool: Pick<StorageDriver, "openUpload" | "deleteImage">,
	open: () => Promise<Pick<HostFileReader, Needed>>,
	id: string,
	path: string,
	options: LongOptions,
): Promise<void> {
	await using source = await open();
	const before = await source.stat();
	const upload = await pool.openUpload(id, source.sizeBytes, { restart: true });
	try {
		const { whole } = upload;
		// Half the way: the bytes need not pass this process, and that of the pool.
		if (whole) await whole.done(source.sizeBytes, await source.copyTo(whole.path, options));
		else await copyInto(upload, source, options);
		const after = await source.stat();
		const isWhole = upload.receivedBytes === source.sizeBytes;
		if (!isWhole || !sameState(after, before))
			throw new AppError("wrong-state", `The file ${path} was changed while it was being copied.`);
		await upload.close();
	} catch (error) {
		await upload.close().catch(() => {});
		// What failed first is what is told.
		await pool.deleteImage(id).catch(() => {});
		throw error;
	}
}

/** The next part is read while one is written. */
async function copyInto(
	upload: UploadFile,
	source: Pick<HostFileReader, "read" | "sizeBytes">,
	{ signal, progress }: LongOptions,
): Promise<void> {
	const read = (position: number) => {
		const part = source.read(position, partBytes);
		// Told where it is waited for.
		part.catch(() => {});
		return part;
	};
	let next = read(0);
	while (upload.receivedBytes < source.sizeBytes) {
		if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
		const part = await next;
		if (part.length === 0) return;
		next = read(upload.receivedBytes + part.length);
		await upload.write(part);
		progress?.(upload.receivedBytes / source.sizeBytes, "Copying the file");
	}
}
