/**
 * What a client did to a register, and how it ended, as the checker looks at it. An operation that certainly did not
 * happen is left out of a history; one whose outcome nobody knows is open (`completedAt: null`): it may take effect
 * at any time after its invocation, at most once, or never.
 */

/** What a register holds; `null` is "nothing", as before the first write. Equal means `===`. */
export type Value = string | number | boolean | null;

type Interval = {
	process: string | number;
	key: string;
	/**
	 * Any clock on which all of a history's operations agree: ms, ticks, numbers of lines. One operation is before
	 * another only when it completed at a smaller number than the other was invoked at; at equal numbers they overlap.
	 */
	invokedAt: number;
	completedAt: number | null;
};

export type Operation = Interval &
	(
		| { kind: "read" /** What it returned; of an open read it is not looked at. */; value: Value }
		| { kind: "write"; value: Value }
		| {
				kind: "cas";
				expected: Value;
				value: Value;
				/** false: it answered that the register held something else. Not looked at when open. */
				swapped: boolean;
		  }
	);

const show = (value: Value): string => JSON.stringify(value);

/** One operation for people: `process 3: read → 1 (10 to 14)`. */
export function describeOperation(operation: Operation): string {
	const interval = `(${operation.invokedAt} ${operation.completedAt === null ? "on, open" : `to ${operation.completedAt}`})`;
	return `process ${operation.process}: ${describeEffect(operation)} ${interval}`;
}

function describeEffect(operation: Operation): string {
	switch (operation.kind) {
		case "read":
			return `read → ${operation.completedAt === null ? "?" : show(operation.value)}`;
		case "write":
			return `write ${show(operation.value)}`;
		case "cas": {
			const outcome = operation.completedAt === null ? "" : operation.swapped ? " → swapped" : " → held something else";
			return `compare-and-set ${show(operation.expected)} to ${show(operation.value)}${outcome}`;
		}
	}
}
