/**
 * Some power cuts; many, and without fsync, are in power-cut.long.test.ts, and of several machines at once in power-cut-cluster.long.test.ts.
 * All limits together are less than what the runner gives a file.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type PowerBase, prepareBase, recordReport, runPowerCuts } from "../power/power-cuts.ts";
import { chosenSeed } from "./crash-points.ts";

const seed = chosenSeed();
const points = 2;

let base: PowerBase;
beforeAll(async () => {
	base = await prepareBase();
}, 240_000);
afterAll(() => base?.[Symbol.asyncDispose]());

test("power cuts under load that drop what was not flushed lose nothing that was acknowledged", async () => {
	const report = await runPowerCuts({ base, seed, points, which: "all" });
	recordReport("power-cut-short", report);
	expect(report.missing).toEqual([]);
	expect(report.notServing).toEqual([]);
	expect(report.points).toBeGreaterThanOrEqual(points);
	expect(report.acknowledged).toBeGreaterThan(points * 10);
	expect(report.lost + report.torn).toBeGreaterThan(0);
}, 320_000);
