/** Some power cuts; many, and of several machines at once, are in power-cut.long.test.ts. */
import { beforeAll, expect, test } from "bun:test";
import { type PowerBase, prepareBase, runPowerCuts } from "../power/power-cuts.ts";
import { chosenSeed } from "./crash-points.ts";

let base: PowerBase;
beforeAll(async () => {
	base = await prepareBase();
}, 300_000);

test("two power cuts under load lose nothing that was acknowledged", async () => {
	const report = await runPowerCuts({ base, seed: chosenSeed(), points: 2, which: "all" });
	console.log(JSON.stringify(report));
	expect(report.missing).toEqual([]);
	expect(report.points).toBe(2);
	expect(report.acknowledged).toBeGreaterThan(0);
}, 400_000);

test("without fsync the same cuts are noticed", async () => {
	const report = await runPowerCuts({ base, seed: chosenSeed(), points: 5, which: "all", noFsync: true });
	console.log(JSON.stringify(report));
	expect(report.missing).not.toEqual([]);
}, 600_000);
