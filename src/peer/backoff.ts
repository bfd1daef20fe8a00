/** How long to wait before connecting again: longer each time, up to a limit, spread so that nodes do not act in step. */
import type { Random } from "../lib/random.ts";

export type BackoffOptions = { firstMs: number; maxMs: number };

export class Backoff {
	readonly #options: BackoffOptions;
	readonly #random: Random;
	#failures = 0;

	constructor(options: BackoffOptions, random: Random) {
		this.#options = options;
		this.#random = random;
	}

	get failures(): number {
		return this.#failures;
	}

	/** After a failure: between half and all of the step's length, at least `leastMs`. */
	nextMs(leastMs = 0): number {
		const { firstMs, maxMs } = this.#options;
		const stepMs = Math.max(leastMs, Math.min(maxMs, firstMs * 2 ** Math.min(this.#failures, 20)));
		this.#failures += 1;
		const [byte = 0] = this.#random.bytes(1);
		return stepMs / 2 + (stepMs / 2) * (byte / 255);
	}

	reset(): void {
		this.#failures = 0;
	}
}
