/** kill -9 of the daemon at 50 random moments of create, start, stop and delete, with nothing orphaned. */
import { expect, test } from "bun:test";
import { chosenSeed, runCrashPoints } from "./crash-points.ts";

test("kill -9 at 50 random moments leaves nothing half done", async () => {
	const seed = chosenSeed();
	console.log(`seed ${seed}`);
	const report = await runCrashPoints({ seed, points: 50, interrupted: 16 });
	console.log(JSON.stringify(report));
	// Crashes that hit nothing would prove nothing.
	expect(report.interrupted).toBeGreaterThan(15);
	expect(Object.keys(report.operations).sort()).toEqual(["create", "delete", "start", "stop"]);
	// A stop is over in a moment; of the others some must have been in the middle.
	expect(Object.keys(report.met)).toEqual(expect.arrayContaining(["vm.create", "vm.delete", "vm.start"]));
}, 1_200_000);
