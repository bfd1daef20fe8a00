/**
 * The search's memory of the configurations that it reached. A configuration is `width` numbers of 32 bits: the first
 * `keyWidth` say where it is, the rest which of the open operations have been used up, as bits. One that is at the
 * same place as another and has used what that one used, and perhaps more, can do nothing that the other cannot: it is
 * not taken in. Exact (the hash only finds the place), append-only (an index stays good), and bounded.
 */
import { AppError } from "../../lib/errors.ts";

/** Comparisons after which the search gives up: about a minute. */
const maximumComparisons = 1_000_000_000;

export class ConfigurationSet {
	readonly #width: number;
	readonly #keyWidth: number;
	readonly #maximum: number;
	/** The configurations, each followed by the index of an earlier one with the same key, or −1. */
	#data: Int32Array;
	/** By hash: index + 1 of the latest configuration with a key; 0 is an empty place. */
	#places = new Int32Array(512);
	#keys = 0;
	#size = 0;
	#comparisons = 0;

	constructor(width: number, keyWidth: number, memoryLimitBytes: number) {
		this.#width = width;
		this.#keyWidth = keyWidth;
		// A configuration costs its own numbers, its link and four places at worst; growing has the old copy too.
		this.#maximum = Math.max(1, Math.floor(memoryLimitBytes / (2 * 4 * (width + 5))));
		this.#data = new Int32Array(256 * (width + 1));
	}

	get size(): number {
		return this.#size;
	}

	/** The index of a configuration that is new, −1 when one as good was there. Throws `too-large` at a bound. */
	add(configuration: Int32Array): number {
		const place = this.#placeOf(configuration);
		const latest = (this.#places[place] ?? 0) - 1;
		for (let index = latest; index >= 0; index = this.#data[index * (this.#width + 1) + this.#width] ?? -1) {
			this.#comparisons++;
			if (this.#hasUsedNoMore(index, configuration)) return -1;
		}
		if (this.#size >= this.#maximum) throw this.#tooEntangled("more do not fit the memory limit");
		if (this.#comparisons > maximumComparisons) throw this.#tooEntangled("it would take too long");
		const from = this.#size * (this.#width + 1);
		if (from + this.#width + 1 > this.#data.length) this.#growData();
		this.#data.set(configuration, from);
		this.#data[from + this.#width] = latest;
		this.#places[place] = ++this.#size;
		if (latest < 0 && ++this.#keys * 2 > this.#places.length) this.#growPlaces();
		return this.#size - 1;
	}

	/** Copies configuration `index` into `into`. */
	load(index: number, into: Int32Array): void {
		const from = index * (this.#width + 1);
		for (let at = 0; at < this.#width; at++) into[at] = this.#data[from + at] ?? 0;
	}

	/** Where the configurations with this key are, or the empty place where they belong. */
	#placeOf(configuration: Int32Array): number {
		const mask = this.#places.length - 1;
		let place = hash(configuration, this.#keyWidth) & mask;
		for (let held = this.#places[place] ?? 0; held !== 0; held = this.#places[place] ?? 0) {
			if (this.#hasKey(held - 1, configuration)) break;
			place = (place + 1) & mask;
		}
		return place;
	}

	#hasKey(index: number, configuration: Int32Array): boolean {
		const from = index * (this.#width + 1);
		for (let at = 0; at < this.#keyWidth; at++) if (this.#data[from + at] !== configuration[at]) return false;
		return true;
	}

	#hasUsedNoMore(index: number, configuration: Int32Array): boolean {
		const from = index * (this.#width + 1);
		for (let at = this.#keyWidth; at < this.#width; at++)
			if (((this.#data[from + at] ?? 0) & ~(configuration[at] ?? 0)) !== 0) return false;
		return true;
	}

	#tooEntangled(reason: string): AppError {
		const message = `The history is too entangled to be judged: ${this.#size} configurations gave no verdict, and ${reason}.`;
		return new AppError("too-large", message);
	}

	#growData(): void {
		const larger = new Int32Array(this.#data.length * 2);
		larger.set(this.#data);
		this.#data = larger;
	}

	#growPlaces(): void {
		const old = this.#places;
		this.#places = new Int32Array(old.length * 2);
		const configuration = new Int32Array(this.#width);
		for (const held of old) {
			if (held === 0) continue;
			this.load(held - 1, configuration);
			this.#places[this.#placeOf(configuration)] = held;
		}
	}
}

/** Multiply and mix, after MurmurHash3. */
function hash(configuration: Int32Array, width: number): number {
	let mixed = 0x9747b28c;
	for (let at = 0; at < width; at++) {
		let part = Math.imul(configuration[at] ?? 0, 0xcc9e2d51);
		part = Math.imul((part << 15) | (part >>> 17), 0x1b873593);
		mixed ^= part;
		mixed = (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
	}
	mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
	mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
	return (mixed ^ (mixed >>> 16)) >>> 0;
}
