/** Whose clock is wrong, judged by those that a node hears. */
import { describe, expect, test } from "bun:test";
import { aheadOrBehind, type ClockReading, formatClockDifference, judgeClocks } from "./clock-rules.ts";

const reading = (nodeId: string, offsetMs: number, errorMs = 1): ClockReading => ({ nodeId, offsetMs, errorMs });
const judged = (...others: ClockReading[]) => {
	const { agreedMs, aheadMs, off, basis } = judgeClocks("own", others);
	expect(basis).toBe(agreedMs === null ? "none" : "majority");
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
	// Also when the one in the middle is what is measured badly.
	expect(judged(reading("b", 1_700, 800), reading("c", 1_700, 800))).toMatchObject({ agreedMs: 1_700, off: [] });
	expect(judged(reading("b", 1_900, 800), reading("c", 1_900, 800))).toMatchObject({ agreedMs: 1_900, off: ["own"] });
});

describe("at the limit", () => {
	const off = (before: string[], ...others: ClockReading[]) =>
		judgeClocks("own", others, { off: new Set(before), keptMs: null }).off;

	test("a second is not off, and what is off stays so until it is within half of one", () => {
		const withThird = (offsetMs: number) => [reading("b", 0, 0), reading("c", offsetMs, 0)];
		expect(off([], ...withThird(1_000))).toEqual([]);
		expect(off([], ...withThird(1_001))).toEqual(["c"]);
		expect(off(["c"], ...withThird(501))).toEqual(["c"]);
		expect(off(["c"], ...withThird(-500))).toEqual([]);
		// It may as well be at more than a second.
		expect(off(["c"], reading("b", 0, 0), reading("c", 100, 901))).toEqual(["c"]);
	});

	test("so do two that differ", () => {
		expect(off([], reading("b", 1_000, 0))).toEqual([]);
		expect(off([], reading("b", 1_001, 0))).toEqual(["own", "b"]);
		expect(off(["own", "b"], reading("b", 501, 0))).toEqual(["own", "b"]);
		expect(off(["own", "b"], reading("b", 500, 0))).toEqual([]);
	});

	test("and those of which no majority agrees", () => {
		const all = ["own", "b", "c"];
		expect(off(all, reading("b", 600), reading("c", -600))).toEqual(all);
		expect(off(all, reading("b", 400), reading("c", -600))).toEqual(["c"]);
	});
});

test.each([
	[12, "12 ms"],
	[-12_340, "12.3 s"],
	[999.6, "1.0 s"],
	[59_949, "59.9 s"],
	[59_960, "1 min"],
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
