/** Randomness of a seed, and of nothing else: sfc32 (Doty-Humphrey), seeded through splitmix32. */
export class Random {
	#a: number;
	#b: number;
	#c: number;
	#counter = 1;

	constructor(seed: number) {
		let state = seed | 0;
		const mixed = (): number => {
			state = (state + 0x9e3779b9) | 0;
			let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
			word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
			return word ^ (word >>> 15);
		};
		this.#a = mixed();
		this.#b = mixed();
		this.#c = mixed() ^ Math.floor(seed / 2 ** 32);
		for (let round = 0; round < 12; round++) this.word();
	}

	/** 32 bits. */
	word(): number {
		const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
		this.#counter = (this.#counter + 1) | 0;
		this.#a = this.#b ^ (this.#b >>> 9);
		this.#b = (this.#c + (this.#c << 3)) | 0;
		this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
		return sum >>> 0;
	}

	/** In [0, 1). A property, so that it can be handed over as a function. */
	readonly next = (): number => this.word() / 2 ** 32;

	/** An integer in [0, count). */
	below(count: number): number {
		return Math.floor((this.word() / 2 ** 32) * count);
	}

	/** An integer from `least` to `most`. */
	between(least: number, most: number): number {
		return least + this.below(most - least + 1);
	}

	chance(probability: number): boolean {
		return probability > 0 && this.word() < probability * 2 ** 32;
	}

	pick<T>(from: readonly T[]): T | undefined {
		return from[this.below(from.length)];
	}

	/** Integers of an exponential distribution with this mean, at most ten times it. */
	around(mean: number): number {
		return Math.min(mean * 10, Math.floor(-Math.log(1 - this.next()) * mean));
	}

	/** Another sequence, independent of how often this one is asked later. */
	fork(): Random {
		return new Random(this.word() * 2 ** 20 + (this.word() >>> 12));
	}
}
