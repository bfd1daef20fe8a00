/** Power cuts of one machine, many. A few are in power-cut.lab.test.ts, also without fsync. */
import { expect, test } from "bun:test";
import { prepareBase, recordReport, runPowerCuts } from "../power/power-cuts.ts";
import { chosenSeed } from "./crash-points.ts";

const points = 24;

test("24 power cuts of one machine under load, some while it starts again, lose nothing that was acknowledged", async () => {
	await using base = await prepareBase();
	const report = await runPowerCuts({
		...{ base, seed: chosenSeed(), points, which: "all", cutStarts: true },
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
