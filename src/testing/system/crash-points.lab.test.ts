/** Some crashes; many are in crash-points.long.test.ts. */
import { expect, test } from "bun:test";
import { chosenSeed, runCrashPoints } from "./crash-points.ts";

test("kill -9 at 8 random moments leaves nothing half done", async () => {
	const seed = chosenSeed();
	console.log(`seed ${seed}`);
	const report = await runCrashPoints({ seed, points: 8, interrupted: 3 });
	console.log(JSON.stringify(report));
	// Crashes that hit nothing would prove nothing.
	expect(report.interrupted).toBeGreaterThanOrEqual(3);
}, 170_000);
