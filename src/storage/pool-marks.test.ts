/** What people are told to remove is what the drivers have there. */
import { expect, test } from "bun:test";
import { fixtureId, fixtureNfs } from "../testing/fixtures.ts";
import { markOfPool } from "./pool-marks.ts";

const id = fixtureId(0x33);

test("by type of pool", () => {
	expect(markOfPool(id, { path: "/srv/vms" })).toBe(
		"/srv/vms is refused to other pools while the file limiquantix-pool.json is in it: remove it there if nothing of the pool is wanted.",
	);
	expect(markOfPool(id, { ...fixtureNfs, server: "nas1", exportPath: "/export", folder: "vms" })).toStartWith(
		"nas1:/export/vms is refused to other pools while the file limiquantix-pool.json is in it",
	);
	const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
	expect(markOfPool(id, ceph)).toEndWith(": rados --pool rbd rm limiquantix-pool removes it.");
	expect(markOfPool(id, { ...ceph, namespace: "berlin" })).toBe(
		"Ceph's pool rbd/berlin is refused to other pools while the object limiquantix-pool is there: rados --pool rbd --namespace berlin rm limiquantix-pool removes it.",
	);
	const lun = { portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a", hostIds: {} };
	expect(markOfPool(id, { ...lun, chapUser: null, mutualChapUser: null, layout: "thick", wipeOnDelete: false })).toBe(
		`The LUN naa.6001405a is refused to other pools while the volume group lqx-${id} is on it: vgremove removes it, or a new pool that is told to overwrite "LVM2_member of group lqx-${id}".`,
	);
});
