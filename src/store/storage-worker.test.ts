/** Which node works on a shared pool. */
import { expect, test } from "bun:test";
import type { Node } from "../model/node.ts";
import type { PoolNodeStatus } from "../model/storage.ts";
import { fixtureId, fixtureNfs, fixtureNode, fixturePool } from "../testing/fixtures.ts";
import { workerOfPool } from "./storage-worker.ts";

const [a, b] = [fixtureId(1), fixtureId(2)];
const part = (nodeId: string, health: PoolNodeStatus["health"]): PoolNodeStatus => ({
	...{ nodeId, health, reason: null, totalBytes: 1, usedBytes: 0, availableBytes: 1, capabilities: null },
	updatedAt: "2030-01-01T00:00:00.000Z",
});
const nodesOf = (lost: string[] = []): Node[] =>
	[a, b].map((id) => {
		const node = fixtureNode({ id, name: id });
		return lost.includes(id) ? { ...node, status: { ...node.status, phase: "left" } } : node;
	});

function workerWith(parts: PoolNodeStatus[], nodes = nodesOf()): string | null {
	const pool = fixturePool({ type: "nfs", config: fixtureNfs, nodeIds: [a, b], nodes: parts });
	const get = (_kind: string, id: string) => nodes.find((node) => node.id === id) ?? null;
	return workerOfPool({ get, all: () => [] } as unknown as Parameters<typeof workerOfPool>[0], pool);
}

test("the one where it works, without a warning if there is such a one", () => {
	expect(workerWith([part(a, "healthy"), part(b, "healthy")])).toBe(a);
	expect(workerWith([part(a, "degraded"), part(b, "healthy")])).toBe(b);
	for (const health of ["error", "unmounted"] as const)
		expect(workerWith([part(a, health), part(b, "degraded")])).toBe(b);
	expect(workerWith([part(a, "error"), part(b, "unmounted")])).toBe(a);
});

test("one that is heard of, if there is one", () => {
	expect(workerWith([part(a, "healthy"), part(b, "error")], nodesOf([a]))).toBe(b);
	expect(workerWith([part(a, "healthy"), part(b, "error")], nodesOf([a, b]))).toBe(a);
});
