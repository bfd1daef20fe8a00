/** The way that every pool on iSCSI takes, on a real target, in the storage lab VM; the rest is in iscsi-lvm.vm.test.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { GiB, MiB } from "../../lib/units.ts";
import {
	credentials,
	type LabLuns,
	labLuns,
	sessionCount,
	wwidOf,
} from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";

let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [GiB, GiB], withChap: true });
}, 60_000);
afterAll(() => lab.close(), 60_000);

test("a wrong password is told, and leaves no session", async () => {
	const wrong = lab.driver(newId(), {}, { credentials: { ...credentials, chapPassword: "not-the-secret" } });
	expect(await fails("storage", wrong.probe())).toContain("CHAP");
	expect(await sessionCount()).toBe(0);
}, 60_000);

test("a LUN is found by its WWID and becomes a pool; volumes are made, copied, grown and deleted", async () => {
	// The second one of two that look the same.
	const driver = lab.driver(newId(), { wwid: wwidOf(2) });
	await driver.activate();
	expect(await sessionCount()).toBe(1);
	const [id, copy] = [newId(), newId()];
	await driver.createVolume(id, { format: "qcow2", sizeBytes: 32 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	await writeDisk(driver, id, 0, pattern(65_536));
	await driver.closeVolume(id);
	const source = { kind: "volume" as const, id, fullCopy: false };
	await driver.createVolume(copy, { format: "qcow2", sizeBytes: 32 * MiB, source });
	expect((await driver.resizeVolume(copy, 64 * MiB)).sizeBytes).toBe(64 * MiB);
	expectSame((await diskContent(driver, copy)).subarray(0, 65_536), pattern(65_536));
	await driver.deleteVolume(copy);
	await driver.deleteVolume(id);
	expect(await driver.listVolumes()).toEqual([]);
	await driver.remove();
	expect(await sessionCount()).toBe(0);
}, 240_000);
