/** The bounded history of figures. */
import { expect, test } from "bun:test";
import { FigureRings } from "./figure-rings.ts";

const rings = (size: number) => new FigureRings(["cpu", "memory"] as const, size);
const row = (cpu: number, memory: number | null = null) => ({ cpu, memory });

test("the newest rows are kept, oldest first, each thing's own", () => {
	const history = rings(3);
	for (let tick = 1; tick <= 5; tick++) {
		history.record(
			tick * 10,
			new Map([["a", row(tick, tick * 100)], ...(tick > 3 ? ([["b", row(-tick)]] as const) : [])]),
		);
	}
	expect(history.read("a", 0)).toEqual([
		{ atMs: 30, figures: { cpu: 3, memory: 300 } },
		{ atMs: 40, figures: { cpu: 4, memory: 400 } },
		{ atMs: 50, figures: { cpu: 5, memory: 500 } },
	]);
	expect(history.read("a", 40).map(({ atMs }) => atMs)).toEqual([50]);
	expect(history.read("b", 0).map(({ atMs, figures }) => [atMs, figures.memory])).toEqual([
		[40, null],
		[50, null],
	]);
	expect(history.read("c", 0)).toEqual([]);
});

test("times without figures are gaps, and what an old round left is never shown in them", () => {
	const history = rings(4);
	for (let tick = 1; tick <= 6; tick++) history.record(tick, tick % 2 === 1 ? new Map([["a", row(tick)]]) : new Map());
	expect(history.read("a", 0).map(({ atMs }) => atMs)).toEqual([3, 5]);
});

test("what is gone is forgotten at once, what is off after a round", () => {
	const history = rings(3);
	const empty = history.bytes;
	history.record(
		1,
		new Map([
			["off", row(1)],
			["deleted", row(1)],
		]),
	);
	history.record(2, new Map(), (id) => id !== "deleted");
	expect(history.read("deleted", 0)).toEqual([]);
	expect(history.read("off", 0)).toHaveLength(1);
	for (let tick = 3; tick <= 5; tick++) history.record(tick, new Map());
	expect(history.bytes).toBe(empty);
});

test("times ascend although the wall clock was set back", () => {
	const history = rings(10);
	for (const atMs of [100, 110, 120, 105, 115]) history.record(atMs, new Map([["a", row(atMs)]]));
	expect(history.read("a", 0).map(({ atMs }) => atMs)).toEqual([100, 105, 115]);
});

test("an hour of 1,000 VMs takes less than 9 MB", () => {
	const history = new FigureRings(["a", "b", "c", "d", "e", "f"] as const, 360);
	const figures = { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 };
	const vms = new Map(Array.from({ length: 1000 }, (_, number) => [`vm-${number}`, figures]));
	for (let tick = 1; tick <= 720; tick++) history.record(tick, vms);
	expect(history.bytes).toBeLessThan(9e6);
	expect(history.read("vm-7", 0)).toHaveLength(360);
});
