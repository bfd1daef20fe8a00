/** The checker on histories made by hand, against the definition on random ones, and its bounds. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { isLinearizableByDefinition } from "./brute-force.ts";
import { checkHistory, type Operation, type Value } from "./check-history.ts";
import { randomHistory } from "./random-history.ts";

let process = 0;
const interval = (invokedAt: number, completedAt: number | null, key: string) => ({
	process: process++,
	key,
	invokedAt,
	completedAt,
});
const read = (from: number, to: number | null, value: Value, key = "x"): Operation => ({
	...interval(from, to, key),
	kind: "read",
	value,
});
const write = (from: number, to: number | null, value: Value, key = "x"): Operation => ({
	...interval(from, to, key),
	kind: "write",
	value,
});
const cas = (from: number, to: number | null, expected: Value, value: Value, swapped = true): Operation => ({
	...interval(from, to, "x"),
	kind: "cas",
	expected,
	value,
	swapped,
});

const linearizable: [string, Operation[]][] = [
	["nothing", []],
	["a register that nobody wrote is null", [read(1, 2, null)]],
	["a read that overlaps a write may see it or not", [write(1, 6, 1), read(2, 3, null), read(4, 5, 1)]],
	["overlapping writes in either order", [write(1, 4, 1), write(2, 3, 2), read(5, 6, 1)]],
	["overlap at one instant", [write(1, 2, 1), read(2, 3, null)]],
	["a cas that failed beside a write that came first", [write(1, 4, 1), cas(2, 3, null, 2, false), read(5, 6, 1)]],
	["an open write takes effect late", [write(1, null, 1), read(2, 3, null), read(4, 5, null), read(6, 7, 1)]],
	["an open write never takes effect", [write(1, null, 1), write(2, 3, 2), read(4, 5, 2)]],
	["an open cas waits for its value", [cas(1, null, 7, 8), read(2, 3, null), write(4, 5, 7), read(6, 7, 8)]],
	["an open cas that found something else", [cas(1, null, 7, 8), write(2, 3, 1), read(4, 5, 1)]],
	["open operations one after the other", [write(1, null, 1), cas(2, null, 1, 2), cas(3, null, 2, 3), read(4, 5, 3)]],
	["an open write makes a cas fail", [write(1, 2, 1), write(3, null, 9), cas(4, 5, 1, 2, false), write(6, 7, 3)]],
	["an open read says nothing", [write(1, 2, 1), read(3, null, 5), read(4, 5, 1)]],
	["keys do not know each other", [write(1, 2, 1, "x"), write(3, 4, 2, "y"), read(5, 6, 1, "x"), read(7, 8, 2, "y")]],
];
const notLinearizable: [string, Operation[]][] = [
	["stale read", [write(1, 2, 1), write(3, 4, 2), read(5, 6, 1)]],
	["a value from nowhere", [write(1, 2, 1), read(3, 4, 2)]],
	["a read before the write", [read(1, 2, 1), write(3, 4, 1)]],
	["lost update", [write(1, 2, 0), cas(3, 6, 0, 1), cas(4, 7, 0, 2)]],
	["lost write", [write(1, 2, 1), read(3, 4, null)]],
	["reads go back", [write(1, 9, 1), read(2, 3, 1), read(4, 5, null)]],
	["two readers disagree", [write(1, 8, 1), write(1, 8, 2), read(9, 10, 1), read(11, 12, 2)]],
	["a cas that failed and took effect", [write(1, 2, 1), cas(3, 4, 1, 2, false), read(5, 6, 2)]],
	["a cas that failed although its value was there", [write(1, 2, 1), cas(3, 4, 1, 2, false), read(5, 6, 1)]],
	[
		"an open write takes effect twice",
		[write(1, null, 1), read(2, 3, 1), write(4, 5, 2), read(6, 7, 2), read(8, 9, 1)],
	],
	[
		"an open cas takes effect twice",
		[cas(1, null, 0, 1), write(2, 3, 0), read(4, 5, 1), write(6, 7, 0), read(8, 9, 1)],
	],
	["an open write before its invocation", [read(1, 2, 1), write(3, null, 1)]],
	["one key of two", [write(1, 2, 1, "y"), read(3, 4, null, "y"), write(1, 2, 1, "x"), read(3, 4, 1, "x")]],
	['1 is not "1"', [write(1, 2, 1), read(3, 4, "1")]],
];

describe("made by hand: linearizable", () => {
	for (const [name, history] of linearizable)
		test(name, () => expect(checkHistory(history)).toEqual({ linearizable: true }));
});

describe("made by hand: not linearizable", () => {
	for (const [name, history] of notLinearizable)
		test(name, () => expect(checkHistory(history).linearizable).toBe(false));
});

test("the explanation names the key, the shortest part that fails, and what could have been", () => {
	process = 0;
	const history = [write(1, 2, 1), write(3, 4, 2), write(5, null, 4), read(6, 9, 1), write(7, 10, 3), read(20, 21, 9)];
	const verdict = checkHistory([...history, read(1, 2, null, "other")]);
	expect(verdict).toEqual({
		linearizable: false,
		key: "x",
		explanation: `key "x": no order of the operations explains the history up to 9, where this one completed:
  process 3: read → 1 (6 to 9)
All that completed before it can be explained; the register then held a value that nobody asked about.
The 2 operations before, in one order that explains them:
  process 0: write 1 (1 to 2)
  process 1: write 2 (3 to 4)
Not completed then:
  process 4: write 3 (7 to 10)`,
	});
});

test("the history may begin with another value", () => {
	expect(checkHistory([read(1, 2, 5)], { initialValue: 5 }).linearizable).toBe(true);
	expect(checkHistory([read(1, 2, null)], { initialValue: 5 }).linearizable).toBe(false);
});

describe("random tiny histories, against the definition", () => {
	const value = fc.constantFrom<Value[]>(null, 1, 2);
	const operation = (openShare: number): fc.Arbitrary<Operation> =>
		fc
			.record({
				kind: fc.constantFrom("read", "write", "cas"),
				invokedAt: fc.nat(12),
				length: fc.nat(8),
				open: fc.nat(99).map((die) => die < openShare),
				expected: value,
				value,
				swapped: fc.boolean(),
			})
			.map(({ kind, invokedAt, length, open, ...rest }) => {
				const common = { process: 0, key: "x", invokedAt, completedAt: open ? null : invokedAt + length };
				if (kind === "cas") return { ...common, kind, ...rest };
				return { ...common, kind: kind === "read" ? "read" : "write", value: rest.value };
			});
	for (const [name, openShare, numRuns] of [
		["few open", 15, 4000],
		["many open", 50, 4000],
		["none open", 0, 2000],
	] as const)
		test(name, () => {
			const verdicts = { true: 0, false: 0 };
			fc.assert(
				fc.property(fc.array(operation(openShare), { minLength: 2, maxLength: 7 }), (history) => {
					const expected = isLinearizableByDefinition(history);
					verdicts[`${expected}`]++;
					return checkHistory(history).linearizable === expected;
				}),
				{ numRuns },
			);
			// The property says something only while both verdicts are common.
			expect(Math.min(verdicts.true, verdicts.false)).toBeGreaterThan(numRuns / 50);
		});

	/** Real histories with one changed result: longer, and at the edge between the verdicts. */
	test("one result changed", () => {
		const verdicts = { true: 0, false: 0 };
		for (let seed = 1; seed <= 3000; seed++) {
			const history = randomHistory({ seed, operations: 8, processes: 3, values: 3, openShare: 0.3 });
			expect(checkHistory(history).linearizable).toBe(true);
			const reads = history.filter((one) => one.kind === "read" && one.completedAt !== null);
			const changed = reads[seed % Math.max(1, reads.length)];
			if (changed) changed.value = seed % 3;
			const expected = isLinearizableByDefinition(history);
			verdicts[`${expected}`]++;
			if (checkHistory(history).linearizable !== expected) throw new Error(`seed ${seed}: ${JSON.stringify(history)}`);
		}
		expect(Math.min(verdicts.true, verdicts.false)).toBeGreaterThan(300);
	});
});

describe("bounds", () => {
	/** 16 MiB hold some 200,000 configurations: a search that fits is a fast one, on any machine. */
	test("1,000 operations of 10 clients are judged within little memory, both ways", () => {
		for (const values of ["unique", 5] as const)
			for (let seed = 1; seed <= 5; seed++) {
				const history = randomHistory({ seed, operations: 1000, processes: 10, values, openShare: 0 });
				expect(checkHistory(history, { memoryLimitBytes: 16 * 1024 ** 2 })).toEqual({ linearizable: true });
				const last = history.findLast((one) => one.kind === "read");
				if (last) last.value = "never written";
				expect(checkHistory(history, { memoryLimitBytes: 16 * 1024 ** 2 }).linearizable).toBe(false);
			}
	});

	test("a long history, many open operations: deep, not recursive", () => {
		const history = randomHistory({ seed: 1, operations: 30_000, processes: 5, values: "unique", openShare: 0.01 });
		expect(checkHistory(history)).toEqual({ linearizable: true });
	});

	test("the memory limit is an error that names the key, not a verdict", () => {
		const history = randomHistory({ seed: 3, operations: 1000, processes: 5, values: 5, openShare: 0.02 });
		history.push(read(1e6, 1e6 + 1, "never written"));
		expect(() => checkHistory(history, { memoryLimitBytes: 64 * 1024 })).toThrow(
			expect.objectContaining({ code: "too-large", message: expect.stringContaining('key "x": ') }),
		);
	});

	test("an operation that completes before it is invoked is refused", () => {
		for (const [from, to] of [
			[2, 1],
			[Number.NaN, 1],
			[1, Number.NaN],
		] as const)
			expect(() => checkHistory([read(from, to, null)])).toThrow(expect.objectContaining({ code: "invalid" }));
	});
});
