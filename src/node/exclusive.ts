/** Work that waits until it has a VM to itself, in the order in which it came. */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";

type Wait = { clock: Clock; signal: AbortSignal; waitMs: number | null };

export class ExclusiveWork {
	readonly #waiting: (() => Promise<void>)[] = [];

	/** Ends as `work` does. Fails with the signal's reason, or after `waitMs` with `timeout`, while its turn has not come. */
	add<T>({ clock, signal, waitMs }: Wait, work: () => Promise<T>): Promise<T> {
		return new Promise<T>((resolve, reject) => {
			const run = () => {
				stopWaiting();
				return work().then(resolve, reject);
			};
			const giveUp = (error: unknown) => {
				stopWaiting();
				const at = this.#waiting.indexOf(run);
				if (at >= 0) this.#waiting.splice(at, 1);
				reject(error);
			};
			const onAbort = () => giveUp(signal.reason);
			const late = () => giveUp(new AppError("timeout", "The VM was busy for too long."));
			const timer = waitMs === null ? null : clock.schedule(waitMs, late);
			const stopWaiting = () => {
				timer?.cancel();
				signal.removeEventListener("abort", onAbort);
			};
			if (signal.aborted) return giveUp(signal.reason);
			signal.addEventListener("abort", onAbort, { once: true });
			this.#waiting.push(run);
		});
	}

	/** The next, whose turn it is. It never rejects. */
	shift(): (() => Promise<void>) | undefined {
		return this.#waiting.shift();
	}
}
