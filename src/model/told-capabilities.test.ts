import { expect, test } from "bun:test";
import type { Pool, PoolCapabilities } from "./storage.ts";
import { reasonAgainst, toldCapabilities } from "./told-capabilities.ts";

const able: PoolCapabilities = {
	...{ formats: ["qcow2", "raw"], provisioning: ["thin", "thick"], copyOnWriteClone: true, fullClone: true },
	...{ resizeOnline: true, shrink: false, snapshots: true, images: true, shared: true },
	reasons: { shrink: "It cuts off.", flattenOnline: "Only QEMU could." },
};
const old: PoolCapabilities = {
	...able,
	provisioning: ["thin"],
	reasons: { ...able.reasons, provisioning: "It is 4.1.", discard: "Not in 4.1." },
};
const before: PoolCapabilities = { ...able, reasons: { shrink: "It cuts off." } };
delete before.provisioning;

const pool = (...records: (PoolCapabilities | null)[]): Pick<Pool, "nodes"> => ({
	nodes: records.map((capabilities, at) => ({
		...{ nodeId: `n${at + 1}`, health: "healthy", reason: null, capabilities, updatedAt: "" },
		...{ totalBytes: null, usedBytes: null, availableBytes: null },
	})),
});
const named = (given: Pick<Pool, "nodes">, name: string) => toldCapabilities(given).find((one) => one.name === name);

test("nodes that agree are one answer, with what has a reason only behind the rest", () => {
	const told = toldCapabilities(pool(old, null, old));
	expect(told.map(({ name }) => name)).toEqual([
		...["formats", "provisioning", "copyOnWriteClone", "fullClone", "resizeOnline", "shrink", "snapshots", "images"],
		...["shared", "flattenOnline", "discard"],
	]);
	expect(told.every(({ everywhere }) => everywhere)).toBe(true);
	expect(told.at(-1)?.told).toEqual([{ value: false, reason: "Not in 4.1.", nodeIds: ["n1", "n3"] }]);
});

test("nodes that differ are told apart, where they do", () => {
	const mixed = pool(able, old, able);
	expect(named(mixed, "provisioning")).toEqual({
		name: "provisioning",
		everywhere: false,
		told: [
			{ value: ["thin", "thick"], reason: null, nodeIds: ["n1", "n3"] },
			{ value: ["thin"], reason: "It is 4.1.", nodeIds: ["n2"] },
		],
	});
	expect(named(mixed, "shrink")).toMatchObject({ everywhere: true, told: [{ reason: "It cuts off." }] });
	// That it can is said by no node that gives no reason: where discard means nothing, nobody has one.
	expect(named(mixed, "discard")).toMatchObject({ everywhere: false, told: [{ nodeIds: ["n2"] }] });
});

test("a node of before says nothing of what it does not know", () => {
	expect([named(pool(before), "provisioning"), named(pool(before), "flattenOnline")]).toEqual([undefined, undefined]);
	expect(named(pool(before, able), "flattenOnline")).toMatchObject({ everywhere: false, told: [{ nodeIds: ["n2"] }] });
	expect(toldCapabilities(pool(null))).toEqual([]);
});

test("a reason is that of the node, or of the first that has said anything", () => {
	const mixed = pool(null, able, old);
	expect([reasonAgainst(mixed, "discard", "n3"), reasonAgainst(mixed, "discard", "n2")]).toEqual([
		"Not in 4.1.",
		undefined,
	]);
	expect([reasonAgainst(pool(null, old), "discard", "n1"), reasonAgainst(pool(null), "discard", null)]).toEqual([
		"Not in 4.1.",
		undefined,
	]);
});
