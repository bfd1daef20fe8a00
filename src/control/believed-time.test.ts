/** A clock that jumps deletes nothing, unless it was right. */
import { expect, test } from "bun:test";
import { type Logger, silentLogger } from "../lib/log.ts";
import type { UpkeepDoubt } from "../store/command.ts";
import { maxUpkeepDoubts } from "../store/limits.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { BelievedTime, doubtMs } from "./believed-time.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const startMs = Date.UTC(2030, 0, 1);

function begin(lastMs: number | null = startMs, doubts: readonly UpkeepDoubt[] = [], clock = new ManualClock(startMs)) {
	const warnings: string[] = [];
	const notes: string[] = [];
	const logger: Logger = {
		...silentLogger,
		warn: (message) => warnings.push(message),
		info: (message) => notes.push(message),
	};
	const time = new BelievedTime(clock, logger, lastMs, doubts);
	/** The time after so many hours, asked for every hour. */
	const after = (hours: number): number => {
		let last = time.nowMs();
		for (let hour = 0; hour < hours; hour++) {
			clock.advance(hourMs);
			last = time.nowMs();
		}
		return last - startMs;
	};
	return { clock, time, warnings, notes, after };
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
	after(0);
	clock.jump(400 * dayMs);
	expect(after(23)).toBe(23 * hourMs);
	expect(warnings).toHaveLength(1);
	expect(after(1)).toBe(401 * dayMs);
	expect(after(1)).toBe(401 * dayMs + hourMs);
	expect(warnings).toHaveLength(1);
});

test("a jump that is put right leaves no trace", () => {
	const { clock, after, warnings } = begin();
	after(0);
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

/** A node that runs for so many hours, and is off for so many, again and again: each start goes on from the upkeep before. */
function days(rounds: number, onHours: number, offHours: number, wrongMs: (round: number) => number = () => 0) {
	const clock = new ManualClock(startMs);
	let [lastMs, doubts]: [number, readonly UpkeepDoubt[]] = [startMs, []];
	const behind: number[] = [];
	const said: string[][] = [];
	const counts: number[] = [];
	for (let round = 0; round < rounds; round++) {
		clock.jump(wrongMs(round));
		const { time, warnings, notes } = begin(lastMs, doubts, clock);
		for (let hour = 0; hour < onHours; hour++) {
			clock.advance(hourMs);
			[lastMs, doubts] = [time.nowMs(), structuredClone(time.doubts)];
		}
		behind.push((clock.nowMs() - lastMs) / hourMs);
		said.push([...warnings, ...notes]);
		counts.push(doubts.length);
		clock.jump(offHours * hourMs - wrongMs(round));
	}
	return { behind, said, counts };
}

test("16 hours on, 8 hours off: it is behind by less than a day, for as long as that goes on", () => {
	const { behind, said } = days(30, 16, 8);
	expect(Math.max(...behind)).toBeLessThanOrEqual(16);
	expect(behind.slice(0, 3)).toEqual([0, 8, 8]);
	const note = "the node was off, or its clock jumped: nothing is deleted by it before a day of running";
	expect(said.slice(0, 3)).toEqual([[], [note], [note]]);
});

test("off for weeks, and on for two hours at a time: it catches up after a day of running", () => {
	const clock = new ManualClock(startMs + 100 * dayMs);
	let [lastMs, doubts]: [number, readonly UpkeepDoubt[]] = [startMs, []];
	for (let start = 0; start < 12; start++) {
		expect(clock.nowMs() - lastMs).toBeGreaterThan(99 * dayMs);
		const { time } = begin(lastMs, doubts, clock);
		time.nowMs();
		clock.advance(2 * hourMs);
		[lastMs, doubts] = [time.nowMs(), structuredClone(time.doubts)];
	}
	expect(clock.nowMs() - lastMs).toBeLessThanOrEqual(2 * hourMs);
});

test("a clock that is wrong at every other start convinces nobody", () => {
	const { behind } = days(20, 10, 1, (round) => (round % 2 === 1 ? 400 * dayMs : 0));
	for (const [round, hours] of behind.entries()) if (round % 2 === 1) expect(hours).toBeGreaterThan(399 * 24);
});

test("a jump while it runs puts an end to what was doubted before", () => {
	const { clock, after, warnings, notes } = begin(startMs - 400 * dayMs);
	expect(after(20)).toBe(-400 * dayMs + 20 * hourMs);
	clock.jump(100 * dayMs);
	expect(after(20)).toBe(-400 * dayMs + 40 * hourMs);
	expect([warnings.length, notes.length]).toEqual([1, 1]);
});

test("however often a node starts, doubts are few", () => {
	const { counts } = days(100, 1, 5);
	expect(Math.max(...counts)).toBeLessThanOrEqual(maxUpkeepDoubts);
	const doubts = Array.from({ length: maxUpkeepDoubts }, (_, n) => ({
		...{ aheadMs: (n + 1) * 10 * hourMs, ranMs: 0, since: "2030-01-01T00:00:00.000Z" },
	}));
	const { time } = begin(startMs - 400 * dayMs, doubts);
	time.nowMs();
	expect(time.doubts).toHaveLength(maxUpkeepDoubts);
	expect(time.doubts.at(-1)?.aheadMs).toBe(400 * dayMs);
});
