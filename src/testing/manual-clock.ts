/** A clock that stands still until a test moves it. Callbacks run inside `advance`, in the order of their times. */
import type { Clock, Timer } from "../lib/clock.ts";

export class ManualClock implements Clock {
	#nowMs: number;
	#monotonicMs = 0;
	#timers: { atMs: number; callback: () => void }[] = [];

	constructor(startMs = Date.UTC(2030, 0, 1)) {
		this.#nowMs = startMs;
	}

	nowMs(): number {
		return this.#nowMs;
	}

	monotonicMs(): number {
		return this.#monotonicMs;
	}

	schedule(delayMs: number, callback: () => void): Timer {
		const timer = { atMs: this.#monotonicMs + Math.max(0, delayMs), callback };
		this.#timers.push(timer);
		return {
			cancel: () => {
				this.#timers = this.#timers.filter((other) => other !== timer);
			},
		};
	}

	/** Timers that wait. */
	get waiting(): number {
		return this.#timers.length;
	}

	/** Moves both clocks on, running what becomes due; what that schedules runs too, when it falls into the same time. */
	advance(ms: number): void {
		const until = this.#monotonicMs + ms;
		while (true) {
			const next = this.#timers.filter((timer) => timer.atMs <= until).sort((a, b) => a.atMs - b.atMs)[0];
			if (!next) break;
			this.#timers = this.#timers.filter((timer) => timer !== next);
			this.#moveTo(next.atMs);
			next.callback();
		}
		this.#moveTo(until);
	}

	/** The wall clock is set, forward or back; no time passes. */
	jump(ms: number): void {
		this.#nowMs += ms;
	}

	#moveTo(monotonicMs: number): void {
		this.#nowMs += monotonicMs - this.#monotonicMs;
		this.#monotonicMs = monotonicMs;
	}
}
