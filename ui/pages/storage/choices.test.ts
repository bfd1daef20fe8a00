/** What a pool can do is what the forms offer. */
import { expect, test } from "bun:test";
import type { Pool } from "../../api/types.ts";
import { copiesAll, formatChoices, formatHint, formatIn, imageObstacle, poolChoices } from "./choices.ts";

const pool = (type: Pool["type"], config: Pool["config"], images = true): Pool => ({
	...{ id: type, generation: 1, createdAt: "", updatedAt: "", name: type, description: "", phase: "ready" },
	...{ type, config, nodeIds: ["n"] },
	nodes: [
		{
			...{ nodeId: "n", health: "healthy", reason: null, updatedAt: "" },
			...{ totalBytes: null, usedBytes: null, availableBytes: null },
			capabilities: {
				formats: type === "ceph-rbd" ? ["raw"] : ["qcow2", "raw"],
				...{ copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false, snapshots: false },
				...{ images, shared: type !== "local", reasons: {} },
			},
		},
	],
});
const local = pool("local", { path: "/srv" });
const ceph = pool("ceph-rbd", { monitors: ["a"], user: "u", cephPool: "p", namespace: null, dataPool: null });

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
