/** Bytes of the fake driver's files: sparse, in memory, copied when written after a copy. Zeroes take no room. */

import { AppError } from "../lib/errors.ts";
import { trailerBytes } from "./inspect/file-magic.ts";
import { qcow2HeaderBytes } from "./inspect/qcow2-header.ts";

const pageBytes = 4096;

export class SparseBytes {
	readonly #pages: Map<number, Uint8Array>;
	/** Pages that belong to what this was copied from. */
	readonly #shared: Map<number, Uint8Array> | null;
	#length: number;
	#writes = 0;

	constructor(length = 0, shared: Map<number, Uint8Array> | null = null) {
		this.#length = length;
		this.#pages = new Map(shared);
		this.#shared = shared;
	}

	get length(): number {
		return this.#length;
	}

	/** As a volume's. The mark stands for the time of the last change of a file. */
	get figures(): { sizeBytes: number; allocatedBytes: number; contentMark: string } {
		const contentMark = `${this.#length}:${this.#writes}`;
		return { sizeBytes: this.#length, allocatedBytes: this.allocatedBytes, contentMark };
	}

	/** Bytes of its own. */
	get allocatedBytes(): number {
		let own = 0;
		for (const [page, bytes] of this.#pages) if (this.#shared?.get(page) !== bytes) own += 1;
		return own * pageBytes;
	}

	/** `share`: what is the same counts for the original only. */
	copy(length = this.#length, share = false): SparseBytes {
		const copy = new SparseBytes(length, share ? new Map(this.#pages) : null);
		if (!share) for (const [page, bytes] of this.#pages) copy.#pages.set(page, bytes);
		return copy;
	}

	grow(length: number): void {
		this.#length = Math.max(this.#length, length);
	}

	write(position: number, bytes: Uint8Array): void {
		this.#writes += 1;
		for (let done = 0; done < bytes.length; ) {
			const page = Math.floor((position + done) / pageBytes);
			const offset = (position + done) % pageBytes;
			const part = bytes.subarray(done, done + pageBytes - offset);
			const old = this.#pages.get(page);
			if (old || part.some((byte) => byte !== 0)) {
				const fresh = old ? old.slice() : new Uint8Array(pageBytes);
				fresh.set(part, offset);
				this.#pages.set(page, fresh);
			}
			done += part.length;
		}
		this.grow(position + bytes.length);
	}

	read(position: number, length: number): Uint8Array {
		const bytes = new Uint8Array(Math.max(0, Math.min(length, this.#length - position)));
		for (let done = 0; done < bytes.length; ) {
			const page = this.#pages.get(Math.floor((position + done) / pageBytes));
			const offset = (position + done) % pageBytes;
			const part = Math.min(pageBytes - offset, bytes.length - done);
			if (page) bytes.set(page.subarray(offset, offset + part), done);
			done += part;
		}
		return bytes;
	}

	/** All of it, 64 KiB at a time. */
	stream(): ReadableStream<Uint8Array> {
		let position = 0;
		return new ReadableStream<Uint8Array>(
			{
				pull: (controller) => {
					const part = this.read(position, 65_536);
					position += part.length;
					if (part.length > 0) controller.enqueue(part);
					if (position >= this.#length) controller.close();
				},
			},
			{ highWaterMark: 0 },
		);
	}

	sha256(): string {
		const hasher = new Bun.CryptoHasher("sha256");
		for (let at = 0; at < this.#length; at += 65_536) hasher.update(this.read(at, 65_536));
		return hasher.digest("hex");
	}
}

/** Waits for the gate; `canceled` when the signal comes first. */
export function abortable(gate: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
	if (!signal) return gate;
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	const onAbort = () => reject(new AppError("canceled", "The operation was canceled."));
	signal.addEventListener("abort", onAbort, { once: true });
	gate.then(resolve).finally(() => signal.removeEventListener("abort", onAbort));
	if (signal.aborted) onAbort();
	return promise;
}

/** The bytes as a file. */
export function fileOf(bytes: Uint8Array): SparseBytes {
	const content = new SparseBytes(bytes.length);
	content.write(0, bytes);
	return content;
}

/** What the rules for images look at. */
export const bytesOf = (content: SparseBytes) => ({
	fileSizeBytes: content.length,
	head: content.read(0, qcow2HeaderBytes),
	tail: content.read(Math.max(0, content.length - trailerBytes), trailerBytes),
});
