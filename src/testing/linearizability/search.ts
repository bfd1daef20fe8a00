/**
 * Is there an order of one key's operations that explains all their results? Depth first, with a memory of every
 * configuration that was reached: Wing & Gong, "Testing and verifying concurrent objects" (1993), as sped up by Lowe,
 * "Testing for linearizability" (2017); Porcupine works the same way.
 *
 * A configuration is what the rest of the history can still feel: the next completion whose operation has no place
 * yet, what the register holds, and which of the operations pending then have been placed. It does not grow with the
 * history's length. Five shortcuts, none of which loses an order (take an order with the fewest open operations, these
 * as late, its open writes last, and the operations that only look as early as possible: it obeys them all):
 * 1. What only looks, and may, is placed at once: waiting cannot help it and placing it hinders nobody.
 * 2. Of operations with the same effect the one that completes first goes first, open ones last.
 * 3. Open operations are placed only in a run directly before a completed operation that was not possible before the
 *    run and is after it.
 * 4. Within such a run only the first may be a write, and each must change the register.
 * 5. An open write is spared while an open compare-and-set does the same: the write can be used at any time instead.
 */
import { ConfigurationSet } from "./configuration-set.ts";
import { type KeyHistory, none } from "./key-history.ts";

/** Where the numbers of a configuration are. */
const next = 0;
const state = 1;
/** What the register held before the run of open operations that we are in; `none` outside of one. */
const runFrom = 2;
const firstWord = 3;

/** No order exists. `stuckAt` completions is the shortest part of the history that shows it. */
export type Stuck = {
	/** Operation number; all that completed before it can be explained. */
	stuckAt: number;
	/** What the register could have held just then, by value number. */
	states: number[];
	/** The end of one order that explains all before: operation numbers. */
	orderBefore: number[];
};

const orderShown = 6;

export function findOrder(history: KeyHistory, memoryLimitBytes: number): "found" | Stuck {
	return new Search(history, memoryLimitBytes).run();
}

class Search {
	readonly #history: KeyHistory;
	readonly #reached: ConfigurationSet;
	/** The configuration at hand. */
	readonly #here: Int32Array;
	/** By depth: the configuration, the candidate to try next, the end of its candidates. */
	readonly #indexes: number[] = [];
	readonly #cursors: number[] = [];
	readonly #ends: number[] = [];
	readonly #candidates: number[] = [];
	/** By effect: the expansion in which an operation with that effect was last seen. */
	readonly #seen: Int32Array;
	#expansion = 0;
	#furthest = -1;
	#orderBefore: number[] = [];

	constructor(history: KeyHistory, memoryLimitBytes: number) {
		this.#history = history;
		const keyWidth = firstWord + Math.ceil(history.completedBits / 32);
		const width = firstWord + Math.ceil(history.bits / 32);
		this.#reached = new ConfigurationSet(width, keyWidth, memoryLimitBytes);
		this.#here = new Int32Array(width);
		this.#seen = new Int32Array(history.effects);
	}

	run(): "found" | Stuck {
		const here = this.#here;
		here[state] = this.#history.initial;
		here[runFrom] = none;
		if (this.#history.completed === 0) return "found";
		this.#enter();
		while (this.#indexes.length > 0) {
			const depth = this.#indexes.length - 1;
			const cursor = this.#cursors[depth] ?? 0;
			if (cursor === this.#ends[depth]) {
				this.#leave();
				continue;
			}
			this.#cursors[depth] = cursor + 1;
			this.#reached.load(this.#indexes[depth] ?? 0, here);
			this.#place(this.#candidates[cursor] ?? 0);
			if (here[next] === this.#history.completed) return "found";
			this.#enter();
		}
		return { stuckAt: this.#furthest, states: this.#statesAt(this.#furthest), orderBefore: this.#orderBefore };
	}

	/** Goes one deeper, to the configuration at hand, unless it was reached before. */
	#enter(): void {
		const index = this.#reached.add(this.#here);
		if (index < 0) return;
		const at = this.#here[next] ?? 0;
		if (at > this.#furthest) {
			this.#furthest = at;
			this.#orderBefore = this.#cursors.slice(-orderShown).map((cursor) => this.#candidates[cursor - 1] ?? 0);
		}
		this.#indexes.push(index);
		this.#cursors.push(this.#candidates.length);
		this.#expand();
		this.#ends.push(this.#candidates.length);
	}

	#leave(): void {
		this.#indexes.pop();
		this.#cursors.pop();
		this.#ends.pop();
		this.#candidates.length = this.#ends.at(-1) ?? 0;
	}

	/** Changes the configuration at hand: `operation` takes effect, and completions that have their place are passed. */
	#place(operation: number): void {
		const { becomes, bit, completed } = this.#history;
		const here = this.#here;
		if (operation < completed) here[runFrom] = none;
		else if (here[runFrom] === none) here[runFrom] = here[state] ?? 0;
		const after = becomes[operation] ?? none;
		if (after !== none) here[state] = after;
		this.#setBit(bit[operation] ?? 0, true);
		for (let at = here[next] ?? 0; at < completed && this.#isPlaced(at); at++) {
			this.#setBit(bit[at] ?? 0, false);
			here[next] = at + 1;
		}
	}

	/** Appends the operations that may take effect next. */
	#expand(): void {
		const { pending, pendingFrom, becomes, needs, effect } = this.#history;
		const at = this.#here[next] ?? 0;
		const held = this.#here[state] ?? 0;
		const before = this.#here[runFrom] ?? none;
		const end = pendingFrom[at + 1] ?? 0;
		const from = this.#candidates.length;
		this.#expansion++;
		let anyBlocked = false;
		for (let place = pendingFrom[at] ?? 0; place < end; place++) {
			const one = pending[place] ?? 0;
			if (this.#isPlaced(one)) continue;
			const possible = this.#isPossible(one, held);
			if (becomes[one] === none && possible) {
				this.#candidates.length = from;
				this.#candidates.push(one);
				return;
			}
			if (!possible) anyBlocked = true;
			if (!this.#firstOfItsEffect(effect[one] ?? 0) || !possible) continue;
			if (before === none || (needs[one] !== none && needs[one] !== before)) this.#candidates.push(one);
		}
		if (anyBlocked) this.#expandOpen(at, held, before);
	}

	#expandOpen(at: number, held: number, before: number): void {
		const { completed, openAt, needs, becomes, effect } = this.#history;
		const end = completed + (openAt[at] ?? 0);
		const from = this.#candidates.length;
		const writes: number[] = [];
		for (let one = completed; one < end; one++) {
			if (this.#isPlaced(one) || !this.#firstOfItsEffect(effect[one] ?? 0)) continue;
			const after = becomes[one] ?? none;
			if (after === held || after === before || !this.#isPossible(one, held)) continue;
			if (!this.#helps(at, before === none ? held : before, after)) continue;
			if (needs[one] !== none) this.#candidates.push(one);
			else if (before === none) writes.push(one);
		}
		const casEnd = this.#candidates.length;
		for (const write of writes) {
			let spared = false;
			for (let place = from; place < casEnd && !spared; place++)
				spared = becomes[this.#candidates[place] ?? 0] === becomes[write];
			if (!spared) this.#candidates.push(write);
		}
	}

	/** Is anything pending that was not possible at `before` and is at `after`, or may another open one lead on? */
	#helps(at: number, before: number, after: number): boolean {
		const { pending, pendingFrom, anyOpenCas } = this.#history;
		if (anyOpenCas) return true;
		const end = pendingFrom[at + 1] ?? 0;
		for (let place = pendingFrom[at] ?? 0; place < end; place++) {
			const one = pending[place] ?? 0;
			if (!this.#isPlaced(one) && !this.#isPossible(one, before) && this.#isPossible(one, after)) return true;
		}
		return false;
	}

	#isPossible(operation: number, held: number): boolean {
		const needed = this.#history.needs[operation];
		return (needed === none || needed === held) && this.#history.refuses[operation] !== held;
	}

	#firstOfItsEffect(effect: number): boolean {
		if (this.#seen[effect] === this.#expansion) return false;
		this.#seen[effect] = this.#expansion;
		return true;
	}

	#isPlaced(operation: number): boolean {
		const bit = this.#history.bit[operation] ?? 0;
		return (((this.#here[firstWord + (bit >>> 5)] ?? 0) >>> (bit & 31)) & 1) === 1;
	}

	#setBit(bit: number, on: boolean): void {
		const word = firstWord + (bit >>> 5);
		const old = this.#here[word] ?? 0;
		this.#here[word] = on ? old | (1 << (bit & 31)) : old & ~(1 << (bit & 31));
	}

	#statesAt(at: number): number[] {
		const states = new Set<number>();
		for (let index = 0; index < this.#reached.size; index++) {
			this.#reached.load(index, this.#here);
			if (this.#here[next] === at) states.add(this.#here[state] ?? 0);
		}
		return [...states].sort((a, b) => a - b);
	}
}
