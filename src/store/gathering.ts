/**
 * While nobody on this node waits for what is committed, it is gathered before it is applied: a transaction costs more than what is
 * applied in it, and the more is in it, the fewer pages are written for each change. A node that is quiet gathers for a moment; under
 * load, where changes wait longer than that anyway, for ten moments.
 */
import type { Clock, Timer } from "../lib/clock.ts";

/** So many are not kept waiting: when the node was quiet, and under load. */
const fewEntries = 32;
const manyEntries = 128;
/** A group of so many is a sign of load. */
const loadEntries = 16;
const underLoadFactor = 10;

export class Gathering {
	readonly #clock: Clock;
	readonly #momentMs: number;
	readonly #onOver: () => void;
	#timer: Timer | null = null;
	/** When the last group was applied, if it was one of load. */
	#loadMs = Number.NEGATIVE_INFINITY;

	/** `momentMs` 0: nothing is gathered. `onOver`: what was gathered is to be applied. */
	constructor(clock: Clock, momentMs: number, onOver: () => void) {
		this.#clock = clock;
		this.#momentMs = momentMs;
		this.#onOver = onOver;
	}

	get underWay(): boolean {
		return this.#timer !== null;
	}

	/** So many wait to be applied, for nobody here. False when they are to be applied now. */
	gathers(entries: number): boolean {
		if (this.#momentMs === 0) return false;
		const longMs = underLoadFactor * this.#momentMs;
		const load = this.#clock.monotonicMs() - this.#loadMs <= longMs;
		if (entries >= (load ? manyEntries : fewEntries)) return false;
		this.#timer ??= this.#clock.schedule(load ? longMs : this.#momentMs, this.#onOver);
		return true;
	}

	/** They are applied now, so many; without having been gathered, they may be the rest of a larger group. */
	end(entries: number): void {
		if (entries >= loadEntries) this.#loadMs = this.#clock.monotonicMs();
		else if (this.#timer !== null) this.#loadMs = Number.NEGATIVE_INFINITY;
		this.stop();
	}

	stop(): void {
		this.#timer?.cancel();
		this.#timer = null;
	}
}
