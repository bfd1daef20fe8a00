/** The clock of the consensus: ticks one after the other, and how late each of them came. */
import type { Clock, Timer } from "../../lib/clock.ts";

/** Times in seconds. `counts`: how many were above the bound before and not above this one; those above all are only in `count`. */
export type TickDelays = { bounds: readonly number[]; counts: number[]; sum: number; count: number };

const delayBounds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

export const noDelays = (): TickDelays => ({
	...{ bounds: delayBounds, counts: delayBounds.map(() => 0) },
	...{ sum: 0, count: 0 },
});

export type TickerParts = {
	clock: Clock;
	/** In [0, 1). */
	random: () => number;
	/** Between two ticks: so long, and up to so much longer. */
	tickMs: number;
	jitterMs: number;
	onTick: () => void;
};

export class Ticker {
	readonly #parts: TickerParts;
	readonly #onTimer = (): void => this.#tick();
	readonly delays = noDelays();
	#timer: Timer | null = null;
	#dueMs = 0;
	#stopped = false;

	constructor(parts: TickerParts) {
		this.#parts = parts;
	}

	/** `part`: of the jitter. */
	schedule(part: number): void {
		if (this.#stopped) return;
		const { clock, tickMs, jitterMs } = this.#parts;
		const delayMs = tickMs + part * jitterMs;
		this.#dueMs = clock.monotonicMs() + delayMs;
		this.#timer = clock.schedule(delayMs, this.#onTimer);
	}

	stop(): void {
		this.#stopped = true;
		this.#timer?.cancel();
	}

	#tick(): void {
		const { clock, random, jitterMs, onTick } = this.#parts;
		this.#count((clock.monotonicMs() - this.#dueMs) / 1000);
		this.schedule(jitterMs > 0 ? random() : 0);
		onTick();
	}

	#count(seconds: number): void {
		const { counts } = this.delays;
		// Timers of whole milliseconds may come a moment early.
		const delay = Math.max(0, seconds);
		const at = delayBounds.findIndex((bound) => delay <= bound);
		if (at >= 0) counts[at] = (counts[at] ?? 0) + 1;
		this.delays.sum += delay;
		this.delays.count += 1;
	}
}
