/**
 * Lock-out with back-off: after some failures under one key (a user name, an address) each further attempt has to
 * wait, twice as long each time. In memory and bounded: it protects this node's passwords from guessing, and must
 * never become a write or a leak. An attempt counts as failed from its start, so that a hundred at once do not slip
 * through together; success takes it back.
 */
import type { Clock } from "../lib/clock.ts";

export type LimiterOptions = {
	/** Failures that cost nothing. */
	free: number;
	firstDelayMs: number;
	maxDelayMs: number;
	/** A key without failures for so long is forgotten. */
	forgetAfterMs: number;
	/** Keys kept; beyond that the one that failed longest ago is forgotten. */
	maxKeys: number;
};

type Entry = { failures: number; lastMs: number; blockedUntilMs: number };

export class FailureLimiter {
	readonly #options: LimiterOptions;
	readonly #clock: Clock;
	/** In order of the last failure: a Map keeps the order of insertion. */
	readonly #entries = new Map<string, Entry>();

	constructor(clock: Clock, options: LimiterOptions) {
		this.#clock = clock;
		this.#options = options;
	}

	/** Milliseconds to wait before an attempt under this key; 0 when it may be made. */
	waitMs(key: string): number {
		const entry = this.#current(key);
		return entry ? Math.max(0, entry.blockedUntilMs - this.#clock.monotonicMs()) : 0;
	}

	/** Counts an attempt as failed. */
	fail(key: string): void {
		const { free, firstDelayMs, maxDelayMs, maxKeys } = this.#options;
		const now = this.#clock.monotonicMs();
		const entry = this.#current(key) ?? { failures: 0, lastMs: now, blockedUntilMs: 0 };
		entry.failures += 1;
		entry.lastMs = now;
		const beyond = entry.failures - free;
		if (beyond > 0) entry.blockedUntilMs = now + Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(beyond - 1, 30));
		this.#entries.delete(key);
		this.#entries.set(key, entry);
		if (this.#entries.size > maxKeys) {
			const oldest = this.#entries.keys().next();
			if (!oldest.done) this.#entries.delete(oldest.value);
		}
	}

	/** Takes all failures under the key back. */
	succeed(key: string): void {
		this.#entries.delete(key);
	}

	/** Takes one failure back: an address is not cleared of guessing by one account that it knows. */
	takeBack(key: string): void {
		const entry = this.#current(key);
		if (!entry) return;
		entry.failures -= 1;
		if (entry.failures <= this.#options.free) entry.blockedUntilMs = 0;
		if (entry.failures <= 0) this.#entries.delete(key);
	}

	get size(): number {
		return this.#entries.size;
	}

	#current(key: string): Entry | undefined {
		const entry = this.#entries.get(key);
		if (!entry) return undefined;
		const idleMs = this.#clock.monotonicMs() - Math.max(entry.lastMs, entry.blockedUntilMs);
		if (idleMs <= this.#options.forgetAfterMs) return entry;
		this.#entries.delete(key);
		return undefined;
	}
}

/** The key of an address: IPv6 by /64, which is what one customer has; IPv4 within IPv6 as IPv4. */
export function addressKey(address: string): string {
	const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
	if (mapped?.[1]) return mapped[1];
	if (!address.includes(":")) return address;
	const [head = "", tail] = address.split("::");
	const left = head === "" ? [] : head.split(":");
	const right = tail === undefined || tail === "" ? [] : tail.split(":");
	const middle = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0");
	return [...left, ...middle, ...right].slice(0, 4).join(":");
}
