/**
 * Locks between the operations of one driver, by key ("volume:<id>"). Shared while something is read or built upon,
 * exclusive while it changes or goes. First come, first served; whoever waits longer than `waitMs` gets `in-use`, so
 * no two operations can wait for each other for ever. Locks live in this process: after a crash there are none.
 */
import { type Clock, systemClock, type Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";

type Waiter = { exclusive: boolean; grant: () => void };
type Entry = { sharedCount: number; exclusive: boolean; waiters: Waiter[] };

export class OperationLocks {
	readonly #entries = new Map<string, Entry>();
	readonly #waitMs: number;
	readonly #clock: Clock;

	constructor(waitMs = 10_000, clock: Clock = systemClock) {
		this.#waitMs = waitMs;
		this.#clock = clock;
	}

	/** Held until disposed. `busyMessage` is the message of `in-use`. */
	shared(key: string, busyMessage: string): Promise<Disposable> {
		return this.#acquire(key, false, busyMessage);
	}

	exclusive(key: string, busyMessage: string): Promise<Disposable> {
		return this.#acquire(key, true, busyMessage);
	}

	#acquire(key: string, exclusive: boolean, busyMessage: string): Promise<Disposable> {
		const entry = this.#entries.get(key) ?? { sharedCount: 0, exclusive: false, waiters: [] };
		this.#entries.set(key, entry);
		if (entry.waiters.length === 0 && canEnter(entry, exclusive))
			return Promise.resolve(this.#enter(key, entry, exclusive));
		return new Promise((resolve, reject) => {
			let timer: Timer | null = null;
			const waiter: Waiter = {
				exclusive,
				grant: () => {
					timer?.cancel();
					resolve(this.#enter(key, entry, exclusive));
				},
			};
			entry.waiters.push(waiter);
			timer = this.#clock.schedule(this.#waitMs, () => {
				entry.waiters.splice(entry.waiters.indexOf(waiter), 1);
				this.#wake(key, entry);
				reject(new AppError("in-use", busyMessage, { context: { key } }));
			});
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
		for (let next = entry.waiters[0]; next && canEnter(entry, next.exclusive); next = entry.waiters[0]) {
			entry.waiters.shift();
			next.grant();
		}
		if (entry.waiters.length === 0 && !entry.exclusive && entry.sharedCount === 0) this.#entries.delete(key);
	}
}

const canEnter = (entry: Entry, exclusive: boolean): boolean =>
	!entry.exclusive && (!exclusive || entry.sharedCount === 0);
