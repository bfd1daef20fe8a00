/** What a pool can do is what the forms offer. */
import { expect, test } from "bun:test";
import { poolUsage } from "../../../src/model/storage-rules.ts";
import type { Pool } from "../../api/types.ts";
import {
	copiesAll,
	currentSpace,
	formatChoices,
	formatHint,
	formatIn,
	imageObstacle,
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
		"Without one node, where it is not known now.",
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
