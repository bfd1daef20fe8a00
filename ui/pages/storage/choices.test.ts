/** What a pool can do is what the forms offer. */
import { expect, test } from "bun:test";
import { poolUsage } from "../../../src/model/storage-rules.ts";
import type { Pool } from "../../api/types.ts";
import {
	copiesAll,
	copyObstacle,
	currentSpace,
	diskIn,
	formatChoices,
	formatHint,
	formatIn,
	imageObstacle,
	isWrittenTo,
	poolChoices,
	provisioningBody,
	provisioningChoices,
	provisioningHint,
	provisioningIn,
	usageNote,
} from "./choices.ts";

const pool = (type: Pool["type"], config: Pool["config"], images = true): Pool => ({
	...{ id: type, generation: 1, createdAt: "", updatedAt: "", name: type, description: "", phase: "ready" },
	...{ type, config, nodeIds: ["n"] },
	nodes: [
		{
			...{ nodeId: "n", health: "healthy", reason: null, updatedAt: "" },
			...{ totalBytes: null, usedBytes: null, availableBytes: null },
			capabilities: {
				formats: type === "ceph-rbd" ? ["raw"] : ["qcow2", "raw"],
				provisioning: type === "ceph-rbd" ? ["thin"] : ["thin", "thick"],
				...{ copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false, snapshots: false },
				...{ images, shared: type !== "local", reasons: { provisioning: "Ceph is thin." } },
			},
		},
	],
});
const local = pool("local", { path: "/srv" });
const ceph = pool("ceph-rbd", { monitors: ["a"], user: "u", cephPool: "p", namespace: null, dataPool: null });

test("what is left is said of parts that work now, and figures say what they are not", () => {
	const [part] = local.nodes;
	if (!part) throw new Error("the pool has no part");
	const seen = { ...part, totalBytes: 100, usedBytes: 40, availableBytes: 60 };
	const failed = { ...seen, nodeId: "m", health: "unmounted" as const };
	const both = { ...local, nodeIds: ["n", "m"], nodes: [seen, failed] };
	const gone = { ...both, nodes: [failed] };
	expect([currentSpace(both), currentSpace(gone), currentSpace(local)]).toEqual([60, null, null]);
	const noteOf = (one: Pool) => usageNote(poolUsage(one) ?? { ...{ usedBytes: 0, totalBytes: 0 }, ...nothing });
	const nothing = { availableBytes: 0, isOld: false, leftOut: [] };
	expect([noteOf(both), noteOf(gone), noteOf({ ...both, nodes: [seen, { ...seen, nodeId: "m" }] })]).toEqual([
		"One node is not counted: its space is not known now.",
		"As last seen: no node reaches the pool now.",
		null,
	]);
});

test("a pool with one format has its disks in that, and shares data in it", () => {
	expect([formatIn(local, "qcow2"), formatIn(ceph, "qcow2"), formatIn(undefined, "qcow2")]).toEqual([
		"qcow2",
		"raw",
		"qcow2",
	]);
	expect([copiesAll(local, "raw"), copiesAll(local, "qcow2"), copiesAll(ceph, "raw")]).toEqual([true, false, false]);
	expect(formatChoices(ceph).filter(({ disabled }) => !disabled)).toHaveLength(1);
	expect(formatHint(ceph, "raw")).not.toBe(formatHint(local, "raw"));
});

test("a pool that holds no images is not offered for them", () => {
	const disks = pool("local", { path: "/srv" }, false);
	expect(poolChoices([disks], { forImages: true })[0]).toMatchObject({ disabled: true });
	expect(poolChoices([disks])[0]).toMatchObject({ disabled: false });
	expect([imageObstacle(disks), imageObstacle(ceph)]).toEqual([expect.stringMatching(/\.$/), null]);
});

test("a pool that cannot be used now says so", () => {
	const broken: Pool = { ...ceph, phase: "error" };
	expect(poolChoices([broken])[0]).toMatchObject({ label: "ceph-rbd (error)", disabled: true });
	expect(imageObstacle(broken)).toContain("error");
});

test("thick is offered where the pool has it, said only when it is not what the pool does, and copies all", () => {
	const able = (pool: Pool | undefined) =>
		provisioningChoices(pool)
			.filter(({ disabled }) => !disabled)
			.map(({ value }) => value);
	expect([able(local), able(ceph), able(undefined)]).toEqual([["thin", "thick"], ["thin"], ["thin"]]);
	expect([provisioningIn(local, "thick"), provisioningIn(ceph, "thick")]).toEqual(["thick", "thin"]);
	expect([provisioningHint(ceph, "thin"), provisioningHint(local, "thick")]).toEqual([
		"Ceph is thin.",
		expect.stringContaining("set aside"),
	]);
	const bodies = [provisioningBody(local, "thick"), provisioningBody(local, "thin"), provisioningBody(ceph, "thick")];
	expect(bodies).toEqual([{ provisioning: "thick" }, {}, {}]);
	expect([
		copiesAll(local, "qcow2", "thick"),
		copiesAll(local, "qcow2", "thin"),
		copiesAll(ceph, "raw", "thick"),
	]).toEqual([true, false, false]);
});

test("a disk of an image in another pool is a full copy, in the format of that pool", () => {
	const wanted = { format: "qcow2", provisioning: "thin" } as const;
	expect(diskIn(local, { ...wanted, from: local })).toEqual({ format: "qcow2", elsewhere: false, mustBeFull: false });
	expect(diskIn(ceph, { ...wanted, from: local })).toEqual({ format: "raw", elsewhere: true, mustBeFull: true });
	expect(diskIn(ceph, { ...wanted, from: ceph })).toEqual({ format: "raw", elsewhere: false, mustBeFull: false });
	expect(diskIn(local, { ...wanted, provisioning: "thick", from: local })).toMatchObject({ mustBeFull: true });
	expect(diskIn(local, { ...wanted, from: undefined })).toMatchObject({ elsewhere: false });
});

test("one node reads the image and writes the disk", () => {
	const on = (one: Pool, ...nodeIds: string[]): Pool => ({
		...one,
		nodeIds,
		nodes: nodeIds.map((nodeId) => ({ ...(one.nodes[0] as Pool["nodes"][number]), nodeId })),
	});
	const from = on(local, "a", "b");
	const why = (pool: Pool, nodeId: string | null = null) =>
		copyObstacle(pool, { from, nodeId, nameOf: (id) => `node ${id}` });
	const both = on(ceph, "b", "c");
	expect([why(both), why(both, "b"), why(from, "a")]).toEqual([null, null, null]);
	expect(why(on(ceph, "c"))).toBe("No node has both pools.");
	expect(why(both, "c")).toBe("node c does not have both pools.");
	const broken = (...ids: string[]): Pool => ({
		...both,
		phase: "degraded",
		nodes: both.nodes.map((part) =>
			ids.includes(part.nodeId) ? { ...part, health: "unmounted", reason: "It is gone." } : part,
		),
	});
	expect(why(broken("b"))).toBe("It does not work on node b: It is gone.");
	expect([why(broken("c")), why(broken("c"), "b")]).toEqual([null, null]);
	// Of one that works nowhere its own state is said.
	expect(why({ ...broken("b", "c"), phase: "error" })).toBeNull();
	expect(why(from, "c")).toBe("node c does not have the pool local.");
});

test("the pool of the image has to work where the disk is made, too", () => {
	const on = (one: Pool, healths: Record<string, Pool["nodes"][number]["health"]>): Pool => ({
		...one,
		nodeIds: Object.keys(healths),
		nodes: Object.entries(healths).map(([nodeId, health]) => ({
			...(one.nodes[0] as Pool["nodes"][number]),
			...{ nodeId, health, reason: health === "healthy" ? null : `It is ${health}.` },
		})),
	});
	const why = (target: Pool, from: Pool, nodeId: string | null = null) =>
		copyObstacle(target, { from, nodeId, nameOf: (id) => `node ${id}` });
	const target = on(ceph, { a: "healthy", b: "healthy" });
	const image = (a: Pool["nodes"][number]["health"], b: typeof a) => on(local, { a, b });
	expect(why(target, image("error", "degraded"))).toBeNull();
	expect(why(target, image("error", "healthy"), "b")).toBeNull();
	const fails = "The pool of the image, local, does not work on node a: It is error.";
	expect(why(target, image("error", "healthy"), "a")).toBe(fails);
	expect(why(target, image("error", "unmounted"))).toBe(fails);
	// No node is left where both work.
	const half = on(ceph, { a: "healthy", b: "error" });
	expect(why(half, image("error", "healthy"))).toBe(fails);
	expect(why(half, image("healthy", "error"))).toBeNull();
	const unseen = { ...image("healthy", "healthy"), nodes: [] };
	expect(why(target, unseen)).toBeNull();
});

test("a copy of a VM's disk rests on it only where copies stand alone, and all members know of that", () => {
	const knows = { features: ["free-sources-1"] };
	const lun = {
		...{ portals: ["a"], target: "iqn.2026-01.org.example:vms", wwid: "naa.6", chapUser: null },
		...{ mutualChapUser: null, wipeOnDelete: false, hostIds: {} },
	};
	const thin = pool("iscsi-lvm", { ...lun, layout: "thin" });
	const thick = pool("iscsi-lvm", { ...lun, layout: "thick" });
	const all = (vmId: string | null, members: Parameters<typeof isWrittenTo>[2]) =>
		[ceph, thin, thick, local, undefined].map((one) => isWrittenTo({ vmId }, one, members));
	expect(all(null, [{ features: [] }])).toEqual([false, false, false, false, false]);
	expect(all("vm", [knows, knows, { features: null }])).toEqual([false, false, true, true, true]);
	expect(all("vm", [knows, { features: ["cluster-1"] }])).toEqual([true, true, true, true, true]);
});
