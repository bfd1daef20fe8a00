/** Letting go of a pool: between operations only, and none of the driver that was left begins afterwards. On a cluster in memory. */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { fails, newId, pattern } from "../conformance.ts";
import { temporaryPrefix, volumeName, workObject } from "./names.ts";
import { fakePool, nodeId } from "./testing/fake-pool.ts";

const volume = { format: "raw", sizeBytes: MiB, source: { kind: "empty" } } as const;
const busy = "Something is being done in the pool on this node.";

test("a volume is set back once, also when the pool's settings change meanwhile", async () => {
	await using lab = await fakePool(new ManualClock());
	const { ceph } = lab;
	const before = await lab.open();
	const [id, snapshotId] = [newId(), newId()];
	await before.createVolume(id, volume);
	await before.snapshots?.take(id, snapshotId, { running: false });
	const rollback = ceph.hold("rbd snap rollback");
	const reverting = before.snapshots?.revert(id, snapshotId);
	await rollback.begun;
	expect(await fails("in-use", before.deactivate())).toBe(busy);
	expect(lab.files()).toBe(true);
	rollback.release();
	await reverting;
	await before.deactivate();
	expect(lab.files()).toBe(false);
	const after = await lab.open();
	expect(ceph.count("rbd snap rollback")).toBe(1);
	await after.openVolume(id);
});

test("between the steps of an operation, too; none is lost by asking", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	for (const step of ["rbd info", "rbd create", "rbd rename"]) {
		const id = newId();
		const held = lab.ceph.hold(step);
		const making = driver.createVolume(id, volume);
		await held.begun;
		await fails("in-use", driver.deactivate());
		held.release();
		expect((await making).id).toBe(id);
	}
	await driver.deactivate();
});

test("an upload that is open", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	const id = newId();
	const upload = await driver.openUpload(id, 10);
	expect(await fails("in-use", driver.deactivate())).toBe(busy);
	await upload.write(pattern(10));
	await upload.close();
	await driver.deactivate();
	expect((await (await lab.open()).getUpload(id))?.receivedBytes).toBe(10);
});

test("nothing of the driver that was left begins, whoever still has it; it can be used again", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	await driver.deactivate();
	const started = lab.ceph.started.length;
	const next = await lab.open();
	lab.ceph.started.length = started;
	for (const work of [
		() => driver.createVolume(newId(), volume),
		() => driver.getVolume(newId()),
		() => driver.check(),
		() => driver.listVolumes(),
		() => driver.openImage(newId()),
		() => driver.openUpload(newId(), 10),
	])
		expect(await fails("unavailable", work())).toContain("was let go of");
	expect(lab.ceph.started).toHaveLength(started);
	await next.deactivate();
	await driver.activate();
	expect((await driver.createVolume(newId(), volume)).sizeBytes).toBe(MiB);
});

test("what comes while it is being let go of waits for that; looks are waited for, but not for ever", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	const looks = lab.ceph.hold("rbd ls");
	const looking = driver.listImages();
	await looks.begun;
	const leaving = driver.deactivate();
	const making = fails("unavailable", driver.createVolume(newId(), volume));
	for (let turn = 0; turn < 20; turn++) await Promise.resolve();
	expect(lab.files()).toBe(true);
	lab.clock.advance(2000);
	await leaving;
	await making;
	expect(lab.files()).toBe(false);
	looks.release();
	expect(await looking).toEqual([]);
});

test("what the driver tidies up by itself is no use of the pool: whoever opens it next goes on with it", async () => {
	await using lab = await fakePool(new ManualClock());
	const { ceph, clock } = lab;
	const driver = await lab.open();
	const left = `${temporaryPrefix(nodeId)}left`;
	ceph.images.set(left, { id: "99", size: MiB, snapshots: [], meta: new Map() });
	const removal = ceph.hold("rbd rm");
	const activating = driver.activate();
	activating.catch(() => {});
	await removal.begun;
	await driver.deactivate();
	await fails("canceled", activating);
	expect(ceph.images.has(left)).toBe(true);
	expect(clock.waiting).toBe(0);
	removal.release();
	await lab.open();
	expect(ceph.images.has(left)).toBe(false);
});

test("a cluster that does not answer keeps nobody from leaving it, and what is asked of it comes to nothing", async () => {
	await using lab = await fakePool(new ManualClock());
	const { ceph, clock } = lab;
	const asked = ceph.hold("rbd ls");
	const driver = lab.driver();
	const activating = driver.activate();
	activating.catch(() => {});
	await asked.begun;
	await driver.deactivate();
	asked.release();
	await fails("unavailable", activating);
	expect(lab.files()).toBe(false);
	expect([...ceph.objects.keys()]).toEqual([]);

	const second = await lab.open();
	const entries = ceph.hold("rados listomapkeys");
	const again = second.activate();
	again.catch(() => {});
	await entries.begun;
	let isLeft = false;
	const leaving = second.deactivate().then(() => {
		isLeft = true;
	});
	for (let turn = 0; turn < 100 && !isLeft; turn++) {
		clock.advance(1000);
		await Promise.resolve();
	}
	await leaving;
	entries.release();
	await again.catch(() => {});
	expect(clock.waiting).toBe(0);
});

test("setting back that is finished for a driver of before is work like any other", async () => {
	await using lab = await fakePool(new ManualClock());
	const { ceph } = lab;
	const first = await lab.open();
	const [id, snapshotId] = [newId(), newId()];
	await first.createVolume(id, volume);
	await first.snapshots?.take(id, snapshotId, { running: false });
	// As a daemon that was killed in the middle of it has left it.
	ceph.objects.set(workObject, { keys: new Set([`${nodeId}.revert.${id}.${snapshotId}`]), owner: null });
	const meta = ceph.images.get(volumeName(id))?.meta;
	for (const [key, text] of meta ?? []) meta?.set(key, text.replace('"reverting":null', `"reverting":"${snapshotId}"`));
	const rollback = ceph.hold("rbd snap rollback");
	const second = lab.driver();
	const activating = second.activate();
	await rollback.begun;
	await fails("in-use", second.deactivate());
	rollback.release();
	await activating;
	await second.deactivate();
	expect(ceph.count("rbd snap rollback")).toBe(1);
});

test("a pool is not removed while something is under way in it", async () => {
	await using lab = await fakePool(new ManualClock());
	const driver = await lab.open();
	const held = lab.ceph.hold("rbd create");
	const making = driver.createVolume(newId(), volume);
	await held.begun;
	await fails("in-use", driver.remove());
	held.release();
	const { id } = await making;
	await driver.deleteVolume(id);
	await driver.remove();
	expect([...lab.ceph.objects.keys()]).toEqual([]);
	expect(lab.files()).toBe(false);
	await driver.remove();
});
