/**
 * The calls of a driver that are under way. A test that fails leaves some behind; those must not meet the next test, whose pool may be in the
 * same place.
 */
import { delay, systemClock } from "../lib/clock.ts";

export class DriverCalls {
	readonly #pending = new Set<Promise<unknown>>();

	/** The same object, whose calls are counted. */
	watch<T extends object>(object: T): T {
		return new Proxy(object, {
			get: (target, key) => {
				const value: unknown = Reflect.get(target, key, target);
				if (key === "snapshots" && typeof value === "object" && value !== null) return this.watch(value);
				if (typeof value !== "function") return value;
				return (...args: unknown[]) => {
					const answer: unknown = value.apply(target, args);
					if (answer instanceof Promise) this.#count(answer);
					return answer;
				};
			},
		});
	}

	#count(answer: Promise<unknown>): void {
		this.#pending.add(answer);
		const end = () => this.#pending.delete(answer);
		answer.then(end, end);
	}

	/** Resolves when there are none, or it was waited for long enough. */
	async ended(limitMs: number): Promise<void> {
		const abort = new AbortController();
		const late = delay(systemClock, limitMs, abort.signal).catch(() => {});
		while (this.#pending.size > 0) {
			const how = await Promise.race([Promise.allSettled(this.#pending), late.then(() => "late")]);
			if (how === "late") break;
		}
		abort.abort();
	}
}
