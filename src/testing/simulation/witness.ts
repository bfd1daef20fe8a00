/**
 * Whether the order in which the log applied the operations explains what the clients saw. That is a proof: a history is
 * linearizable when there is one order of its operations that every register explains and that contradicts no real time
 * (Herlihy & Wing 1990), and this is such an order. It costs a sort; the search of linearizability/check-history.ts looks
 * for any order and can take for ever when hundreds of operations are open.
 */
import type { Operation } from "../linearizability/check-history.ts";

/** `point`: the index of the entry by which it took effect, or that a read had seen. Null: it took no effect. */
export type Placed = { operation: Operation; point: number | null };

/** Of one key. False: this order does not explain it; maybe another one does. */
export function isExplainedByLog(history: readonly Placed[]): boolean {
	const order: { operation: Operation; point: number }[] = [];
	for (const { operation, point } of history) {
		if (point !== null) order.push({ operation, point });
		else if (operation.completedAt !== null) return false;
	}
	// Reads come after the entry that they have seen.
	order.sort(
		(a, b) =>
			a.point - b.point ||
			Number(a.operation.kind === "read") - Number(b.operation.kind === "read") ||
			a.operation.invokedAt - b.operation.invokedAt,
	);
	let held: Operation["value"] = null;
	let invokedBefore = 0;
	for (const { operation } of order) {
		// One that comes later in this order had ended before one that comes earlier began.
		if (operation.completedAt !== null && operation.completedAt < invokedBefore) return false;
		invokedBefore = Math.max(invokedBefore, operation.invokedAt);
		switch (operation.kind) {
			case "read":
				if (operation.value !== held) return false;
				break;
			case "write":
				held = operation.value;
				break;
			case "cas": {
				const swaps = operation.expected === held;
				if (operation.completedAt !== null && operation.swapped !== swaps) return false;
				if (swaps) held = operation.value;
				break;
			}
			default:
		}
	}
	return true;
}
