/**
 * Histories for tests, from a seed: clients of a register that really is one (each operation takes effect at one
 * instant between its invocation and its end), so they are linearizable until somebody changes a result.
 */
import type { Operation, Value } from "./operation.ts";

export type HistoryShape = {
	seed: number;
	operations: number;
	processes: number;
	/** How many different values are written; `unique`: each write has its own. */
	values: number | "unique";
	/** Share of operations whose outcome nobody learns; half of them never take effect. */
	openShare: number;
};

export function randomHistory(shape: HistoryShape): Operation[] {
	const random = generator(shape.seed);
	const below = (limit: number): number => Math.floor(random() * limit);
	const operations: Operation[] = [];
	const pending: { at: number; done: boolean }[] = [];
	let held: Value = null;
	let written = 0;
	const newValue = (): Value => (shape.values === "unique" ? ++written : below(shape.values));
	const takeEffect = (operation: Operation): void => {
		if (operation.kind === "read") operation.value = held;
		else if (operation.kind === "write") held = operation.value;
		else {
			operation.swapped = operation.expected === held;
			if (operation.swapped) held = operation.value;
		}
	};
	for (let now = 0; operations.length < shape.operations || pending.length > 0; now++) {
		const mayInvoke = operations.length < shape.operations && pending.length < shape.processes;
		if (mayInvoke && (pending.length === 0 || random() < 0.6)) {
			const interval = { process: operations.length, key: "x", invokedAt: now, completedAt: null };
			const die = random();
			if (die < 0.45) operations.push({ ...interval, kind: "read", value: null });
			else if (die < 0.8) operations.push({ ...interval, kind: "write", value: newValue() });
			else operations.push({ ...interval, kind: "cas", expected: held, value: newValue(), swapped: false });
			pending.push({ at: operations.length - 1, done: false });
			continue;
		}
		const chosen = below(pending.length);
		const one = pending[chosen];
		const operation = one && operations[one.at];
		if (!one || !operation) continue;
		if (!one.done) {
			one.done = true;
			const lost = random() < shape.openShare;
			if (!lost || random() < 0.5) takeEffect(operation);
			if (!lost) continue;
		} else operation.completedAt = now;
		pending.splice(chosen, 1);
	}
	return operations;
}

/** mulberry32: small, and the same everywhere. */
export function generator(seed: number): () => number {
	let state = seed | 0;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}
