/** Power cuts of one machine, many, and the same without fsync. A few are in power-cut-few.long.test.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type PowerBase, prepareBase, recordReport, runPowerCuts } from "../power/power-cuts.ts";
import { chosenSeed } from "./crash-points.ts";

const points = 24;
const seed = chosenSeed();
let base: PowerBase;
beforeAll(async () => {
	base = await prepareBase();
}, 240_000);
afterAll(() => base?.[Symbol.asyncDispose]());

test("24 power cuts of one machine under load, some while it starts again, lose nothing that was acknowledged", async () => {
	const report = await runPowerCuts({
		...{ base, seed, points, which: "all", cutStarts: true },
		onPoint: (line) => console.log(line),
	});
	recordReport("power-cut-one-machine", report);
	expect(report.missing).toEqual([]);
	expect(report.notServing).toEqual([]);
	expect(report.points).toBe(points);
	expect(report.cutStarts).toBeGreaterThan(0);
	expect(report.acknowledged).toBeGreaterThan(points * 10);
	expect(report.lost + report.torn).toBeGreaterThan(0);
}, 3_000_000);

test("without fsync as many cuts with the same seed lose writes that were acknowledged, by name", async () => {
	const report = await runPowerCuts({ base, seed, points, which: "all", cutStarts: true, noFsync: true });
	recordReport("power-cut-no-fsync", report);
	expect(report.points).toBeLessThanOrEqual(points);
	expect(report.missing).not.toEqual([]);
	for (const line of report.missing)
		expect(line).toMatch(/^node 1: (load-\d+ says .* acknowledged as|token load-\d+ was (made|deleted) and is) /);
}, 3_000_000);
