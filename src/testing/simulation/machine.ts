/**
 * What a node's state is to the simulation: a light one (register-machine.ts) or the daemon's own store on SQLite
 * (store-machine.ts). Registers by key, and what came of each client's operations, so that a retry is done once.
 */
import type { Entry } from "../../raft/types.ts";

export type Operation = {
	kind: "write" | "cas";
	client: number;
	sequence: number;
	key: number;
	value: number;
	expected: number;
	/** That the register had with the value that is expected, where that counts. */
	generation: number;
};

/** An operation as a client asks for it; `data`: as an entry of the light state. `attempts`: to have it done, so far. */
export type Request = { operation: Operation; data: Uint8Array; attempts: number };

/** Whose operation an entry did. */
export type Effect = { client: number; sequence: number };

export interface Machine {
	readonly index: number;
	/** The same on all nodes at the same index. */
	readonly hash: number;
	/** Null when nobody's operation took effect, or it had already. `entryHash`: over term and data. */
	apply(entry: Entry, entryHash: number): Effect | null;
	/** Whether a compare-and-set swapped, true for a write; "expired" when nobody knows any more. */
	resultOf(operation: Operation): boolean | "expired" | "missing";
	/** 0 for a register that was never written. */
	read(key: number): number;
	/** How often it was written, where a compare-and-set goes by that; else 0. */
	generation(key: number): number;
	/** The whole state as a snapshot's file. */
	save(): Uint8Array;
	/** Back to what was saved; null: to the beginning. */
	restore(saved: Uint8Array | null): void;
	close(): void;
}
