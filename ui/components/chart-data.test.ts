import { describe, expect, test } from "bun:test";
import { chartData, type Series, shownTimes, shownValues, spanText } from "./chart-data.ts";

const line = (values: (number | null)[]): Series => ({ label: "CPU", color: "accent", values });

describe("chart data", () => {
	test("holes break the lines, short pauses do not", () => {
		expect(chartData([0, 10, 25, 100, 110], [line([1, 2, 3, 4, 5])], 30)).toEqual({
			times: [0, 10, 25, 62.5, 100, 110],
			values: [[1, 2, 3, null, 4, 5]],
		});
	});
	test("a single sample stands at the end of a second", () =>
		expect(chartData([100], [line([1]), line([2])], 30)).toEqual({
			times: [99, 100],
			values: [
				[null, 1],
				[null, 2],
			],
		}));
	test("nothing is nothing", () => expect(chartData([], [line([])], 30)).toEqual({ times: [], values: [[]] }));
});

describe("what is shown", () => {
	test("few samples do not fill the width", () => {
		expect(shownTimes({ from: 90, to: 100 }, null, 60)).toEqual([40, 100]);
		expect(shownTimes({ from: 0, to: 3600 }, null, 60)).toEqual([0, 3600]);
	});
	test("what was chosen stays, however short; a click is not a span", () => {
		expect(shownTimes({ from: 0, to: 3600 }, { from: 100, to: 112 }, 60)).toEqual([100, 112]);
		expect(shownTimes({ from: 0, to: 3600 }, { from: 100, to: 101 }, 60)).toEqual([98, 103]);
	});
	test("a value at the maximum, or above it, is inside", () => {
		expect(shownValues(1, 1)[1]).toBeGreaterThan(1.02);
		expect(shownValues(1.2, 1)[1]).toBeGreaterThan(1.2);
		expect(shownValues(50, undefined)[1]).toBeGreaterThan(50);
		expect(shownValues(0, undefined)).toEqual([0, 1]);
		expect(shownValues(null, undefined)).toEqual([0, 1]);
	});
});

test("the time shown, in words", () => {
	expect(spanText([100])).toBeNull();
	expect(spanText([100, 145])).toBe("The last 45 s");
	expect(spanText([0, 700, 722])).toBe("The last 12 min");
	expect(spanText([0, 3590])).toBe("The last hour");
});
