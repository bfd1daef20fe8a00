/** How full a pool is, and where. Rules of phases are tested in rules.test.ts. */
import { expect, test } from "bun:test";
import type { Pool } from "./storage.ts";
import {
	isInOneTree,
	isSamePlace,
	losesByDiscard,
	poolPlace,
	poolUsage,
	provisioningKept,
	provisioningObstacle,
	provisioningOf,
} from "./storage-rules.ts";

type Part = Pool["nodes"][number];
const node = (
	totalBytes: number | null,
	usedBytes: number | null,
	updatedAt = "",
	{ nodeId = "n", health = "healthy" }: Partial<Part> = {},
): Part => ({
	nodeId,
	health,
	reason: null,
	totalBytes,
	usedBytes,
	availableBytes: totalBytes === null || usedBytes === null ? null : totalBytes - usedBytes,
	capabilities: null,
	updatedAt,
});
const usage = (usedBytes: number, totalBytes: number, isOld = false, leftOut: string[] = []) => ({
	...{ usedBytes, totalBytes, availableBytes: totalBytes - usedBytes, isOld, leftOut },
});

test("local pools add up over their nodes, shared ones are the same on each, and the newest report counts", () => {
	const nodes = [
		node(100, 40, "2026-01-01T00:00:00.000Z"),
		node(100, 10, "2026-01-01T00:00:05.000Z"),
		node(null, null),
	];
	expect(poolUsage({ type: "local", nodes, nodeIds: ["n"] })).toEqual(usage(50, 200));
	for (const type of ["nfs", "ceph-rbd", "iscsi-lvm"] as const)
		expect(poolUsage({ type, nodes, nodeIds: ["n"] })).toEqual(usage(10, 100));
});

test("what a part said before it failed does not count beside parts that work, and is marked where nothing does", () => {
	const [early, late] = ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:05.000Z"];
	const nodeIds = ["a", "b", "c"];
	const nodes = [
		node(100, 40, early, { nodeId: "a", health: "degraded" }),
		node(100, 10, late, { nodeId: "b", health: "error" }),
	];
	expect(poolUsage({ type: "local", nodes, nodeIds })).toEqual(usage(40, 100, false, ["b", "c"]));
	expect(poolUsage({ type: "nfs", nodes, nodeIds })).toEqual(usage(40, 100));
	const failed = nodes.map((part) => ({ ...part, health: "unmounted" as const }));
	expect(poolUsage({ type: "local", nodes: failed, nodeIds })).toEqual(usage(50, 200, true, ["c"]));
	expect(poolUsage({ type: "nfs", nodes: failed, nodeIds })).toEqual(usage(10, 100, true));
	// It works, and nobody knows how full it is: what it was is not said of a pool that works.
	const unsaid = [node(null, null, late, { nodeId: "a" }), node(100, 10, early, { nodeId: "b", health: "error" })];
	for (const type of ["local", "nfs"] as const) expect(poolUsage({ type, nodes: unsaid, nodeIds })).toBeNull();
});

test("what is not known is not zero", () => {
	expect(poolUsage({ type: "local", nodes: [], nodeIds: ["n"] })).toBeNull();
	expect(poolUsage({ type: "nfs", nodes: [node(null, null)], nodeIds: ["n"] })).toBeNull();
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

test("of NFS pools on one server none lies in another, however their folders are written", () => {
	const pool = (exportPath: string, folder: string | null, server = "nas") => ({
		...{ server, exportPath, folder, version: null, mountOptions: [] },
	});
	const inOneTree: [ReturnType<typeof pool>, ReturnType<typeof pool>][] = [
		[pool("/export", "a"), pool("/export", "a/volumes")],
		[pool("/export", null), pool("/export", "a")],
		[pool("/export", "a"), pool("/export/a", null)],
		[pool("/export/a/b", null), pool("/export/", "a")],
		[pool("/", null), pool("/srv//vms", "x")],
	];
	for (const [one, other] of inOneTree)
		expect([isInOneTree(one, other), isInOneTree(other, one)]).toEqual([true, true]);
	for (const [one, other] of [
		[pool("/export", "a"), pool("/export", "ab")],
		[pool("/export", "a"), pool("/export", "b/a")],
		[pool("/export", "a"), pool("/export", "a/b", "other")],
		[pool("/export", "a"), { path: "/export/a/b" }],
	] as const)
		expect([isInOneTree(one, other), isInOneTree(other, one)]).toEqual([false, false]);
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

const told = (nodeId: string, provisioning: ("thin" | "thick")[], reasons = {}): Pool["nodes"][number] => ({
	...{ ...node(100, 0), nodeId },
	capabilities: {
		...{ formats: ["raw"], provisioning, copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false },
		...{ snapshots: true, images: true, shared: false, reasons },
	},
});
const files = (nodes: Pool["nodes"]) => ({ type: "local" as const, config: { path: "/srv" }, nodes });

test("volumes are thick or thin as the node that makes them says; as the type has it while nobody has said", () => {
	const pool = files([node(1, 0), told("a", ["thin", "thick"]), told("b", ["thin"], { provisioning: "ZFS cannot." })]);
	expect([provisioningOf(pool), provisioningOf(pool, "b"), provisioningOf(pool, "c")]).toEqual([
		["thin", "thick"],
		["thin"],
		["thin", "thick"],
	]);
	expect(provisioningOf(files([]))).toEqual(["thin"]);
	const group = (layout: "thin" | "thick") =>
		provisioningOf({ type: "iscsi-lvm", config: { layout } as Pool["config"], nodes: [] });
	expect([group("thin"), group("thick")]).toEqual([["thin"], ["thick"]]);
	const alone = { shares: false };
	expect(provisioningObstacle(pool, "thick", { ...alone, nodeId: "a" })).toBeNull();
	expect(provisioningObstacle(pool, "thick", { ...alone, nodeId: "b" })).toBe("ZFS cannot.");
	expect(provisioningObstacle(files([]), "thick", alone)).toBe("Volumes of this pool are thin.");
	expect(provisioningKept(pool, { provisioning: "thick" }, "a")).toBe("thick");
	expect([provisioningKept(pool, { provisioning: "thick" }, "b"), provisioningKept(pool, {}, "a")]).toEqual([
		undefined,
		undefined,
	]);
});

test("a copy-on-write copy is thick only where all volumes are; a thick file keeps what its guest discards", () => {
	const both = files([told("a", ["thin", "thick"])]);
	const thick = files([told("a", ["thick"])]);
	expect(provisioningObstacle(both, "thick", { shares: true })).toContain("full copy");
	expect(provisioningObstacle(both, "thin", { shares: true })).toBeNull();
	expect(provisioningObstacle(thick, "thick", { shares: true })).toBeNull();
	expect(losesByDiscard({ provisioning: "thick" }, { type: "nfs" })).toBe(true);
	expect(losesByDiscard({ provisioning: "thick" }, { type: "iscsi-lvm" })).toBe(false);
	expect([losesByDiscard({}, { type: "local" }), losesByDiscard({ provisioning: "thin" }, null)]).toEqual([
		false,
		false,
	]);
});
