/** Power cuts of a cluster of three: of all machines at the same moment, and of one while the others go on. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type PowerBase, type PowerCutsReport, prepareBase, recordReport, runPowerCuts } from "../power/power-cuts.ts";
import { chosenSeed } from "./crash-points.ts";

const seed = chosenSeed();
const onPoint = (line: string): void => console.log(line);

let base: PowerBase;
beforeAll(async () => {
	base = await prepareBase(3);
}, 500_000);
afterAll(() => base?.[Symbol.asyncDispose]());

/** What a run must have met to prove anything. */
function expectNothingLost(report: PowerCutsReport, points: number): void {
	expect(report.missing).toEqual([]);
	expect(report.notServing).toEqual([]);
	expect(report.points).toBe(points);
	expect(report.acknowledged).toBeGreaterThan(points * 10);
	expect(report.lost + report.torn).toBeGreaterThan(0);
}

test("20 power cuts of all three machines at once, some while they start again, lose nothing that was acknowledged", async () => {
	const report = await runPowerCuts({ base, seed, points: 20, which: "all", cutStarts: true, onPoint });
	recordReport("power-cut-three-at-once", report);
	expectNothingLost(report, 20);
	expect(report.cutStarts).toBeGreaterThan(0);
}, 2_200_000);

test("6 power cuts of one of three machines, in turn, lose nothing that was acknowledged", async () => {
	const report = await runPowerCuts({ base, seed, points: 6, which: "one", onPoint });
	recordReport("power-cut-one-of-three", report);
	expectNothingLost(report, 6);
}, 800_000);
