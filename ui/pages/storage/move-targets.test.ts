/** Which pools can take volumes, and why others cannot. */
import { expect, test } from "bun:test";
import type { Pool, Vm, Volume } from "../../api/types.ts";
import { moveTargets } from "./move-targets.ts";

type Part = Pool["nodes"][number];
const part = (nodeId: string, more: Partial<Part> = {}): Part => ({
	...{ nodeId, health: "healthy", reason: null, updatedAt: "", capabilities: null },
	...{ totalBytes: 1000, usedBytes: 900, availableBytes: 100 },
	...more,
});
const pool = (id: string, nodes: Part[], more: Partial<Pool> = {}): Pool => ({
	...{ id, generation: 1, createdAt: "", updatedAt: "", name: id, description: "", phase: "ready" },
	...{ type: "local", config: { path: `/${id}` }, nodeIds: nodes.map(({ nodeId }) => nodeId), nodes },
	...more,
});
const volume = (more: Partial<Volume> = {}): Volume => ({
	...{ id: "v", generation: 1, createdAt: "", updatedAt: "", name: "v", poolId: "here", nodeId: "n1" },
	...{ format: "qcow2", sizeBytes: 500, allocatedBytes: 60, source: { kind: "empty" }, phase: "ready" },
	...{ vmId: null, error: null },
	...more,
});
const here = pool("here", [part("n1"), part("n2")]);
const obstacles = (volumes: Volume[], pools: Pool[], vms: Vm[] = []) =>
	Object.fromEntries(
		moveTargets(volumes, { pools: [here, ...pools], vms, nameOf: (id) => id }).map((one) => [
			one.pool.id,
			one.obstacle,
		]),
	);

test("one that is on its node, works there and has room; those come first", () => {
	const pools = [
		pool("elsewhere", [part("n2")]),
		pool("fails", [part("n1", { health: "error", reason: "No answer." }), part("n2")], { phase: "degraded" }),
		pool("full", [part("n1", { availableBytes: 59 })]),
		pool("gone", [part("n1")], { phase: "deleting" }),
		pool("takes", [part("n1", { availableBytes: 60 })]),
	];
	expect(obstacles([volume()], pools)).toEqual({
		elsewhere: "It is not on n1, where the volume is.",
		fails: "It does not work on n1: No answer.",
		full: "It has 59 B left, and 60 B are needed.",
		gone: "It is being deleted.",
		here: "It is in this pool.",
		takes: null,
	});
	expect(Object.keys(obstacles([volume()], pools))[0]).toBe("takes");
});

test("of a pool that nodes share it is copied where its VM is, or on any node that has both", () => {
	const shared = pool("here", [part("n1"), part("n2")], { type: "nfs" });
	const there = pool("there", [part("n1", { health: "error" }), part("n2")], { phase: "degraded" });
	const vm = { id: "vm", nodeId: "n1" } as Vm;
	const targets = (one: Volume) =>
		moveTargets([one], { pools: [shared, there], vms: [vm], nameOf: (id) => id }).find(
			({ pool: { id } }) => id === "there",
		);
	expect(targets(volume({ nodeId: null }))?.obstacle).toBeNull();
	expect(targets(volume({ nodeId: null, vmId: "vm" }))?.obstacle).toBe("It does not work on n1.");
	const far = pool("there", [part("n3")]);
	const [one] = moveTargets([volume({ nodeId: null })], { pools: [far], vms: [], nameOf: (id) => id });
	expect(one?.obstacle).toBe("No node has both pools.");
});

test("a node where a pool works with a warning, rather than one where it does not", () => {
	const shared = pool("here", [part("n1"), part("n2")], { type: "nfs" });
	const nodes = [part("n1", { health: "unmounted" }), part("n2", { health: "degraded", availableBytes: 70 })];
	const there = pool("there", nodes, { phase: "degraded" });
	const [one] = moveTargets([volume({ nodeId: null })], { pools: [shared, there], vms: [], nameOf: (id) => id });
	expect([one?.pool.id, one?.obstacle, one?.availableBytes]).toEqual(["there", null, 70]);
});

test("several together need room for all, and a pool that takes each of them", () => {
	const takes = pool("takes", [part("n1", { availableBytes: 100 }), part("n2")]);
	const [one, two] = [volume(), volume({ id: "w", allocatedBytes: 41 })];
	expect(obstacles([one, two], [takes]).takes).toBe("It has 100 B left, and 101 B are needed.");
	expect(obstacles([one, volume({ id: "w", allocatedBytes: 40 })], [takes]).takes).toBeNull();
	expect(obstacles([one, volume({ id: "w", poolId: "takes" })], [takes]).takes).toBe("Some of them are in this pool.");
});
