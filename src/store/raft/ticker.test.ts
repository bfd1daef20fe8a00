import { expect, test } from "bun:test";
import type { Clock, Timer } from "../../lib/clock.ts";
import { Ticker } from "./ticker.ts";

/** One timer at a time, which fires when a test says so: `lateMs` after its time. */
class LateClock implements Clock {
	#ms = 1000;
	timer: { delayMs: number; callback: () => void } | null = null;
	nowMs = () => this.#ms;
	monotonicMs = () => this.#ms;
	schedule(delayMs: number, callback: () => void): Timer {
		const timer = { delayMs, callback };
		this.timer = timer;
		return {
			cancel: () => {
				if (this.timer === timer) this.timer = null;
			},
		};
	}
	fire(lateMs: number): void {
		const { timer } = this;
		if (timer === null) throw new Error("nothing is scheduled");
		this.timer = null;
		this.#ms += timer.delayMs + lateMs;
		timer.callback();
	}
}

function ticking(onTick: (ticker: Ticker) => void = () => {}): { clock: LateClock; ticker: Ticker } {
	const clock = new LateClock();
	const ticker: Ticker = new Ticker({
		clock,
		random: () => 0.5,
		tickMs: 50,
		jitterMs: 2,
		onTick: () => onTick(ticker),
	});
	ticker.schedule(0);
	return { clock, ticker };
}

test("each tick is counted by how late it came", () => {
	let ticks = 0;
	const { clock, ticker } = ticking(() => {
		ticks += 1;
	});
	for (const lateMs of [0, -0.5, 1, 1.5, 45, 700, 4000]) clock.fire(lateMs);
	expect(ticks).toBe(7);
	const { bounds, counts, sum, count } = ticker.delays;
	expect(bounds.map((bound, at) => [bound, counts[at]]).filter(([, number]) => number !== 0)).toEqual([
		[0.001, 3],
		[0.002, 1],
		[0.05, 1],
		[1, 1],
	]);
	expect(count).toBe(7);
	expect(sum).toBeCloseTo(4.7475, 6);
});

test("the next tick comes after a tick and its part of the jitter", () => {
	const { clock } = ticking();
	expect(clock.timer?.delayMs).toBe(50);
	clock.fire(0);
	expect(clock.timer?.delayMs).toBe(51);
});

test("nothing comes after it was stopped, also from within a tick, or before the first", () => {
	const { clock } = ticking((ticker) => ticker.stop());
	clock.fire(0);
	expect(clock.timer).toBeNull();
	const { clock: other, ticker } = ticking();
	ticker.stop();
	expect(other.timer).toBeNull();
	ticker.schedule(0);
	expect(other.timer).toBeNull();
});
