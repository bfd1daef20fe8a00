/** A LUN that is enlarged while its pool works: the checks of the pool find out, and its group grows. */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { loopPool } from "./testing/loop-pool.ts";

test("the group grows with its LUN, without being opened anew", async () => {
	await using pool = await loopPool(600 * MiB);
	const driver = pool.driver();
	await driver.activate();
	await pool.growLun(1000 * MiB);
	const before = await driver.check();
	expect(before.totalBytes).toBeLessThan(600 * MiB);
	await waitUntil("the group to grow", 20_000, async () => {
		return (await driver.check()).totalBytes - before.totalBytes === 400 * MiB;
	});
	await driver.deactivate();
}, 60_000);
