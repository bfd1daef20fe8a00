/**
 * Locks between the operations of one driver, by key ("volume:<id>"). Shared while something is read or built upon,
 * exclusive while it changes or goes. First come, first served. Whoever waits longer than `waitMs` gets `in-use`. Only `all` with a
 * signal waits until that is aborted: for what a person has started, who would rather have it done late than refused. Locks live in this
 * process: after a crash there are none.
 *
 * No operations wait for each other for ever. A wait that ends by itself breaks every circle, so there would have to be one of nothing but
 * `all` with a signal. Whoever calls that has no lock yet, and gets those that it names one by one in the order of their keys: it waits for a
 * key that comes after all that it has. Somebody who has this key waits for a later one still, and so on: the way never leads back. Who
 * waits behind another waiter of the same key came later than that one, and waits for what it waits for.
 */
import { type Clock, systemClock, type Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { LongOptions } from "./driver.ts";

type Waiter = { exclusive: boolean; grant: () => void };
type Entry = { sharedCount: number; exclusive: boolean; waiters: Waiter[] };

/** `busyMessage`: of `in-use`, and what is said meanwhile to whoever waits for longer. */
export type WantedLock = { key: string; how: "shared" | "exclusive"; busyMessage: string };

export class OperationLocks {
	readonly #entries = new Map<string, Entry>();
	readonly #waitMs: number;
	readonly #clock: Clock;
	#isClosed = false;

	constructor(waitMs = 10_000, clock: Clock = systemClock) {
		this.#waitMs = waitMs;
		this.#clock = clock;
	}

	/** Held until disposed. */
	shared(key: string, busyMessage: string): Promise<Disposable> {
		return this.#acquire({ key, how: "shared", busyMessage }, {});
	}

	exclusive(key: string, busyMessage: string): Promise<Disposable> {
		return this.#acquire({ key, how: "exclusive", busyMessage }, {});
	}

	/**
	 * All of them, or none; the caller has no other. With a signal they are waited for until that is aborted, which is `canceled`; `progress`
	 * is told now and then that this goes on, and once more when it is over.
	 */
	async all(wanted: readonly WantedLock[], options: LongOptions = {}): Promise<Disposable> {
		const byKey = new Map<string, WantedLock>();
		for (const one of wanted) if (byKey.get(one.key)?.how !== "exclusive") byKey.set(one.key, one);
		using held = new DisposableStack();
		for (const one of [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1)))
			held.use(await this.#acquire(one, options));
		return held.move();
	}

	/**
	 * While nobody has a lock but these: until disposed, nobody gets another, and who asks waits as for any. Null when somebody has. The
	 * caller takes no lock meanwhile.
	 */
	close(own: readonly string[]): Disposable | null {
		const isBusy = [...this.#entries].some(
			([key, one]) => !own.includes(key) && (one.exclusive || one.sharedCount > 0),
		);
		if (this.#isClosed || isBusy) return null;
		this.#isClosed = true;
		return {
			[Symbol.dispose]: () => {
				this.#isClosed = false;
				for (const [key, entry] of [...this.#entries]) this.#wake(key, entry);
			},
		};
	}

	#acquire({ key, how, busyMessage }: WantedLock, { signal, progress }: LongOptions): Promise<Disposable> {
		const exclusive = how === "exclusive";
		const entry = this.#entries.get(key) ?? { sharedCount: 0, exclusive: false, waiters: [] };
		this.#entries.set(key, entry);
		if (!this.#isClosed && entry.waiters.length === 0 && canEnter(entry, exclusive))
			return Promise.resolve(this.#enter(key, entry, exclusive));
		return new Promise((resolve, reject) => {
			let timer: Timer | null = null;
			let hasSaid = false;
			const end = () => {
				timer?.cancel();
				signal?.removeEventListener("abort", onAbort);
			};
			const giveUp = (error: AppError) => {
				end();
				entry.waiters.splice(entry.waiters.indexOf(waiter), 1);
				this.#wake(key, entry);
				reject(error);
			};
			const onAbort = () =>
				giveUp(new AppError("canceled", "Canceled while it waited for another operation.", { cause: signal?.reason }));
			const onTime = () => {
				if (!signal) return giveUp(new AppError("in-use", busyMessage, { context: { key } }));
				hasSaid = true;
				timer = this.#clock.schedule(this.#waitMs, onTime);
				progress?.(null, busyMessage);
			};
			const waiter: Waiter = {
				exclusive,
				grant: () => {
					end();
					resolve(this.#enter(key, entry, exclusive));
					if (hasSaid) progress?.(null);
				},
			};
			entry.waiters.push(waiter);
			timer = this.#clock.schedule(this.#waitMs, onTime);
			signal?.addEventListener("abort", onAbort, { once: true });
			if (signal?.aborted) onAbort();
		});
	}

	#enter(key: string, entry: Entry, exclusive: boolean): Disposable {
		if (exclusive) entry.exclusive = true;
		else entry.sharedCount += 1;
		let held = true;
		return {
			[Symbol.dispose]: () => {
				if (!held) return;
				held = false;
				if (exclusive) entry.exclusive = false;
				else entry.sharedCount -= 1;
				this.#wake(key, entry);
			},
		};
	}

	#wake(key: string, entry: Entry): void {
		for (
			let [next] = entry.waiters;
			!this.#isClosed && next && canEnter(entry, next.exclusive);
			[next] = entry.waiters
		) {
			entry.waiters.shift();
			next.grant();
		}
		if (entry.waiters.length === 0 && !entry.exclusive && entry.sharedCount === 0) this.#entries.delete(key);
	}
}

const canEnter = (entry: Entry, exclusive: boolean): boolean =>
	!entry.exclusive && (!exclusive || entry.sharedCount === 0);
