/**
 * One life of a process, for tests of what survives its end: everything that the process touches is wrapped, each call is
 * a point at which it can be killed (before the call takes effect, or after, with the answer lost), and from then on it
 * is dead: its calls never come back and change nothing, its timers and listeners are silent.
 */
import type { Clock, Timer } from "../../lib/clock.ts";

export type KillPoint = { call: number; when: "before" | "after" };

const never = new Promise<never>(() => {});

export class Life {
	/** Names of the calls so far, in order. */
	readonly calls: string[] = [];
	#kill: KillPoint | null;
	readonly #onDeath: () => void;
	#dead = false;

	constructor(kill: KillPoint | null = null, onDeath: () => void = () => {}) {
		this.#kill = kill;
		this.#onDeath = onDeath;
	}

	get dead(): boolean {
		return this.#dead;
	}

	/** Calls are counted from 1, from the beginning of this life. */
	killAt(point: KillPoint): void {
		this.#kill = point;
	}

	end(): void {
		if (this.#dead) return;
		this.#dead = true;
		this.#onDeath();
	}

	async around<T>(name: string, work: () => Promise<T>): Promise<T> {
		if (this.#dead) return never;
		const number = this.calls.push(name);
		if (this.#kill?.call === number && this.#kill.when === "before") {
			this.end();
			return never;
		}
		try {
			return await work();
		} finally {
			if (this.#kill?.call === number && this.#kill.when === "after") this.end();
			if (this.#dead) await never;
		}
	}

	/** The object with each of its asynchronous methods as a point. Synchronous ones pass through. */
	wrap<T extends object>(label: string, object: T, passThrough: readonly (keyof T)[] = []): T {
		return new Proxy(object, {
			get: (target, key) => {
				const value: unknown = Reflect.get(target, key, target);
				if (typeof value !== "function") return value;
				const method = value.bind(target) as (...args: unknown[]) => unknown;
				if (passThrough.includes(key as keyof T)) return method;
				return (...args: unknown[]) => this.around(`${label}.${String(key)}`, async () => method(...args));
			},
		});
	}

	/** A subscription that is silent after death. */
	listener<A extends unknown[]>(listen: (...args: A) => void): (...args: A) => void {
		return (...args) => {
			if (!this.#dead) listen(...args);
		};
	}

	clock(clock: Clock): Clock {
		return {
			nowMs: () => clock.nowMs(),
			monotonicMs: () => clock.monotonicMs(),
			schedule: (delayMs: number, callback: () => void): Timer =>
				clock.schedule(delayMs, () => {
					if (!this.#dead) callback();
				}),
		};
	}
}
