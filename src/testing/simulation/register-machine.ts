/**
 * The light state machine: registers, and what each client was answered last, so that a retry is applied once. Beside it
 * a hash over everything that was applied and over what each operation found in the state, which must be the same on all
 * nodes at the same index.
 *
 * Keys are numbered by epoch (key >>> 8): those of old epochs go, and so do clients that were last heard then, so that the
 * state stays small in a long run.
 */
import type { Entry } from "../../raft/types.ts";
import type { Effect, Machine, Operation } from "./machine.ts";

/** What a client is told: whether a compare-and-set found what it expected. */
type Outcome = { sequence: number; swapped: boolean; epoch: number };

const operationBytes = 21;
const keptEpochs = 3;

/** `padding` bytes make entries of different sizes. */
export function encodeOperation(operation: Operation, padding: number): Uint8Array {
	const data = new Uint8Array(operationBytes + padding);
	data[0] = operation.kind === "write" ? 1 : 2;
	putWord(data, 1, operation.client);
	putWord(data, 5, operation.sequence);
	putWord(data, 9, operation.key);
	putWord(data, 13, operation.value);
	putWord(data, 17, operation.expected);
	return data;
}

function putWord(data: Uint8Array, at: number, word: number): void {
	data[at] = word;
	data[at + 1] = word >>> 8;
	data[at + 2] = word >>> 16;
	data[at + 3] = word >>> 24;
}

const wordAt = (data: Uint8Array, at: number): number =>
	((data[at] as number) |
		((data[at + 1] as number) << 8) |
		((data[at + 2] as number) << 16) |
		((data[at + 3] as number) << 24)) >>>
	0;

/** Of an entry; what is beyond an operation's own bytes only counts by its length. */
export function hashEntry(term: number, data: Uint8Array): number {
	let hash = Math.imul(term ^ 0x811c9dc5, 0x01000193) ^ data.length;
	for (let at = 0; at < data.length; at++) hash = Math.imul(hash ^ (data[at] as number), 0x01000193);
	return hash;
}

export class RegisterMachine implements Machine {
	index = 0;
	hash = 0x1234567;
	readonly #registers = new Map<number, number>();
	readonly #sessions = new Map<number, Outcome>();
	#epoch = 0;

	apply({ index, kind, data }: Entry, entryHash: number): Effect | null {
		this.index = index;
		this.hash = (Math.imul(this.hash, 0x9e3779b1) ^ entryHash) | 0;
		if (kind !== "command" || data.length < operationBytes) return null;
		const client = wordAt(data, 1);
		const sequence = wordAt(data, 5);
		const key = wordAt(data, 9);
		if (key >>> 8 > this.#epoch) this.#turnTo(key >>> 8);
		const known = this.#sessions.get(client);
		this.#found(this.read(key));
		this.#found(known?.sequence ?? 0);
		if (this.#isExpired(key) || (known !== undefined && known.sequence >= sequence)) return null;
		this.#sessions.set(client, { sequence, swapped: this.#execute(key, data), epoch: key >>> 8 });
		return { client, sequence };
	}

	#found(value: number): void {
		this.hash = Math.imul(this.hash ^ value, 0x01000193);
	}

	/** Too old to be done: whoever asked for it has given up, and nobody knows any more whether it was done before. */
	#isExpired(key: number): boolean {
		return key >>> 8 < this.#epoch - keptEpochs;
	}

	#execute(key: number, data: Uint8Array): boolean {
		if (data[0] === 2 && (this.#registers.get(key) ?? 0) !== wordAt(data, 17)) return false;
		this.#registers.set(key, wordAt(data, 13));
		return true;
	}

	#turnTo(epoch: number): void {
		this.#epoch = epoch;
		for (const key of this.#registers.keys()) if (this.#isExpired(key)) this.#registers.delete(key);
		for (const [client, session] of this.#sessions)
			if (session.epoch < epoch - keptEpochs) this.#sessions.delete(client);
	}

	resultOf({ client, sequence, key }: Operation): boolean | "expired" | "missing" {
		if (this.#isExpired(key)) return "expired";
		const known = this.#sessions.get(client);
		if (known === undefined || known.sequence < sequence) return "missing";
		return known.sequence === sequence ? known.swapped : "expired";
	}

	generation(): number {
		return 0;
	}

	/** 0 for a register that was never written. */
	read(key: number): number {
		return this.#registers.get(key) ?? 0;
	}

	save(): Uint8Array {
		const words = new Uint32Array(5 + 2 * this.#registers.size + 4 * this.#sessions.size);
		words[0] = this.index;
		words[1] = this.hash;
		words[2] = this.#epoch;
		words[3] = this.#registers.size;
		words[4] = this.#sessions.size;
		let at = 5;
		for (const [key, value] of this.#registers) {
			words[at++] = key;
			words[at++] = value;
		}
		for (const [client, { sequence, swapped, epoch }] of this.#sessions) {
			words[at++] = client;
			words[at++] = sequence;
			words[at++] = swapped ? 1 : 0;
			words[at++] = epoch;
		}
		return new Uint8Array(words.buffer);
	}

	restore(saved: Uint8Array | null): void {
		const data = saved ?? new RegisterMachine().save();
		this.#registers.clear();
		this.#sessions.clear();
		let at = 0;
		const word = (): number => {
			at += 4;
			return at <= data.length ? wordAt(data, at - 4) : 0;
		};
		this.index = word();
		this.hash = word() | 0;
		this.#epoch = word();
		const registers = word();
		const sessions = word();
		for (let each = 0; each < registers && at < data.length; each++) this.#registers.set(word(), word());
		for (let each = 0; each < sessions && at < data.length; each++)
			this.#sessions.set(word(), { sequence: word(), swapped: word() === 1, epoch: word() });
	}

	close(): void {}
}
