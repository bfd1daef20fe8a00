/**
 * Between a node's log and its light state, as the daemon's store is (store/replicated-store.ts): what was handed over is
 * applied later, in groups of any size, now and then after a longer hold, and the consensus is told how far the state is.
 * What waits when a snapshot takes the place of the state is not applied any more.
 */
import type { Entry } from "../../raft/types.ts";
import type { Random } from "./random.ts";

const holdChance = 0.02;
const holdMs = 300;

export type ApplyingOptions = {
	random: Random;
	/** At most, apart from holds; 0: at once. */
	lagMs: number;
	later: (delayMs: number, run: () => void) => void;
	apply: (entries: readonly Entry[]) => void;
};

export class Applying {
	readonly #options: ApplyingOptions;
	#waiting: Entry[] = [];
	#scheduled = false;
	/** Handed over up to here. */
	index = 0;

	constructor(options: ApplyingOptions) {
		this.#options = options;
	}

	/** `now`: during a start, which waits for it. */
	add(entries: readonly Entry[], now: boolean): void {
		this.index = entries.at(-1)?.index ?? this.index;
		if (this.#waiting.length === 0 && (now || this.#options.lagMs === 0)) {
			this.#options.apply(entries);
			return;
		}
		for (const entry of entries) this.#waiting.push(entry);
		this.#schedule();
	}

	replaced(): void {
		this.#waiting = [];
	}

	#schedule(): void {
		if (this.#scheduled) return;
		this.#scheduled = true;
		const { random, lagMs, later } = this.#options;
		later(1 + random.below(random.chance(holdChance) ? holdMs : lagMs), () => {
			this.#scheduled = false;
			const all = this.#waiting.length;
			if (all === 0) return;
			this.#options.apply(this.#waiting.splice(0, random.chance(0.5) ? all : random.between(1, all)));
			if (this.#waiting.length > 0) this.#schedule();
		});
	}
}
