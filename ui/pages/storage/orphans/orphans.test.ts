/** What goes is asked for where it lies. */
import { expect, test } from "bun:test";
import type { PoolOrphan } from "../../../../src/model/pool-orphan.ts";
import { bytesOf, deletionOf, rowsOf } from "./orphans.ts";

const orphan = (id: string, more: Partial<PoolOrphan> = {}): PoolOrphan => ({
	...{ nodeId: "n1", kind: "volume", id, found: "no-record", name: null, format: "qcow2" },
	...{ sizeBytes: 100, allocatedBytes: 40, reason: null },
	...more,
});
const rows = rowsOf([
	orphan("a"),
	orphan("a", { nodeId: "n2", allocatedBytes: null }),
	orphan("i", { kind: "image" }),
	orphan("r", { found: "no-content", name: "web-root", reason: "The file is missing." }),
]);

test("the same id on two nodes is two things", () => {
	expect(new Set(rows.map(({ id }) => id)).size).toBe(4);
	expect(bytesOf(rows.slice(0, 2))).toBe(140);
});

test("content is deleted on the node that has it, of a shared pool by whichever; records are deleted as such", () => {
	expect(deletionOf(rows, false)).toEqual({
		content: [
			{ nodeId: "n1", volumeIds: ["a"], imageIds: ["i"] },
			{ nodeId: "n2", volumeIds: ["a"], imageIds: [] },
		],
		records: rows.slice(3),
	});
	expect(deletionOf(rows.slice(0, 1), true).content).toEqual([{ nodeId: undefined, volumeIds: ["a"], imageIds: [] }]);
	expect(deletionOf(rows.slice(3), true).content).toEqual([]);
});
