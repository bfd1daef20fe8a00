/** An upload of the fake driver, and the one writer that it has at a time. */
import { AppError } from "../lib/errors.ts";
import type { UploadFile, UploadOptions } from "./driver.ts";
import { SparseBytes } from "./fake-content.ts";
import type { FakePool } from "./fake-pool.ts";

export type FakeUpload = {
	totalBytes: number | null;
	validator: string | null;
	content: SparseBytes;
	writer: object | null;
};

/** Becomes the upload's writer. */
function uploadWriter(upload: FakeUpload, pool: { isGone: () => boolean; isFull: () => boolean }): UploadFile {
	const self: UploadFile = {
		get receivedBytes() {
			return upload.content.length;
		},
		async write(chunk) {
			if (pool.isGone()) throw new AppError("canceled", "The upload was ended.");
			if (upload.writer !== self) throw new AppError("wrong-state", "The upload is closed.");
			if (upload.totalBytes !== null && upload.content.length + chunk.length > upload.totalBytes)
				throw new AppError("invalid", `More bytes than the ${upload.totalBytes} that were announced.`);
			if (pool.isFull()) throw new AppError("no-space", "There is no space left in the storage pool.");
			upload.content.write(upload.content.length, chunk);
		},
		async close() {
			if (upload.writer === self) upload.writer = null;
		},
	};
	upload.writer = self;
	return self;
}

export function openUpload(pool: FakePool, id: string, totalBytes: number | null, options: UploadOptions): UploadFile {
	if (pool.images.has(id)) throw new AppError("already-exists", `Image ${id} is complete already.`);
	const found = options.restart ? undefined : pool.uploads.get(id);
	if (found?.writer) throw new AppError("in-use", "This upload is busy with another operation.");
	if (found && found.totalBytes !== null && totalBytes !== null && found.totalBytes !== totalBytes)
		throw new AppError("wrong-state", `This upload was begun with a length of ${found.totalBytes} bytes.`);
	const upload = found ?? { totalBytes, validator: null, content: new SparseBytes(), writer: null };
	upload.totalBytes ??= totalBytes;
	upload.validator = options.validator ?? upload.validator;
	pool.uploads.set(id, upload);
	return uploadWriter(upload, {
		isGone: () => pool.uploads.get(id) !== upload,
		isFull: () => pool.usedBytes() >= pool.totalBytes,
	});
}
