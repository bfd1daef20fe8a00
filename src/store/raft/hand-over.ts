/**
 * Hands committed entries to the state, in order and each once. Those that the core does not hold in memory any more are
 * read from the log; what comes meanwhile waits for its turn.
 */
import { assert } from "../../lib/assert.ts";
import { planted } from "../../raft/mutants.ts";
import type { Committed, Entry } from "../../raft/types.ts";
import type { RaftDisk } from "./disk.ts";

export type HandOverParts = {
	disk: RaftDisk;
	/** What the state holds. */
	appliedIndex: number;
	deliver: (entries: readonly Entry[]) => void;
	/** Everything that waited was delivered. */
	onIdle: () => void;
	onFailed: (error: unknown) => void;
};

const readBytes = 1024 * 1024;

export class HandOver {
	readonly #parts: HandOverParts;
	#waiting: Committed[] = [];
	#reading = false;
	/** Counts stops: what was asked for before one is not delivered after it. */
	#epoch = 0;
	#stopped = false;
	#index: number;

	constructor(parts: HandOverParts) {
		this.#parts = parts;
		this.#index = parts.appliedIndex;
	}

	/** Delivered up to here. */
	get index(): number {
		return this.#index;
	}

	get idle(): boolean {
		return !this.#reading && this.#waiting.length === 0;
	}

	/** Nothing will be delivered before somebody calls. */
	get waits(): boolean {
		if (this.#reading && !planted(this.#parts.disk, "hand-over-not-stopped")) return false;
		return this.#stopped || this.#waiting.length === 0;
	}

	add(committed: Committed): void {
		if (this.idle && !this.#stopped && committed.entries !== null) this.#deliver(committed.entries);
		else {
			this.#waiting.push(committed);
			this.#continue();
		}
	}

	/** A snapshot may take the place of the state: nothing is delivered until it is known. */
	stop(): void {
		this.#stopped = true;
		this.#epoch += 1;
	}

	/** As before. */
	goOn(): void {
		this.#stopped = false;
		this.#continue();
	}

	/** The state now holds everything up to `index`, which is more than what waits. */
	goOnAfter(index: number): void {
		this.#stopped = false;
		this.#waiting = [];
		this.#index = index;
	}

	#continue(): void {
		if (!this.#reading && !this.#stopped && this.#waiting.length > 0) this.#work().catch(this.#parts.onFailed);
	}

	async #work(): Promise<void> {
		this.#reading = true;
		try {
			const epoch = this.#epoch;
			for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
				if (next.entries !== null) this.#deliver(next.entries);
				else if (!(await this.#read(next, epoch))) break;
				this.#waiting.shift();
			}
		} finally {
			this.#reading = false;
		}
		this.#continue();
		if (this.idle) this.#parts.onIdle();
	}

	/** False when it was stopped meanwhile. */
	async #read({ firstIndex, lastIndex }: Committed, epoch: number): Promise<boolean> {
		// What was stopped goes on where it was.
		for (let index = Math.max(firstIndex, this.#index + 1); index <= lastIndex; ) {
			const entries = await this.#parts.disk.read(index, lastIndex, readBytes);
			if (epoch !== this.#epoch && !planted(this.#parts.disk, "hand-over-not-stopped")) return false;
			assert(entries.length > 0, `the log has the committed entry ${index}`);
			this.#deliver(entries);
			index += entries.length;
		}
		return true;
	}

	#deliver(entries: readonly Entry[]): void {
		assert(
			entries[0]?.index === this.#index + 1,
			() => `entry ${entries[0]?.index} is handed over after ${this.#index}`,
		);
		this.#index += entries.length;
		this.#parts.deliver(entries);
	}
}
