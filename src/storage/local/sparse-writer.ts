/**
 * Appends to a file and leaves holes where the bytes are zero, hashing on the way. Memory: what the caller hands in. The
 * file's length lags behind `position` while it ends in a hole; `settle` brings it up.
 */
import { fileError } from "../file-errors.ts";
import type { RunningHash } from "./running-hash.ts";

const blockBytes = 64 * 1024;
/** Work between two turns of the event loop. */
const sliceBytes = 1024 * 1024;
const zeroes = new Uint8Array(blockBytes);

/** Of a FileHandle. */
export type Writable = {
	write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
	truncate(length: number): Promise<void>;
};

export class SparseWriter {
	readonly #file: Writable;
	readonly #hash: RunningHash | null;
	#position: number;
	#length: number;

	/** `length` of the file now; writing goes on there. `hash` is kept up if it covers exactly that much. */
	constructor(file: Writable, length: number, hash: RunningHash | null) {
		this.#file = file;
		this.#position = length;
		this.#length = length;
		this.#hash = hash?.length === length ? hash : null;
	}

	get position(): number {
		return this.#position;
	}

	/** After an error `position` says how much is there; what follows it is cut off. */
	async append(chunk: Uint8Array): Promise<void> {
		for (let at = 0; at < chunk.length; at += sliceBytes) await this.#slice(chunk.subarray(at, at + sliceBytes));
	}

	/** The file has got so many bytes from another process, which has hashed them, and begins with none here. */
	takeWhole(length: number, sha256: string): void {
		this.#position = length;
		this.#length = length;
		this.#hash?.setWhole(length, sha256);
	}

	/** Makes the file exactly `position` long. */
	async settle(): Promise<void> {
		if (this.#length === this.#position) return;
		await this.#file.truncate(this.#position);
		this.#length = this.#position;
	}

	/** Forgets all after `length`; the hash no longer counts. */
	async cutTo(length: number): Promise<void> {
		this.#position = length;
		this.#length = length;
		this.#hash?.forget();
		await this.#file.truncate(length);
	}

	async #slice(slice: Uint8Array): Promise<void> {
		const start = this.#position;
		const writing = this.#writeBlocks(slice, start);
		// Meanwhile another thread writes.
		this.#hash?.update(slice);
		try {
			await writing;
		} catch (error) {
			this.#hash?.forget();
			await this.#file.truncate(start).catch(() => {});
			this.#length = start;
			throw fileError(error, "writing the file");
		}
		this.#position = start + slice.length;
	}

	async #writeBlocks(slice: Uint8Array, start: number): Promise<void> {
		for (let at = 0; at < slice.length; ) {
			const block = nextBlock(slice, at, start);
			let end = at + block.length;
			if (isZero(block)) {
				at = end;
				continue;
			}
			// Blocks with data that follow each other go out in one write.
			while (end < slice.length) {
				const following = nextBlock(slice, end, start);
				if (isZero(following)) break;
				end += following.length;
			}
			await this.#writeAll(slice.subarray(at, end), start + at);
			at = end;
		}
	}

	async #writeAll(bytes: Uint8Array, position: number): Promise<void> {
		for (let done = 0; done < bytes.length; ) {
			const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
			done += bytesWritten;
		}
		this.#length = Math.max(this.#length, position + bytes.length);
	}
}

/** The bytes from `at` up to the next block boundary of the file. */
function nextBlock(slice: Uint8Array, at: number, start: number): Uint8Array {
	const length = blockBytes - ((start + at) % blockBytes);
	return slice.subarray(at, at + length);
}

const isZero = (block: Uint8Array): boolean => Buffer.compare(block, zeroes.subarray(0, block.length)) === 0;
