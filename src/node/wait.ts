/** Waits with limits. Nothing on this node is awaited without one. */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { formatDuration } from "../lib/units.ts";

/** How long work that was told to end may take to clean up before it is left to itself. */
const graceMs = 30_000;

export type LimitOptions = {
	/** What is done, as the middle of "… did not finish within 30 s". */
	what: string;
	limitMs: number;
	/** Ends the work when `touch` was not called for this long. */
	idleMs?: number;
	/** Tells the work to end, with its reason; the result is still waited for (30 s), because the work cleans up. */
	signal?: AbortSignal | undefined;
};

/**
 * Runs `work` for at most `limitMs`: then, or without progress for `idleMs`, fails with `timeout`. The signal given to
 * `work` is aborted at the limit too, so that whatever honours it stops; whatever does not goes on unheard.
 */
export function withLimit<T>(
	clock: Clock,
	options: LimitOptions,
	work: (signal: AbortSignal, touch: () => void) => Promise<T>,
): Promise<T> {
	const controller = new AbortController();
	return new Promise((resolve, reject) => {
		const timedOut = (ms: number, how: string) => () => {
			const error = new AppError("timeout", `${options.what} ${how} ${formatDuration(ms)}.`);
			controller.abort(error);
			end(() => reject(error));
		};
		const limit = clock.schedule(options.limitMs, timedOut(options.limitMs, "did not finish within"));
		const idleMs = options.idleMs;
		const startIdle = () =>
			idleMs === undefined ? null : clock.schedule(idleMs, timedOut(idleMs, "made no progress for"));
		let idle = startIdle();
		let grace: { cancel(): void } | null = null;
		const touch = () => {
			idle?.cancel();
			idle = ended ? null : startIdle();
		};
		const onAbort = () => {
			const reason = options.signal?.reason;
			controller.abort(reason);
			grace = clock.schedule(graceMs, () => end(() => reject(reason)));
		};
		let ended = false;
		const end = (settle: () => void) => {
			ended = true;
			limit.cancel();
			idle?.cancel();
			grace?.cancel();
			options.signal?.removeEventListener("abort", onAbort);
			settle();
		};
		options.signal?.addEventListener("abort", onAbort, { once: true });
		if (options.signal?.aborted) onAbort();
		work(controller.signal, touch).then(
			(value) => end(() => resolve(value)),
			(error) => end(() => reject(controller.signal.aborted ? controller.signal.reason : error)),
		);
	});
}

/** A bell: `wait` resolves at the next `ring` after it was called, or after `delayMs`; rejects with the signal's reason. */
export class Bell {
	#waiting = new Set<() => void>();

	ring(): void {
		const waiting = this.#waiting;
		this.#waiting = new Set();
		for (const wake of waiting) wake();
	}

	wait(clock: Clock, delayMs: number, signal: AbortSignal): Promise<"rung" | "time"> {
		return new Promise((resolve, reject) => {
			if (signal.aborted) return reject(signal.reason);
			const end = (settle: () => void) => {
				this.#waiting.delete(onRing);
				timer.cancel();
				signal.removeEventListener("abort", onAbort);
				settle();
			};
			const onRing = () => end(() => resolve("rung"));
			const onAbort = () => end(() => reject(signal.reason));
			const timer = clock.schedule(delayMs, () => end(() => resolve("time")));
			this.#waiting.add(onRing);
			signal.addEventListener("abort", onAbort, { once: true });
		});
	}
}
