/** Bytes that wait to be read. Small pieces are put together, so that what they cost does not depend on how they came. */

const blockBytes = 16 * 1024;

export class ChunkQueue {
	readonly #chunks: Uint8Array[] = [];
	/** The last chunk, while it is a block that is being filled. */
	#block: Uint8Array | null = null;
	#filled = 0;
	#bytes = 0;

	get bytes(): number {
		return this.#bytes;
	}

	push(data: Uint8Array): void {
		this.#bytes += data.length;
		if (data.length >= blockBytes) {
			this.#closeBlock();
			this.#chunks.push(data);
			return;
		}
		let rest = data;
		while (rest.length > 0) {
			this.#block ??= new Uint8Array(blockBytes);
			const part = rest.subarray(0, blockBytes - this.#filled);
			this.#block.set(part, this.#filled);
			this.#filled += part.length;
			rest = rest.subarray(part.length);
			if (this.#filled === blockBytes) this.#closeBlock();
		}
	}

	/** Null when it is empty. */
	shift(): Uint8Array | null {
		if (this.#chunks.length === 0) this.#closeBlock();
		const chunk = this.#chunks.shift() ?? null;
		this.#bytes -= chunk?.length ?? 0;
		return chunk;
	}

	clear(): void {
		this.#chunks.length = 0;
		this.#block = null;
		this.#filled = 0;
		this.#bytes = 0;
	}

	#closeBlock(): void {
		if (this.#block !== null && this.#filled > 0) this.#chunks.push(this.#block.subarray(0, this.#filled));
		this.#block = null;
		this.#filled = 0;
	}
}
