/**
 * The time by which old things are deleted. What is deleted does not come back, and the wall clock may be wrong by
 * years (an empty battery, a wrong time server): so it is believed only as far as it agrees with the monotonic clock
 * since the last time it was asked, or since the upkeep before this start. A clock that is suddenly ahead has to stay
 * there for a day; until then time goes on from what was believed. One that goes back is believed at once: by an
 * earlier time, less is deleted. Why so: docs/decisions/0022-time-of-the-upkeep.md.
 */
import { type Clock, toRfc3339 } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";

const hourMs = 3_600_000;
/** More than lies between two rounds of upkeep, so that a restart raises no doubt. */
export const toleranceMs = 2 * hourMs;
export const doubtMs = 24 * hourMs;

export class BelievedTime {
	readonly #clock: Clock;
	readonly #logger: Logger;
	/** What was believed, and the monotonic time then. */
	#believed: { timeMs: number; atMs: number };
	/** By how much the wall clock is ahead, and since when. */
	#doubt: { aheadMs: number; sinceMs: number } | null = null;

	/** `lastMs`: what was believed before this start; null when nothing is known. */
	constructor(clock: Clock, logger: Logger, lastMs: number | null) {
		this.#clock = clock;
		this.#logger = logger;
		this.#believed = { timeMs: lastMs ?? clock.nowMs(), atMs: clock.monotonicMs() };
	}

	nowMs(): number {
		const [wallMs, atMs] = [this.#clock.nowMs(), this.#clock.monotonicMs()];
		const expectedMs = this.#believed.timeMs + (atMs - this.#believed.atMs);
		const aheadMs = wallMs - expectedMs;
		const timeMs = aheadMs <= toleranceMs || this.#isOld(aheadMs, atMs) ? wallMs : expectedMs;
		if (timeMs === wallMs) this.#doubt = null;
		this.#believed = { timeMs, atMs };
		return timeMs;
	}

	/** Has the clock been ahead by as much for long? */
	#isOld(aheadMs: number, atMs: number): boolean {
		if (this.#doubt === null || Math.abs(aheadMs - this.#doubt.aheadMs) > toleranceMs) {
			this.#doubt = { aheadMs, sinceMs: atMs };
			this.#logger.warn("the clock is ahead of what was expected: nothing is deleted by it unless it stays for a day", {
				clock: toRfc3339(this.#clock.nowMs()),
				expected: toRfc3339(this.#clock.nowMs() - aheadMs),
			});
		}
		return atMs - this.#doubt.sinceMs >= doubtMs;
	}
}
