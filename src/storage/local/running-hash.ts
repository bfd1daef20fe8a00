/** The SHA-256 of the first `length` bytes of a file, kept up while it grows. Memory: a few hundred bytes. */
export class RunningHash {
	#hasher: Bun.CryptoHasher | null = new Bun.CryptoHasher("sha256");
	#known = "";
	#length = 0;

	/** NaN once it cannot be said any more. */
	get length(): number {
		return this.#length;
	}

	/** What follows. */
	update(bytes: Uint8Array): void {
		if (this.#hasher === null) {
			this.forget();
			return;
		}
		this.#hasher.update(bytes);
		this.#length += bytes.length;
	}

	/** What another process has found while it wrote the file; nothing may follow. */
	setWhole(length: number, sha256: string): void {
		this.#hasher = null;
		this.#known = sha256;
		this.#length = length;
	}

	forget(): void {
		this.#length = Number.NaN;
	}

	/** In hex; more bytes may follow. */
	digest(): string {
		return this.#hasher?.copy().digest("hex") ?? this.#known;
	}
}
