import { expect, test } from "bun:test";
import { seed } from "../../dev/mock/seed.ts";
import { hostCapacity } from "./host-capacity.ts";

test("nodes that are not heard of, have left, or only vote are no capacity", () => {
	const state = seed({ vms: 1 });
	state.stop();
	const [node] = state.tables.node.values();
	if (!node) throw new Error("the seed is empty");
	const { status } = node;
	const one = { cpus: status.cpuCount, memoryBytes: status.memoryBytes };
	const lost = { ...node, status: { ...status, phase: "not-ready", lost: true } } as const;
	const left = { ...node, status: { ...status, phase: "left" } } as const;
	expect(hostCapacity([node, lost, left, { ...node, witness: true }])).toEqual(one);
	expect(hostCapacity([node, node])).toEqual({ cpus: 2 * one.cpus, memoryBytes: 2 * one.memoryBytes });
});
