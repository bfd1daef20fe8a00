/**
 * The time by which old things are deleted. What is deleted does not come back, and the wall clock may be wrong by
 * years (an empty battery, a wrong time server): so it is believed only as far as it agrees with the monotonic clock
 * since the last time it was asked, or since the upkeep before this start. A clock that is suddenly ahead has to stay
 * there for a day of running; until then time goes on from what was believed. One that goes back is believed at once: by
 * an earlier time, less is deleted. Why so: docs/decisions/0022-time-of-the-upkeep.md.
 *
 * At a start, being ahead is what a node finds that was off. That adds a doubt of its own to those that there are, which
 * go on: so a node that is switched off every night is a day behind and no more. The caller keeps `doubts` with the time.
 */
import { type Clock, toRfc3339 } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { UpkeepDoubt } from "../store/command.ts";
import { maxUpkeepDoubts } from "../store/limits.ts";

const hourMs = 3_600_000;
/** More than lies between two rounds of upkeep, so that a restart raises no doubt. */
export const toleranceMs = 2 * hourMs;
export const doubtMs = 24 * hourMs;

export class BelievedTime {
	readonly #clock: Clock;
	readonly #logger: Logger;
	/** What was believed, and the monotonic time then. */
	#believed: { timeMs: number; atMs: number };
	/** By how much the wall clock is ahead of what is believed, less first; each for as long as it ran so. */
	#doubts: UpkeepDoubt[];
	#starting = true;

	/** `lastMs`, `doubts`: what was believed and doubted before this start; null when nothing is known. */
	constructor(clock: Clock, logger: Logger, lastMs: number | null, doubts: readonly UpkeepDoubt[] = []) {
		this.#clock = clock;
		this.#logger = logger;
		this.#believed = { timeMs: lastMs ?? clock.nowMs(), atMs: clock.monotonicMs() };
		this.#doubts = [...doubts];
	}

	get doubts(): readonly UpkeepDoubt[] {
		return this.#doubts;
	}

	nowMs(): number {
		const [wallMs, atMs] = [this.#clock.nowMs(), this.#clock.monotonicMs()];
		const ranMs = atMs - this.#believed.atMs;
		const expectedMs = this.#believed.timeMs + ranMs;
		const aheadMs = wallMs - expectedMs;
		let timeMs = wallMs;
		if (aheadMs <= toleranceMs) this.#doubts = [];
		else {
			// What the clock does not say any more is not what it is doubted for.
			this.#doubts = this.#doubts
				.filter((doubt) => doubt.aheadMs <= aheadMs + toleranceMs)
				.map((doubt) => ({ ...doubt, ranMs: doubt.ranMs + ranMs }));
			if (aheadMs - (this.#doubts.at(-1)?.aheadMs ?? 0) > toleranceMs) this.#addDoubt(aheadMs, wallMs);
			timeMs = this.#settle(expectedMs, wallMs);
		}
		this.#starting = false;
		this.#believed = { timeMs, atMs };
		return timeMs;
	}

	#addDoubt(aheadMs: number, wallMs: number): void {
		const fields = { clock: toRfc3339(wallMs), expected: toRfc3339(wallMs - aheadMs) };
		const until = "nothing is deleted by it before a day of running";
		if (this.#starting) {
			this.#logger.info(`the node was off, or its clock jumped: ${until}`, fields);
			// Of too many, the last two become one, of the later beginning.
			if (this.#doubts.length >= maxUpkeepDoubts) this.#doubts.pop();
		} else {
			this.#logger.warn(`the clock is ahead of what was expected: ${until}`, fields);
			// It jumped while the node ran: whatever it said before was wrong, too.
			this.#doubts = [];
		}
		this.#doubts.push({ aheadMs, ranMs: 0, since: toRfc3339(wallMs) });
	}

	/** What the clock has said for a day is believed. */
	#settle(expectedMs: number, wallMs: number): number {
		const last = this.#doubts.findLastIndex((doubt) => doubt.ranMs >= doubtMs);
		const believed = this.#doubts[last];
		if (believed === undefined) return expectedMs;
		const { aheadMs } = believed;
		this.#doubts = this.#doubts.slice(last + 1).map((doubt) => ({ ...doubt, aheadMs: doubt.aheadMs - aheadMs }));
		return this.#doubts.length === 0 ? wallMs : expectedMs + aheadMs;
	}
}
