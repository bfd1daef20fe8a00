/**
 * Is a history of reads, writes and compare-and-sets on registers linearizable? The entrance for the simulator and
 * for tests; `npm run linearizable` judges files with it.
 *
 * Linearizability is local (Herlihy & Wing 1990): a history is linearizable exactly when each key's part of it is, so
 * keys are judged one by one. Pure: no clock, no randomness, and the same history gives the same explanation.
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import { type KeyHistory, layOut } from "./key-history.ts";
import { describeOperation, type Operation, type Value } from "./operation.ts";
import { findOrder, type Stuck } from "./search.ts";

export type { Operation, Value } from "./operation.ts";

export type Verdict = { linearizable: true } | { linearizable: false; key: string; explanation: string };

export type CheckOptions = {
	/** What every key holds before the first operation. */
	initialValue?: Value;
	/** For the search of one key; 1 GiB unless said otherwise. */
	memoryLimitBytes?: number;
};

/**
 * The order of `operations` does not matter. Throws AppError `too-large` when the memory limit does not suffice to
 * judge, `invalid` for an operation that completes before it is invoked.
 */
export function checkHistory(operations: Iterable<Operation>, options: CheckOptions = {}): Verdict {
	for (const [key, history] of byKey(operations)) {
		const laidOut = layOut(history, options.initialValue ?? null);
		const found = findOrderFor(key, laidOut, options.memoryLimitBytes ?? 1024 ** 3);
		if (found !== "found") return { linearizable: false, key, explanation: explain(key, laidOut, found) };
	}
	return { linearizable: true };
}

function byKey(operations: Iterable<Operation>): Map<string, Operation[]> {
	const keys = new Map<string, Operation[]>();
	for (const operation of operations) {
		const known = keys.get(operation.key);
		if (known) known.push(operation);
		else keys.set(operation.key, [operation]);
	}
	return keys;
}

function findOrderFor(key: string, history: KeyHistory, memoryLimitBytes: number): "found" | Stuck {
	try {
		return findOrder(history, memoryLimitBytes);
	} catch (error) {
		if (!isAppError(error, "too-large")) throw error;
		throw new AppError("too-large", `key ${JSON.stringify(key)}: ${error.message}`, { cause: error });
	}
}

/** How many operations of one sort an explanation lists. */
const listed = 12;

function explain(key: string, history: KeyHistory, stuck: Stuck): string {
	const { operations, completed, openAt, pending, pendingFrom } = history;
	const culprit = operations[stuck.stuckAt];
	if (!culprit) throw new AppError("internal", "The search ended without a place where it got stuck.");
	const describe = (at: number): string => {
		const operation = operations[at];
		return operation ? describeOperation(operation) : "";
	};
	const overlapping = pending
		.slice(pendingFrom[stuck.stuckAt], pendingFrom[stuck.stuckAt + 1])
		.filter((at) => at !== stuck.stuckAt);
	const open = Array.from({ length: openAt[stuck.stuckAt] ?? 0 }, (_, at) => completed + at);
	return [
		`key ${JSON.stringify(key)}: no order of the operations explains the history up to ${culprit.completedAt}, where this one completed:`,
		`  ${describe(stuck.stuckAt)}`,
		`All that completed before it can be explained; the register then held ${heldThen(history, stuck)}.`,
		...list(
			`The ${stuck.orderBefore.length} operations before, in one order that explains them:`,
			stuck.orderBefore.map(describe),
		),
		...list("Not completed then:", overlapping.map(describe)),
		...list("Open, may have taken effect:", open.map(describe)),
	].join("\n");
}

function heldThen(history: KeyHistory, stuck: Stuck): string {
	const names = stuck.states.map((number) => {
		const value = history.values[number];
		return value === undefined ? "a value that nobody asked about" : JSON.stringify(value);
	});
	const more = names.length > listed ? [`one of ${names.length - listed} more`] : [];
	return [...names.slice(0, listed), ...more].join(" or ");
}

function list(title: string, lines: readonly string[]): string[] {
	if (lines.length === 0) return [];
	const more = lines.length > listed ? [`  … and ${lines.length - listed} more`] : [];
	return [title, ...lines.slice(0, listed).map((line) => `  ${line}`), ...more];
}
