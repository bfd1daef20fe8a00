/** A clock that jumps deletes nothing, unless it was right. */
import { expect, test } from "bun:test";
import { type Logger, silentLogger } from "../lib/log.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { BelievedTime, doubtMs } from "./believed-time.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const startMs = Date.UTC(2030, 0, 1);

function begin(lastMs: number | null = startMs) {
	const clock = new ManualClock(startMs);
	const warnings: string[] = [];
	const logger: Logger = { ...silentLogger, warn: (message) => warnings.push(message) };
	const time = new BelievedTime(clock, logger, lastMs);
	/** The time after so many hours, asked for every hour. */
	const after = (hours: number): number => {
		let last = time.nowMs();
		for (let hour = 0; hour < hours; hour++) {
			clock.advance(hourMs);
			last = time.nowMs();
		}
		return last - startMs;
	};
	return { clock, time, warnings, after };
}

test("it is the wall clock as long as that goes on as it should, also with small corrections", () => {
	const { clock, after, warnings } = begin();
	expect(after(48)).toBe(2 * dayMs);
	clock.jump(hourMs / 2);
	expect(after(1)).toBe(2 * dayMs + 1.5 * hourMs);
	clock.jump(-hourMs / 4);
	expect(after(0)).toBe(2 * dayMs + 1.25 * hourMs);
	expect(warnings).toEqual([]);
});

test("a jump ahead is not believed before a day has passed, and said once", () => {
	const { clock, after, warnings } = begin();
	clock.jump(400 * dayMs);
	expect(after(23)).toBe(23 * hourMs);
	expect(warnings).toHaveLength(1);
	expect(after(1)).toBe(401 * dayMs);
	expect(after(1)).toBe(401 * dayMs + hourMs);
	expect(warnings).toHaveLength(1);
});

test("a jump that is put right leaves no trace", () => {
	const { clock, after, warnings } = begin();
	clock.jump(400 * dayMs);
	expect(after(10)).toBe(10 * hourMs);
	clock.jump(-400 * dayMs);
	expect(after(30)).toBe(40 * hourMs);
	clock.jump(400 * dayMs);
	expect(after(20)).toBe(60 * hourMs);
	expect(warnings).toHaveLength(2);
});

test("a clock that keeps jumping convinces nobody", () => {
	const { clock, after } = begin();
	for (let jump = 0; jump < 5; jump++) {
		clock.jump(100 * dayMs);
		expect(after(20)).toBe((jump + 1) * 20 * hourMs);
	}
});

test("a jump back is believed at once, and the way forward again takes its day", () => {
	const { clock, after } = begin();
	clock.jump(-400 * dayMs);
	expect(after(1)).toBe(-400 * dayMs + hourMs);
	clock.jump(400 * dayMs);
	expect(after(23)).toBe(-400 * dayMs + dayMs);
	expect(after(1)).toBe(dayMs + hourMs);
});

test("a start with a wrong clock goes on from the upkeep before it; a short stop raises no doubt", () => {
	const wrong = begin(startMs - 400 * dayMs);
	expect(wrong.after(23)).toBe(-400 * dayMs + 23 * hourMs);
	expect(wrong.after(1)).toBe(dayMs);
	const short = begin(startMs - 1.5 * hourMs);
	expect([short.after(0), short.warnings.length]).toEqual([0, 0]);
	expect(begin(null).after(0)).toBe(0);
});

test("a doubt is a day of running, not of being asked", () => {
	const { clock, time } = begin();
	clock.jump(400 * dayMs);
	expect(time.nowMs()).toBe(startMs);
	clock.advance(doubtMs);
	expect(time.nowMs()).toBe(startMs + 401 * dayMs);
});
