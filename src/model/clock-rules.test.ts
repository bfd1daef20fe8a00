/** Whose clock is wrong, judged by those that a node hears. */
import { describe, expect, test } from "bun:test";
import { aheadOrBehind, type ClockReading, formatClockDifference, judgeClocks } from "./clock-rules.ts";

const reading = (nodeId: string, offsetMs: number, errorMs = 1): ClockReading => ({ nodeId, offsetMs, errorMs });
const judged = (...others: ClockReading[]) => {
	const { agreedMs, aheadMs, off } = judgeClocks("own", others);
	return { agreedMs, off: [...off], aheadMs: Object.fromEntries(aheadMs) };
};

test("one clock alone is right", () => {
	expect(judged()).toEqual({ agreedMs: null, off: [], aheadMs: { own: 0 } });
});

describe("of two", () => {
	test("nothing is said while they agree", () => {
		expect(judged(reading("b", 900))).toMatchObject({ agreedMs: null, off: [] });
	});

	test("nobody knows which is right when they differ", () => {
		expect(judged(reading("b", -12_000))).toEqual({
			...{ agreedMs: null, off: ["own", "b"], aheadMs: { own: 0, b: -12_000 } },
		});
	});
});

describe("of three and more, those that most agree with are right", () => {
	test("the other one is off", () => {
		expect(judged(reading("b", 20), reading("c", 60_000))).toEqual({
			...{ agreedMs: 20, off: ["c"], aheadMs: { own: -20, b: 0, c: 59_980 } },
		});
	});

	test("also when it is the one that judges", () => {
		expect(judged(reading("b", 60_000), reading("c", 60_030))).toEqual({
			...{ agreedMs: 60_000, off: ["own"], aheadMs: { own: -60_000, b: 0, c: 30 } },
		});
	});

	test("several may be off, each by its own", () => {
		const { off, agreedMs } = judged(reading("b", 0), reading("c", 10), reading("d", -9_000), reading("e", 1e9));
		expect([off, agreedMs]).toEqual([["d", "e"], 0]);
	});

	test("two against two, or each on its own: all that differ are named, and no time is agreed on", () => {
		expect(judged(reading("b", 0), reading("c", 9_000), reading("d", 9_000))).toMatchObject({
			...{ agreedMs: null, off: ["own", "b", "c", "d"] },
		});
		expect(judged(reading("b", 9_000), reading("c", -9_000))).toMatchObject({
			...{ agreedMs: null, off: ["own", "b", "c"] },
		});
	});
});

test("what is within the error of the measurement is not off, and what is hardly measured says nothing", () => {
	expect(judged(reading("b", 0), reading("c", 1_700, 800)).off).toEqual([]);
	expect(judged(reading("b", 0), reading("c", 60_000, 1_001))).toMatchObject({ agreedMs: null, off: [] });
	expect(judged(reading("b", 1_700, 800)).off).toEqual([]);
});

test.each([
	[12, "12 ms"],
	[-12_340, "12.3 s"],
	[303_000, "5 min 3 s"],
	[300_000, "5 min"],
	[3 * 3_600_000 + 5 * 60_000, "3 h 5 min"],
	[-400 * 86_400_000, "400 d"],
	[3 * 3_600_000 - 40, "3 h"],
	[3_599_800, "1 h"],
])("%d ms is said as %s", (ms, text) => {
	expect(formatClockDifference(ms)).toBe(text);
});

test("ahead and behind", () => {
	expect([aheadOrBehind(5_000), aheadOrBehind(-5_000)]).toEqual(["5.0 s ahead of", "5.0 s behind"]);
});
