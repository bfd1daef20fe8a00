/** How full a pool is, and where. Rules of phases are tested in rules.test.ts. */
import { expect, test } from "bun:test";
import type { Pool } from "./storage.ts";
import { isSamePlace, poolPlace, poolUsage } from "./storage-rules.ts";

const node = (totalBytes: number | null, usedBytes: number | null, updatedAt = ""): Pool["nodes"][number] => ({
	nodeId: "n",
	health: "healthy",
	reason: null,
	totalBytes,
	usedBytes,
	availableBytes: totalBytes === null || usedBytes === null ? null : totalBytes - usedBytes,
	capabilities: null,
	updatedAt,
});
const usage = (usedBytes: number, totalBytes: number) => ({
	...{ usedBytes, totalBytes, availableBytes: totalBytes - usedBytes },
});

test("local pools add up over their nodes, shared ones are the same on each, and the newest report counts", () => {
	const nodes = [
		node(100, 40, "2026-01-01T00:00:00.000Z"),
		node(100, 10, "2026-01-01T00:00:05.000Z"),
		node(null, null),
	];
	expect(poolUsage({ type: "local", nodes })).toEqual(usage(50, 200));
	for (const type of ["nfs", "ceph-rbd", "iscsi-lvm"] as const)
		expect(poolUsage({ type, nodes })).toEqual(usage(10, 100));
});

test("what is not known is not zero", () => {
	expect(poolUsage({ type: "local", nodes: [] })).toBeNull();
	expect(poolUsage({ type: "nfs", nodes: [node(null, null)] })).toBeNull();
});

test("a pool is where people say it is", () => {
	const nfs = { server: "nas1", exportPath: "/export", folder: null, version: null, mountOptions: [] };
	expect(poolPlace({ path: "/srv/vms" })).toBe("/srv/vms");
	expect(poolPlace(nfs)).toBe("nas1:/export");
	expect(poolPlace({ ...nfs, server: "fd00::1", folder: "a/b" })).toBe("[fd00::1]:/export/a/b");
	expect(poolPlace({ ...nfs, exportPath: "/", folder: "a" })).toBe("nas1:/a");
	const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
	expect(poolPlace(ceph)).toBe("rbd");
	expect(poolPlace({ ...ceph, namespace: "berlin" })).toBe("rbd/berlin");
	const target = "iqn.2026-01.net.example:disks";
	const iscsi = { portals: ["10.0.0.5"], target, wwid: "naa.6001405a", chapUser: null, mutualChapUser: null };
	expect(poolPlace({ ...iscsi, layout: "thick", wipeOnDelete: false, hostIds: {} })).toBe(target);
});

test("a LUN holds one pool, however its name is written and whatever the layout is", () => {
	const base = {
		portals: ["10.0.0.1:3260"],
		target: "iqn.2026-01.net.example:disks",
		chapUser: null,
		mutualChapUser: null,
	};
	const more = { hostIds: {}, wipeOnDelete: false };
	const lun = (wwid: string, layout: "thick" | "thin") => ({ ...base, ...more, wwid, layout });
	expect(isSamePlace(lun("naa.6001405abc", "thick"), lun("naa.6001405ABC ", "thin"))).toBe(true);
	expect(isSamePlace(lun("naa.6001405abc", "thick"), lun("naa.6001405abd", "thick"))).toBe(false);
});
