/**
 * For lines of the log that strangers can cause: at most one a second, whatever they do, with the number of those that have no
 * line of their own. The last one of a second is the one that is written.
 */
import type { Clock, Timer } from "./clock.ts";

const intervalMs = 1000;

export class SparseLog<Line> {
	readonly #clock: Clock;
	readonly #write: (line: Line, more: { suppressed?: number }) => void;
	#timer: Timer | null = null;
	/** Not written yet. */
	#last: { line: Line; count: number } | null = null;

	constructor(clock: Clock, write: (line: Line, more: { suppressed?: number }) => void) {
		this.#clock = clock;
		this.#write = write;
	}

	say(line: Line): void {
		this.#last = { line, count: (this.#last?.count ?? 0) + 1 };
		if (this.#timer === null) this.#sayAndWait();
	}

	/** Says what was not said yet. */
	close(): void {
		this.#timer?.cancel();
		this.#timer = null;
		this.#sayLast();
	}

	#sayAndWait(): void {
		this.#sayLast();
		this.#timer = this.#clock.schedule(intervalMs, () => {
			this.#timer = null;
			if (this.#last !== null) this.#sayAndWait();
		});
	}

	#sayLast(): void {
		if (this.#last === null) return;
		const { line, count } = this.#last;
		this.#last = null;
		this.#write(line, count > 1 ? { suppressed: count - 1 } : {});
	}
}
