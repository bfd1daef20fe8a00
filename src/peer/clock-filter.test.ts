/** What another node's clock says, from round trips that take as long as they do. */
import { expect, test } from "bun:test";
import { ClockFilter } from "./clock-filter.ts";

/** A clock that is `aheadMs` ahead of this node's monotonic one, asked at `sentAtMs`; the question takes `thereMs`, the answer `backMs`. */
const ask = (filter: ClockFilter, sentAtMs: number, { aheadMs = 0, thereMs = 1, backMs = 1 }) =>
	filter.add({
		sentAtMs,
		answeredAtMs: sentAtMs + thereMs + backMs,
		wallMs: Math.floor(sentAtMs + thereMs + aheadMs),
	});
const wallMs = Date.UTC(2030, 0, 1);

test("the middle of the round trip is when it said so", () => {
	const filter = new ClockFilter();
	expect(filter.best).toBeNull();
	ask(filter, 1_000, { aheadMs: wallMs, thereMs: 30, backMs: 30 });
	expect(filter.best).toEqual({ wallAtZeroMs: wallMs, errorMs: 31, sentAtMs: 1_000 });
});

test("the error is no more than is said, whichever way took longer", () => {
	for (const [thereMs, backMs] of [
		[0, 200],
		[200, 0],
		[150, 50],
	] as const) {
		const filter = new ClockFilter();
		ask(filter, 1_000, { aheadMs: wallMs, thereMs, backMs });
		const { wallAtZeroMs = 0, errorMs = 0 } = filter.best ?? {};
		expect(Math.abs(wallAtZeroMs - wallMs)).toBeLessThanOrEqual(errorMs);
	}
});

test("of the last answers the quickest counts", () => {
	const filter = new ClockFilter();
	ask(filter, 0, { aheadMs: wallMs, backMs: 1 });
	for (let at = 1; at <= 7; at++) ask(filter, 1_000 * at, { aheadMs: wallMs, backMs: 500 });
	expect(filter.best?.errorMs).toBe(2);
	ask(filter, 8_000, { aheadMs: wallMs, backMs: 499 });
	expect(filter.best?.errorMs).toBe(251);
});

test("a clock that was set counts from its next answer on", () => {
	const filter = new ClockFilter();
	for (let at = 0; at < 8; at++) ask(filter, 1_000 * at, { aheadMs: wallMs });
	ask(filter, 8_000, { aheadMs: wallMs - 3_600_000, backMs: 400 });
	expect(filter.best?.errorMs).toBe(201.5);
	expect(Math.abs((filter.best?.wallAtZeroMs ?? 0) - (wallMs - 3_600_000))).toBeLessThan(201);
});
