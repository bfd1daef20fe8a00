/** Whether the pool works is said in time, however much is being done in it. On a cluster in memory. */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { fails, newId } from "../conformance.ts";
import { fakePool } from "./testing/fake-pool.ts";

const volume = { format: "raw", sizeBytes: MiB, source: { kind: "empty" } } as const;

test("a look at the pool does not wait behind hundreds of volumes that are being made", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	const busy = lab.ceph.hold("rbd info");
	const making = Array.from({ length: 300 }, () => driver.createVolume(newId(), volume));
	await busy.begun;
	expect((await driver.check()).availableBytes).toBeGreaterThan(0);
	busy.release();
	await Promise.all(making);
	expect(await driver.listImages()).toEqual([]);
	expect(lab.ceph.images.size).toBe(300);
});

test("nor do looks at the pool pile up: only so many programs run for them", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	const monitors = lab.ceph.hold("ceph df");
	const looks = Array.from({ length: 20 }, () => driver.check());
	await monitors.begun;
	for (let turn = 0; turn < 100; turn++) await Promise.resolve();
	expect(lab.ceph.count("ceph df")).toBeLessThanOrEqual(4);
	monitors.release();
	await Promise.all(looks);
	await driver.deactivate();
	await fails("unavailable", driver.check());
});
