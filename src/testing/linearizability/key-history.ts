/**
 * One key's history, laid out for the search: numbers for values, operations by order of completion, and for each
 * completion what is pending when it comes. Made once, never changed.
 *
 * Every operation is reduced to what it asks of the register and does to it: `needs` (a read's result, what a
 * compare-and-set expects), `refuses` (what one that answered "held something else" cannot have met), `becomes`.
 * Values that nothing needs or refuses cannot be told apart by anybody and become one.
 */
import { AppError } from "../../lib/errors.ts";
import type { Operation, Value } from "./operation.ts";

export const none = -1;

export type KeyHistory = {
	/** Completed operations by order of completion, then the open ones that could matter, by order of invocation. */
	operations: Operation[];
	completed: number;
	needs: Int32Array;
	refuses: Int32Array;
	/** What the register holds afterwards; `none`: it only looks. */
	becomes: Int32Array;
	/** Operations with equal needs, refuses and becomes have one number. */
	effect: Int32Array;
	effects: number;
	/** The operation's bit in a configuration. Completed operations share bits with those that they cannot overlap. */
	bit: Int32Array;
	bits: number;
	/** A multiple of 32: the bits below are completed operations', the bits from here on open ones'. */
	completedBits: number;
	/** Operations pending at completion `at`, itself included, ascending: pending[pendingFrom[at]..pendingFrom[at+1]]. */
	pendingFrom: Int32Array;
	pending: number[];
	/** How many of the open operations were invoked by completion `at`. */
	openAt: Int32Array;
	anyOpenCas: boolean;
	initial: number;
	/** By number; several values that cannot be told apart are `undefined` together. */
	values: (Value | undefined)[];
};

/** How many operations may be pending in sum over all completions: 256 MB. */
const maximumPending = 32_000_000;

export function layOut(history: readonly Operation[], initialValue: Value): KeyHistory {
	for (const one of history)
		if (Number.isNaN(one.invokedAt) || (one.completedAt !== null && !(one.completedAt >= one.invokedAt)))
			throw new AppError("invalid", `An operation completes before it is invoked: ${JSON.stringify(one)}`);
	const completed = history
		.filter((one) => one.completedAt !== null)
		.sort((a, b) => (a.completedAt ?? 0) - (b.completedAt ?? 0) || a.invokedAt - b.invokedAt);
	const values = numberValues(history);
	const anyRefusal = completed.some((one) => one.kind === "cas" && !one.swapped);
	const open = history
		.filter((one) => one.completedAt === null && couldMatter(one, anyRefusal, values))
		.sort((a, b) => a.invokedAt - b.invokedAt);
	const operations = [...completed, ...open];
	const pending = overlaps(operations, completed.length);
	return {
		operations,
		completed: completed.length,
		...effects(operations, values),
		...pending,
		anyOpenCas: open.some((one) => one.kind === "cas"),
		initial: values.get(initialValue) ?? 0,
		values: [undefined, ...values.keys()],
	};
}

/** 0 is every value that nobody can tell from the others. */
function numberValues(history: readonly Operation[]): Map<Value, number> {
	const values = new Map<Value, number>();
	const add = (value: Value): void => {
		if (!values.has(value)) values.set(value, values.size + 1);
	};
	for (const one of history) {
		if (one.kind === "cas") add(one.expected);
		if (one.kind === "read" && one.completedAt !== null) add(one.value);
	}
	return values;
}

/** An open operation that leaves no trace need not be tried. */
function couldMatter(one: Operation, anyRefusal: boolean, values: Map<Value, number>): boolean {
	if (one.kind === "read") return false;
	if (one.kind === "cas" && one.expected === one.value) return false;
	return anyRefusal || values.has(one.value);
}

function effects(operations: readonly Operation[], values: Map<Value, number>) {
	const column = (): Int32Array => new Int32Array(operations.length).fill(none);
	const [needs, refuses, becomes, effect] = [column(), column(), column(), column()];
	const numbers = new Map<string, number>();
	operations.forEach((one, at) => {
		const number = values.get(one.value) ?? 0;
		if (one.kind === "read") needs[at] = number;
		else if (one.kind === "write") becomes[at] = number;
		else {
			const expected = values.get(one.expected) ?? 0;
			if (one.completedAt !== null && !one.swapped) refuses[at] = expected;
			else {
				needs[at] = expected;
				if (expected !== number) becomes[at] = number;
			}
		}
		const name = `${needs[at]} ${refuses[at]} ${becomes[at]}`;
		const known = numbers.get(name) ?? numbers.size;
		numbers.set(name, known);
		effect[at] = known;
	});
	return { needs, refuses, becomes, effect, effects: numbers.size };
}

/** Walks through the history once: hands out bits, frees them, and notes what is pending at each completion. */
function overlaps(operations: readonly Operation[], completed: number) {
	const invocations = Array.from({ length: completed }, (_, at) => at).sort(
		(a, b) => (operations[a]?.invokedAt ?? 0) - (operations[b]?.invokedAt ?? 0),
	);
	const bit = new Int32Array(operations.length);
	const pendingFrom = new Int32Array(completed + 1);
	const openAt = new Int32Array(completed);
	const pending: number[] = [];
	const free: number[] = [];
	let now: number[] = [];
	let bits = 0;
	let invoked = 0;
	let opened = completed;
	for (let at = 0; at < completed; at++) {
		const time = operations[at]?.completedAt ?? 0;
		let grew = false;
		for (; invoked < completed; invoked++) {
			const next = invocations[invoked] ?? 0;
			if ((operations[next]?.invokedAt ?? 0) > time) break;
			bit[next] = free.pop() ?? bits++;
			now.push(next);
			grew = true;
		}
		if (grew) now.sort((a, b) => a - b);
		while (opened < operations.length && (operations[opened]?.invokedAt ?? 0) <= time) opened++;
		openAt[at] = opened - completed;
		for (const one of now) pending.push(one);
		if (pending.length > maximumPending)
			throw new AppError("too-large", "Too many operations on one key overlap to be judged.");
		pendingFrom[at + 1] = pending.length;
		free.push(bit[at] ?? 0);
		now = now.slice(1); // The first to complete is the smallest number.
	}
	const completedBits = Math.ceil(bits / 32) * 32;
	for (let at = completed; at < operations.length; at++) bit[at] = completedBits + at - completed;
	return { bit, bits: completedBits + operations.length - completed, completedBits, pendingFrom, pending, openAt };
}
