/** The log's view and its term runs, against a plain array. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { LogView } from "./log-view.ts";
import { Window } from "./progress.ts";
import { bytesOf } from "./test-cluster.ts";

type Step =
	| { kind: "append"; term: number }
	| { kind: "truncate" | "compact" | "durable" | "evict" | "reset"; part: number };

const steps = fc.array(
	fc.oneof(
		{ weight: 5, arbitrary: fc.record({ kind: fc.constant("append" as const), term: fc.integer({ min: 0, max: 2 }) }) },
		{
			weight: 3,
			arbitrary: fc.record({
				kind: fc.constantFrom("truncate" as const, "compact" as const, "durable" as const, "evict" as const),
				part: fc.double({ min: 0, max: 1, noNaN: true }),
			}),
		},
		{ weight: 1, arbitrary: fc.record({ kind: fc.constant("reset" as const), part: fc.constant(0) }) },
	),
	{ maxLength: 60 },
);

/** Terms by index; before `first` everything is gone, and at `first - 1` the snapshot ends. */
function compare(log: LogView, terms: number[], first: number): void {
	expect(log.lastIndex).toBe(terms.length - 1);
	expect(log.snapshotIndex).toBe(first - 1);
	for (let index = 0; index <= terms.length; index++)
		expect(log.termAt(index)).toBe(index < first - 1 ? null : (terms[index] ?? null));
	for (let index = first - 1; index < terms.length; index++)
		for (let term = 0; term < 8; term++) {
			let expected = index;
			while (expected > first - 1 && (terms[expected] ?? 0) > term) expected -= 1;
			expect(log.lastIndexOfTermAtMost(index, term)).toBe(expected);
		}
}

test("any sequence of appends, cuts, compactions and snapshots", () => {
	fc.assert(
		fc.property(steps, (all: Step[]) => {
			const log = new LogView(
				{ snapshotIndex: 0, snapshotTerm: 0, lastIndex: 0, termRuns: [] },
				{ maxTailBytes: 200, maxTailEntries: 100 },
			);
			let terms = [0];
			let first = 1;
			for (const step of all) {
				if (step.kind === "append") {
					const term = Math.max(1, Math.min(6, (terms.at(-1) ?? 0) + step.term));
					log.append({ index: terms.length, term, kind: "command", data: bytesOf("some data") });
					terms.push(term);
				} else {
					const index = Math.min(terms.length - 1, first - 1 + Math.floor(step.part * (terms.length - first + 1)));
					if (step.kind === "truncate") {
						log.truncate(index);
						terms.length = index + 1;
					} else if (step.kind === "compact" && index <= log.durableIndex) {
						log.compact(index);
						first = index + 1;
					} else if (step.kind === "durable") {
						log.handedIndex = Math.max(index, log.handedIndex);
						log.durableUpTo(Math.max(index, log.durableIndex));
					} else if (step.kind === "evict") log.evict(index);
					else if (step.kind === "reset") {
						const snapshot = terms.length + 2;
						log.reset(snapshot, terms.at(-1) || 1);
						terms = Array.from({ length: snapshot + 1 }, () => terms.at(-1) || 1);
						first = snapshot + 1;
					}
				}
				expect(log.durableIndex).toBeLessThanOrEqual(log.lastIndex);
				for (let index = log.durableIndex + 1; index <= log.lastIndex; index++)
					expect(log.entry(index)?.index).toBe(index);
				compare(log, terms, first);
			}
		}),
		{ numRuns: 100, seed: 3 },
	);
});

test.each([
	{ by: "their number", limits: { maxTailEntries: 10, maxTailBytes: 1_000_000 }, kept: 10 },
	{ by: "their bytes", limits: { maxTailEntries: 1000, maxTailBytes: 5 * (9 + 32) }, kept: 5 },
])("what is durable and committed stays in memory within a limit of $by; what is not stays in any case", (given) => {
	const log = new LogView({ snapshotIndex: 0, snapshotTerm: 0, lastIndex: 0, termRuns: [] }, given.limits);
	for (let index = 1; index <= 100; index++)
		log.append({ index, term: 1, kind: "command", data: bytesOf("some data") });
	const inMemory = () => Array.from({ length: 100 }, (_, at) => log.entry(at + 1)).filter((entry) => entry !== null);
	log.evict(100);
	expect(inMemory()).toHaveLength(100);
	log.handedIndex = 100;
	log.durableUpTo(60);
	log.evict(100);
	expect(inMemory()).toHaveLength(40);
	log.durableUpTo(100);
	log.evict(100);
	expect(inMemory().map(({ index }) => index)).toEqual(
		Array.from({ length: given.kept }, (_, at) => 101 - given.kept + at),
	);
});

test("a window is full by messages or by bytes, and frees in order", () => {
	const window = new Window(3, 100);
	expect([window.empty, window.full]).toEqual([true, false]);
	window.add(5, 10);
	window.add(7, 20);
	expect(window.full).toBe(false);
	window.add(9, 1);
	expect(window.full).toBe(true);
	window.freeUpTo(6);
	window.add(12, 100);
	expect(window.full).toBe(true);
	window.freeUpTo(9);
	expect([window.empty, window.full]).toEqual([false, true]);
	window.freeUpTo(12);
	expect(window.empty).toBe(true);
});
