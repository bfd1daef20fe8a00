/** Failures and slowness on demand, for fakes: the next calls of a method fail, take their time, or wait to be let go. */
import type { Clock } from "../lib/clock.ts";
import { delay } from "../lib/clock.ts";

export type Fault = {
	/** Only calls for this object; without it, for any. */
	id?: string;
	/** How many calls (default 1). */
	times?: number;
	/**
	 * before (default): nothing happens and the call fails. after: it happens and the answer is lost, as when the
	 * connection breaks.
	 */
	when?: "before" | "after";
};

export type Held = {
	/** Resolves when a call has arrived. */
	readonly reached: Promise<void>;
	/** Lets the call go on. */
	release(): void;
};

type Rule = Required<Omit<Fault, "id">> & { method: string; id: string | undefined } & (
		| { kind: "fail"; error: Error }
		| { kind: "slow"; delayMs: number }
		| { kind: "hold"; arrived: () => void; released: Promise<void> }
	);

export class Faults {
	readonly #clock: Clock;
	#rules: Rule[] = [];

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	fail(method: string, error: Error, fault: Fault = {}): void {
		this.#rules.push({ ...this.#common(method, fault), kind: "fail", error });
	}

	slow(method: string, delayMs: number, fault: Fault = {}): void {
		this.#rules.push({ ...this.#common(method, fault), kind: "slow", delayMs });
	}

	hold(method: string, fault: Fault = {}): Held {
		const reached = Promise.withResolvers<void>();
		const released = Promise.withResolvers<void>();
		this.#rules.push({
			...this.#common(method, fault),
			kind: "hold",
			arrived: reached.resolve,
			released: released.promise,
		});
		return { reached: reached.promise, release: released.resolve };
	}

	clear(): void {
		this.#rules = [];
	}

	/** Runs `effect` as method `method` of object `id`, with the faults that are due. */
	async around<T>(method: string, id: string | undefined, effect: () => T | Promise<T>): Promise<T> {
		await this.#apply(method, id, "before");
		const result = await effect();
		await this.#apply(method, id, "after");
		return result;
	}

	async #apply(method: string, id: string | undefined, when: "before" | "after"): Promise<void> {
		const due = this.#rules.filter(
			(rule) => rule.method === method && rule.when === when && (rule.id === undefined || rule.id === id),
		);
		for (const rule of due) rule.times -= 1;
		this.#rules = this.#rules.filter((rule) => rule.times > 0);
		for (const rule of due) {
			if (rule.kind === "slow") await delay(this.#clock, rule.delayMs);
			if (rule.kind === "hold") {
				rule.arrived();
				await rule.released;
			}
			if (rule.kind === "fail") throw rule.error;
		}
	}

	#common(method: string, fault: Fault) {
		return { method, id: fault.id, times: fault.times ?? 1, when: fault.when ?? ("before" as const) };
	}
}
