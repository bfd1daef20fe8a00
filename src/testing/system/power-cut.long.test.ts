/**
 * Power cuts, many: one machine on its own, then a cluster of three, all of whose machines lose their power at once or one
 * after the other. A few are in power-cut.lab.test.ts, also without fsync.
 */
import { expect, test } from "bun:test";
import { type PowerCutsReport, prepareBase, runPowerCuts } from "../power/power-cuts.ts";
import { chosenSeed } from "./crash-points.ts";

const limitMs = 3_600_000;
const onPoint = (line: string): void => console.log(line);

/** What a run must have met to prove anything. */
function expectNothingLost(report: PowerCutsReport, points: number): void {
	console.log(JSON.stringify(report));
	expect(report.missing).toEqual([]);
	expect(report.points).toBe(points);
	expect(report.acknowledged).toBeGreaterThan(points * 10);
	expect(report.unflushed).toBeGreaterThan(0);
	expect(report.lost + report.torn).toBeGreaterThan(0);
}

test(
	"24 power cuts of one machine under load, some while it starts again, lose nothing that was acknowledged",
	async () => {
		const base = await prepareBase();
		const report = await runPowerCuts({
			...{ base, seed: chosenSeed(), points: 24, which: "all", cutStarts: true, onPoint },
		});
		expectNothingLost(report, 24);
		expect(report.cutStarts).toBeGreaterThan(0);
	},
	limitMs,
);

test(
	"power cuts of all three machines of a cluster at once, and of one of them, lose nothing that was acknowledged",
	async () => {
		const base = await prepareBase(3);
		const all = await runPowerCuts({ base, seed: chosenSeed(), points: 20, which: "all", cutStarts: true, onPoint });
		expectNothingLost(all, 20);
		const one = await runPowerCuts({ base, seed: chosenSeed(), points: 6, which: "one", onPoint });
		expectNothingLost(one, 6);
	},
	limitMs,
);
