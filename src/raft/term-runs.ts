/** The terms of a log's entries, kept as runs of equal ones: a handful for millions of entries. */
import { assert } from "../lib/assert.ts";
import type { TermRun } from "./types.ts";

export class TermRuns {
	readonly #firstIndexes: number[] = [];
	readonly #terms: number[] = [];

	constructor(runs: readonly TermRun[]) {
		for (const { firstIndex, term } of runs) this.append(firstIndex, term);
	}

	/** Entries from `index` on are of `term`, until another run begins. */
	append(index: number, term: number): void {
		const last = this.#terms.length - 1;
		if (last >= 0) {
			assert((this.#firstIndexes[last] as number) < index, "term runs ascend");
			const before = this.#terms[last] as number;
			if (before === term) return;
			assert(before < term, `terms never fall: ${term} after ${before}`);
		}
		this.#firstIndexes.push(index);
		this.#terms.push(term);
	}

	/** Null before the first run. The caller knows where the log ends. */
	termAt(index: number): number | null {
		const run = this.#runOf(index);
		return run < 0 ? null : (this.#terms[run] as number);
	}

	truncateAfter(index: number): void {
		while (this.#terms.length > 0 && (this.#firstIndexes.at(-1) as number) > index) {
			this.#firstIndexes.pop();
			this.#terms.pop();
		}
	}

	/** Forgets entries up to `index`, one that is there. */
	compact(index: number): void {
		const run = this.#runOf(index);
		if (run < 0) return;
		this.#firstIndexes.splice(0, run);
		this.#terms.splice(0, run);
		this.#firstIndexes[0] = index + 1;
		if (this.#firstIndexes[1] === index + 1) {
			this.#firstIndexes.shift();
			this.#terms.shift();
		}
	}

	clear(): void {
		this.#firstIndexes.length = 0;
		this.#terms.length = 0;
	}

	/** The last index up to `maxIndex` whose term is at most `term`; null when there is none. */
	lastIndexOfTermAtMost(maxIndex: number, term: number): number | null {
		let end = maxIndex;
		for (let run = this.#runOf(maxIndex); run >= 0; run--) {
			if ((this.#terms[run] as number) <= term) return end;
			end = (this.#firstIndexes[run] as number) - 1;
		}
		return null;
	}

	/** From the back: questions are nearly always about the last run. */
	#runOf(index: number): number {
		let run = this.#firstIndexes.length - 1;
		while (run >= 0 && (this.#firstIndexes[run] as number) > index) run -= 1;
		return run;
	}
}
