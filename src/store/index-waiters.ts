/**
 * Reads that wait until this copy has been brought up to an index. Bounded in number and in time: whoever is refused
 * gets `unavailable`, and answers with what this copy holds, marked as stale.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { maxPendingProposals } from "./limits.ts";

type Waiter = { index: number; deadlineMs: number; resolve: () => void; reject: (error: AppError) => void };

/** A person waits for the answer: an older one now is worth more than a newer one later. */
export const readTimeoutMs = 5_000;
const sweepIntervalMs = 500;

export class IndexWaiters {
	readonly #clock: Clock;
	/** All wait equally long, so the first is the first to time out. */
	#waiters: Waiter[] = [];
	#sweep: Timer | null = null;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	get count(): number {
		return this.#waiters.length;
	}

	wait(index: number): Promise<void> {
		if (this.#waiters.length >= maxPendingProposals)
			return Promise.reject(behind("Too many reads are waiting for this node to catch up."));
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		this.#waiters.push({ index, deadlineMs: this.#clock.monotonicMs() + readTimeoutMs, resolve, reject });
		this.#sweep ??= this.#clock.schedule(sweepIntervalMs, () => this.#expire());
		return promise;
	}

	/** This copy has everything up to `appliedIndex`. */
	reached(appliedIndex: number): void {
		if (this.#waiters.length === 0) return;
		const reached = this.#waiters.filter((waiter) => waiter.index <= appliedIndex);
		this.#waiters = this.#waiters.filter((waiter) => waiter.index > appliedIndex);
		for (const waiter of reached) waiter.resolve();
	}

	rejectAll(error: AppError): void {
		this.#sweep?.cancel();
		this.#sweep = null;
		for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
	}

	#expire(): void {
		this.#sweep = null;
		const now = this.#clock.monotonicMs();
		const expired = this.#waiters.filter((waiter) => waiter.deadlineMs <= now);
		this.#waiters = this.#waiters.filter((waiter) => waiter.deadlineMs > now);
		for (const waiter of expired) waiter.reject(behind("This node has not caught up in time."));
		if (this.#waiters.length > 0) this.#sweep = this.#clock.schedule(sweepIntervalMs, () => this.#expire());
	}
}

const behind = (message: string): AppError => new AppError("unavailable", message, { retryAfterMs: 1000 });
