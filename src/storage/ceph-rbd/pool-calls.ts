/**
 * What is under way with a pool on this node, from outside of the driver: calls, and what they leave open (an upload, a stream). The pool is let
 * go of between them only, and from then on none begins: the driver that comes next, with other settings, takes what it finds half done for
 * something that nobody does any more.
 */
import { type Clock, delay } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";

/** For those that only look: a cluster that does not answer lets them wait, and nothing is lost with them. */
const lookWaitMs = 2000;

export class PoolCalls {
	readonly #clock: Clock;
	#changes = 0;
	readonly #looks = new Set<Promise<unknown>>();
	/** Whoever calls waits for what comes of it. */
	#leaving: Promise<void> | null = null;
	#isLeft = false;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Of what must not be disturbed. */
	async change<T>(work: () => Promise<T>): Promise<T> {
		using _held = await this.hold();
		return await work();
	}

	async look<T>(work: () => Promise<T>): Promise<T> {
		while (this.#leaving !== null) await this.#leaving;
		this.#requireUsed();
		const look = work();
		this.#looks.add(look);
		try {
			return await look;
		} finally {
			this.#looks.delete(look);
		}
	}

	/** Under way until disposed. Fails with `unavailable` when the pool was let go of. */
	async hold(): Promise<Disposable> {
		while (this.#leaving !== null) await this.#leaving;
		this.#requireUsed();
		this.#changes += 1;
		let isHeld = true;
		return {
			[Symbol.dispose]: () => {
				if (isHeld) this.#changes -= 1;
				isHeld = false;
			},
		};
	}

	/** The pool is used again. */
	begin(): void {
		this.#isLeft = false;
	}

	/**
	 * Calls `work`, which lets go of the pool; when that fails, all goes on. `in-use`, before anything is done, while something is under way,
	 * or `isBusy` says so.
	 */
	async leave(isBusy: () => boolean, work: () => Promise<void>): Promise<void> {
		if (this.#changes > 0 || this.#leaving !== null || isBusy())
			throw new AppError("in-use", "Something is being done in the pool on this node.");
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#leaving = promise;
		try {
			const done = new AbortController();
			const late = delay(this.#clock, lookWaitMs, done.signal).catch(() => {});
			await Promise.race([Promise.allSettled(this.#looks), late]);
			done.abort();
			await work();
			this.#isLeft = true;
		} finally {
			this.#leaving = null;
			resolve();
		}
	}

	#requireUsed(): void {
		if (this.#isLeft) throw letGo();
	}
}

export const letGo = () =>
	new AppError("unavailable", "The pool was let go of on this node: its settings have changed, or it is gone.");
