/**
 * Connections that have not said yet who they are, bounded in number, in total and by address. When there are too many the
 * oldest goes: an honest node says hello within milliseconds, so that a crowd which only waits does not keep it out.
 */
import { addressKey } from "../auth/failure-limiter.ts";

export type AdmissionLimits = { total: number; perAddress: number };
export const defaultAdmission: AdmissionLimits = { total: 128, perAddress: 32 };

type Waiting = { key: string; drop: () => void };

export class Admission {
	readonly #limits: AdmissionLimits;
	/** In order of arrival. */
	readonly #waiting = new Set<Waiting>();
	/** How many were dropped to make room. */
	dropped = 0;

	constructor(limits: AdmissionLimits) {
		this.#limits = limits;
	}

	get size(): number {
		return this.#waiting.size;
	}

	/** Returns what is to be called when it is known, or gone. */
	admit(address: string, drop: () => void): () => void {
		const key = addressKey(address);
		const same = [...this.#waiting].filter((waiting) => waiting.key === key);
		if (same.length >= this.#limits.perAddress) this.#drop(same[0]);
		else if (this.#waiting.size >= this.#limits.total) this.#drop(this.#waiting.values().next().value);
		const waiting = { key, drop };
		this.#waiting.add(waiting);
		return () => this.#waiting.delete(waiting);
	}

	#drop(waiting: Waiting | undefined): void {
		if (waiting === undefined) return;
		this.#waiting.delete(waiting);
		this.dropped += 1;
		waiting.drop();
	}
}
