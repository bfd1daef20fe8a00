/** kill -9 of the daemon at 50 random moments of create, start, stop and delete, with nothing orphaned. */
import { expect, test } from "bun:test";
import { chosenSeed, runCrashPoints } from "./crash-points.ts";

test("kill -9 at 50 random moments leaves nothing half done", async () => {
	const seed = chosenSeed();
	console.log(`seed ${seed}`);
	const report = await runCrashPoints({ seed, points: 50 });
	console.log(JSON.stringify(report));
	// Crashes that hit nothing would prove nothing.
	expect(report.interrupted).toBeGreaterThan(15);
	expect(Object.keys(report.operations).sort()).toEqual(["create", "delete", "start", "stop"]);
}, 1_200_000);
