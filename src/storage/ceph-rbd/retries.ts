/** What could not be done, and when it is tried again: each time after twice as long, and so often only. */
import type { Clock } from "../../lib/clock.ts";

type Failed = { tries: number; dueMs: number };

export class Retries {
	readonly #clock: Clock;
	readonly #firstMs: number;
	readonly #max: number;
	readonly #failed = new Map<string, Failed>();

	/** `max`: after the first trial. */
	constructor(clock: Clock, { firstMs, max }: { firstMs: number; max: number }) {
		this.#clock = clock;
		this.#firstMs = firstMs;
		this.#max = max;
	}

	/** True for what has not failed yet; false for what is given up. */
	isDue(what: string): boolean {
		const failed = this.#failed.get(what);
		return failed === undefined || (failed.tries <= this.#max && failed.dueMs <= this.#clock.monotonicMs());
	}

	/** "last": it is given up now; "over": it was before. */
	fail(what: string): "first" | "again" | "last" | "over" {
		const tries = (this.#failed.get(what)?.tries ?? 0) + 1;
		const dueMs = this.#clock.monotonicMs() + this.#firstMs * 2 ** (tries - 1);
		this.#failed.set(what, { tries, dueMs });
		if (tries === 1) return "first";
		if (tries <= this.#max) return "again";
		return tries === this.#max + 1 ? "last" : "over";
	}

	done(what: string): void {
		this.#failed.delete(what);
	}

	/** Forgets all that is not among these: it is gone. */
	keep(present: ReadonlySet<string>): void {
		for (const what of this.#failed.keys()) if (!present.has(what)) this.#failed.delete(what);
	}

	clear(): void {
		this.#failed.clear();
	}

	/** Until the first of them (or this one) is due; null when none is tried again. */
	nextInMs(what?: string): number | null {
		const dues = [...this.#failed]
			.filter(([name, { tries }]) => tries <= this.#max && (what === undefined || name === what))
			.map(([, { dueMs }]) => dueMs);
		return dues.length === 0 ? null : Math.max(0, Math.min(...dues) - this.#clock.monotonicMs());
	}
}
