/**
 * Requests that wait for the end of a task (`?waitMs`, the demo VM). One subscription for all of them, and a bound:
 * whoever comes beyond it is told to ask again.
 */
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Store } from "../../store/store.ts";

const maxWaiting = 1000;

export class TaskWaits {
	readonly #clock: Clock;
	readonly #waiting = new Map<string, Set<() => void>>();
	readonly #unsubscribe: () => void;
	#count = 0;

	constructor(store: Store, clock: Clock) {
		this.#clock = clock;
		this.#unsubscribe = store.subscribe((events) => {
			for (const { target, object } of events) {
				if (target.kind !== "task" || !this.#waiting.has(target.id)) continue;
				const going =
					typeof object === "object" && object !== null && "finishedAt" in object && object.finishedAt === null;
				if (!going) for (const wake of [...(this.#waiting.get(target.id) ?? [])]) wake();
			}
		});
	}

	get size(): number {
		return this.#count;
	}

	/** Resolves when the task is finished or gone, when the time is up, or when the client goes; the state says which. */
	wait(id: string, limitMs: number, signal: AbortSignal): Promise<void> {
		if (this.#count >= maxWaiting)
			throw new AppError("too-many-requests", "Too many requests wait for tasks.", { retryAfterMs: 1000 });
		return new Promise((resolve) => {
			const wakers = this.#waiting.get(id) ?? new Set();
			const done = () => {
				if (!wakers.delete(done)) return;
				this.#count -= 1;
				if (wakers.size === 0) this.#waiting.delete(id);
				timer.cancel();
				signal.removeEventListener("abort", done);
				resolve();
			};
			wakers.add(done);
			this.#waiting.set(id, wakers);
			this.#count += 1;
			const timer = this.#clock.schedule(limitMs, done);
			signal.addEventListener("abort", done, { once: true });
			if (signal.aborted) done();
		});
	}

	close(): void {
		this.#unsubscribe();
		for (const wakers of [...this.#waiting.values()]) for (const wake of [...wakers]) wake();
	}
}
