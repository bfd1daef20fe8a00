/** Linearizability by its definition, for tests of the checker: tries every order of every choice of open operations. */
import type { Operation, Value } from "./operation.ts";

/** For at most 8 operations or so, on one key that holds `null` at first. */
export function isLinearizableByDefinition(operations: readonly Operation[]): boolean {
	return canGoOn(operations, null);
}

function canGoOn(left: readonly Operation[], held: Value): boolean {
	if (left.every((one) => one.completedAt === null)) return true;
	return left.some((one) => {
		const isFirst = left.every((other) => other.completedAt === null || other.completedAt >= one.invokedAt);
		const after = isFirst ? effectOn(held, one) : undefined;
		return (
			after !== undefined &&
			canGoOn(
				left.filter((other) => other !== one),
				after,
			)
		);
	});
}

/** What the register holds afterwards; `undefined`: the result cannot come about. */
function effectOn(held: Value, one: Operation): Value | undefined {
	switch (one.kind) {
		case "read":
			return one.completedAt === null || one.value === held ? held : undefined;
		case "write":
			return one.value;
		case "cas":
			if (one.completedAt === null) return one.expected === held ? one.value : held;
			if (one.swapped !== (one.expected === held)) return undefined;
			return one.swapped ? one.value : held;
	}
}
