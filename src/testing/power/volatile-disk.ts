/**
 * A disk with a write cache that a power cut empties: what was written since the last flush is kept apart in memory, and
 * at the cut any part of it may have reached the medium, a sector at a time, in any order, torn in the middle of a write.
 * The medium is a base file, which is only read, and what has become durable over it.
 *
 * `powerOn` gives the disk as it is then; `cut` can come at any time, any number of times.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { assert } from "../../lib/assert.ts";
import type { Random } from "../simulation/random.ts";

export const sectorBytes = 512;
const pageBytes = 4096;

/** How the cut treats the cache: nothing of it is written, or each sector by chance, or everything up to some moment. */
type Fate = "nothing" | "some" | "a beginning";

export type CutReport = {
	fate: Fate;
	/** Writes since the last flush, and how many of them arrived whole, in part, or not at all. */
	unflushed: number;
	whole: number;
	torn: number;
	lost: number;
};

type Write = { offset: number; data: Uint8Array; durable: boolean };
type Pages = Map<number, Uint8Array>;

export class VolatileDisk {
	readonly sizeBytes: number;
	readonly #basePath: string;
	readonly #base: number;
	/** On the medium, over the base file. */
	readonly #medium: Pages = new Map();
	/** As read: pages that have writes since the last flush. */
	readonly #cached: Pages = new Map();
	#unflushed: Write[] = [];
	#powered = true;
	flushes = 0;

	/** Of whole sectors, and whole pages of 4 KiB. */
	constructor(basePath: string) {
		this.sizeBytes = statSync(basePath).size;
		assert(this.sizeBytes % pageBytes === 0, "the base file has whole pages");
		this.#basePath = basePath;
		this.#base = openSync(basePath, "r");
	}

	get powered(): boolean {
		return this.#powered;
	}

	read(offset: number, length: number): Uint8Array {
		this.#check(offset, length);
		const out = new Uint8Array(length);
		forPages(offset, length, (page, within, at, count) => {
			const held = this.#cached.get(page) ?? this.#medium.get(page);
			if (held) out.set(held.subarray(within, within + count), at);
			else readSync(this.#base, out, at, count, page * pageBytes + within);
		});
		return out;
	}

	/** The disk keeps `data`. `durable`: this write is on the medium when the call returns (FUA), and only this one. */
	write(offset: number, data: Uint8Array, durable = false): void {
		this.#check(offset, data.length);
		this.#put(this.#cached, offset, data, 0, data.length);
		this.#unflushed.push({ offset, data, durable });
	}

	flush(): void {
		assert(this.#powered, "the disk has power");
		for (const [page, data] of this.#cached) this.#medium.set(page, data);
		this.#cached.clear();
		this.#unflushed = [];
		this.flushes += 1;
	}

	/** The power goes. Nothing can be read or written until `powerOn`. */
	cut(random: Random): CutReport {
		assert(this.#powered, "the disk has power");
		this.#powered = false;
		const writes = this.#unflushed;
		this.#unflushed = [];
		this.#cached.clear();
		// A third each: the bare minimum loses the most, a beginning is what a disk without reordering leaves.
		const fate = (["nothing", "some", "a beginning"] as const)[random.below(3)] ?? "nothing";
		const probability = random.next();
		const unit = random.chance(0.5) ? sectorBytes : pageBytes;
		const end = random.below(writes.length + 1);
		const report: CutReport = { fate, unflushed: 0, whole: 0, torn: 0, lost: 0 };
		for (const [at, write] of writes.entries()) {
			const survives = (): boolean => {
				if (write.durable) return true;
				if (fate === "nothing") return false;
				if (fate === "some") return random.chance(probability);
				// The write that the power went in is torn.
				return at < end || (at === end && random.chance(0.5));
			};
			const { kept, units } = this.#settle(write, unit, survives);
			if (write.durable) continue;
			report.unflushed += 1;
			report[kept === units ? "whole" : kept === 0 ? "lost" : "torn"] += 1;
		}
		return report;
	}

	/** A disk of its own with what is durable on this one. */
	fork(): VolatileDisk {
		const fork = new VolatileDisk(this.#basePath);
		for (const [page, data] of this.#medium) fork.#medium.set(page, Uint8Array.from(data));
		return fork;
	}

	powerOn(): void {
		this.#powered = true;
	}

	close(): void {
		closeSync(this.#base);
	}

	/** Puts those units of a write on the medium that survive. */
	#settle({ offset, data }: Write, unit: number, survives: () => boolean): { kept: number; units: number } {
		let kept = 0;
		let units = 0;
		for (let from = 0; from < data.length; units++) {
			const to = Math.min(data.length, from + unit - ((offset + from) % unit));
			if (survives()) {
				this.#put(this.#medium, offset + from, data, from, to);
				kept += 1;
			}
			from = to;
		}
		return { kept, units };
	}

	/** `data` from `from` to `to`, at `offset`, into `pages`; a page that is not there yet begins as it is read. */
	#put(pages: Pages, offset: number, data: Uint8Array, from: number, to: number): void {
		forPages(offset, to - from, (page, within, at, count) => {
			let held = pages.get(page);
			if (!held) {
				held = new Uint8Array(pageBytes);
				const below = pages === this.#cached ? this.#medium.get(page) : undefined;
				if (below) held.set(below);
				else readSync(this.#base, held, 0, pageBytes, page * pageBytes);
				pages.set(page, held);
			}
			held.set(data.subarray(from + at, from + at + count), within);
		});
	}

	#check(offset: number, length: number): void {
		assert(this.#powered, "the disk has power");
		assert(offset >= 0 && offset + length <= this.sizeBytes, "the range is on the disk");
		assert(offset % sectorBytes === 0 && length % sectorBytes === 0, "the range is of whole sectors");
	}
}

/** Calls with each page of a range: its number, where in it the range begins, where in the range that is, how many bytes. */
function forPages(
	offset: number,
	length: number,
	visit: (page: number, within: number, at: number, count: number) => void,
): void {
	for (let at = 0; at < length; ) {
		const page = Math.floor((offset + at) / pageBytes);
		const within = (offset + at) % pageBytes;
		const count = Math.min(pageBytes - within, length - at);
		visit(page, within, at, count);
		at += count;
	}
}
