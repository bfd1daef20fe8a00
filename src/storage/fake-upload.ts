/** An upload of the fake driver, and the one writer that it has at a time. */
import { AppError } from "../lib/errors.ts";
import type { UploadFile } from "./driver.ts";
import type { SparseBytes } from "./fake-content.ts";

export type FakeUpload = {
	totalBytes: number | null;
	validator: string | null;
	content: SparseBytes;
	writer: object | null;
};

/** Becomes the upload's writer. */
export function uploadWriter(upload: FakeUpload, pool: { isGone: () => boolean; isFull: () => boolean }): UploadFile {
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
