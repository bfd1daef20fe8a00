/** Time as an argument, so that a test or the simulator can own it. Wall time is for people, monotonic time for waits. */

export type Timer = { cancel(): void };

export interface Clock {
	/** Wall clock, milliseconds since 1970 UTC. May jump. */
	nowMs(): number;
	/** Never goes back; only differences mean anything. */
	monotonicMs(): number;
	/** Runs `callback` once after `delayMs`. The timer does not keep the process alive by itself. */
	schedule(delayMs: number, callback: () => void): Timer;
}

export const systemClock: Clock = {
	nowMs: () => Date.now(),
	monotonicMs: () => performance.now(),
	schedule(delayMs, callback) {
		const handle = setTimeout(callback, delayMs);
		handle.unref?.();
		return { cancel: () => clearTimeout(handle) };
	},
};

/** The same, with a wall clock that is ahead by so much. */
export const shiftedClock = (clock: Clock, aheadMs: number): Clock =>
	aheadMs === 0 ? clock : { ...clock, nowMs: () => clock.nowMs() + aheadMs };

/** RFC 3339 in UTC with milliseconds, the only form in which times leave the process. */
export const toRfc3339 = (epochMs: number): string => new Date(epochMs).toISOString();

/** Resolves after `delayMs`, or rejects with the signal's reason when it is aborted first. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		if (signal?.aborted) return reject(signal.reason);
		const onAbort = () => {
			timer.cancel();
			reject(signal?.reason);
		};
		const timer = clock.schedule(delayMs, () => {
			signal?.removeEventListener("abort", onAbort);
			resolve();
		});
		signal?.addEventListener("abort", onAbort, { once: true });
	});
}
