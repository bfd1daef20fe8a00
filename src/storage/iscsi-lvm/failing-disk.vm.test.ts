/** A pool on a LUN whose disk fails at the target: errors, no loss, and it works when the disk does. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { GiB } from "../../lib/units.ts";
import { everythingIsRefused, prepare, unharmed } from "../../testing/lab/failing-device.ts";
import { type FlakyDisk, makeFlakyDisk } from "../../testing/lab/storage-vm/inside/backing-disk.ts";
import { type LabLuns, labLuns, limit, sessionCount } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { note } from "../../testing/note.ts";
import { newId } from "../conformance.ts";

setDefaultTimeout(400_000);
let disk: FlakyDisk;
let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({
		...{ portals: ["10.88.0.2"], sizes: [2 * GiB] },
		async makeDisk(path, sizeBytes) {
			disk = await makeFlakyDisk("lab-failing", path, sizeBytes);
			return disk;
		},
	});
});
afterAll(() => lab.close());

for (const how of ["errors", "read-errors"] as const)
	test(`${how}: every verb is refused, the pool says why, and goes on when the disk does`, async () => {
		const driver = lab.driver(newId());
		await driver.activate();
		const prepared = await prepare(driver);
		await disk.fail(how);
		const begun = performance.now();
		const error = await waitUntil("the pool to be in error", 30_000, () =>
			driver.check().then(
				() => undefined,
				(failure: unknown) => failure,
			),
		);
		note(`the disk of a LUN fails (${how}): noticed after ${Math.round(performance.now() - begun)} ms`);
		expect(isAppError(error, "storage")).toBe(true);
		expect((error as Error).message).toContain("cannot be read");
		const said = await everythingIsRefused(driver, prepared);
		expect(said.filter((line) => !line.includes("cannot be read"))).toEqual([]);
		note(`the pool: ${(error as Error).message}\n${said.map((line) => `note:   ${line}`).join("\n")}`);
		await disk.heal();
		await waitUntil("the pool to be healthy", 30_000, () => driver.check().catch(() => undefined));
		// The same driver, as the daemon goes on; another one tidies up what this one could not.
		await driver.activate();
		await driver.deactivate();
		await driver.activate();
		await unharmed(driver, prepared);
		await driver.remove();
		expect(await sessionCount()).toBe(0);
		expect((await run("dmsetup", ["ls"], limit)).stdout).not.toContain("lqx");
	});
