import { expect, test } from "bun:test";
import type { Pool } from "../../api/types.ts";
import { poolUsage } from "./usage.ts";

const node = (totalBytes: number | null, usedBytes: number | null): Pool["nodes"][number] => ({
	nodeId: "n",
	health: "healthy",
	reason: null,
	totalBytes,
	usedBytes,
	availableBytes: totalBytes === null || usedBytes === null ? null : totalBytes - usedBytes,
	capabilities: null,
	updatedAt: "",
});

test("local pools add up over their nodes, shared ones are the same on each", () => {
	const nodes = [node(100, 40), node(100, 10)];
	expect(poolUsage({ type: "local", nodes })).toEqual({ total: 200, used: 50, available: 150 });
	expect(poolUsage({ type: "nfs", nodes })).toEqual({ total: 100, used: 40, available: 60 });
});

test("what is not known is not zero", () => {
	expect(poolUsage({ type: "local", nodes: [] })).toBeNull();
	expect(poolUsage({ type: "local", nodes: [node(null, null)] })).toBeNull();
});
