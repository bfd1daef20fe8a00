/** The tree of a VM's snapshots, and names for new ones. */
import { expect, test } from "bun:test";
import { fixtureSnapshot } from "../../../../src/testing/fixtures.ts";
import { freeName, isTaken, type SnapshotNode, sizeOfSnapshot, treeOf } from "./tree.ts";

const snapshot = (id: string, parentId: string | null, minute: number) =>
	fixtureSnapshot({ id, name: id, parentId, createdAt: `2026-01-01T10:${String(minute).padStart(2, "0")}:00.000Z` });
const shown = (nodes: readonly SnapshotNode[]): unknown[] =>
	nodes.map(({ snapshot: { name }, children }) => (children.length === 0 ? name : [name, ...shown(children)]));

test("each is below its parent, siblings by age, whatever order they come in", () => {
	const all = [snapshot("d", "b", 4), snapshot("c", "a", 3), snapshot("a", null, 1), snapshot("b", "a", 2)];
	expect(shown(treeOf(all))).toEqual([["a", ["b", "d"], "c"]]);
	expect(shown(treeOf([...all].reverse()))).toEqual([["a", ["b", "d"], "c"]]);
});

test("one whose parent is not known begins a tree", () => {
	expect(shown(treeOf([snapshot("b", "gone", 2), snapshot("c", "b", 3), snapshot("a", null, 1)]))).toEqual([
		"a",
		["b", "c"],
	]);
	expect(treeOf([])).toEqual([]);
});

test("a new one is named by its time, and by a number when that is taken", () => {
	const now = new Date(2026, 0, 31, 14, 5);
	expect(freeName(now, [])).toBe("2026-01-31-1405");
	expect(freeName(now, [{ name: "2026-01-31-1405" }, { name: "2026-01-31-1405-2" }])).toBe("2026-01-31-1405-3");
	expect([isTaken("Before", [{ name: "before" }]), isTaken("Before", [{ name: "before-2" }])]).toEqual([true, false]);
});

test("its size is that of all its disks", () => {
	const disk = (sizeBytes: number) => ({ diskId: "disk-0", volumeId: "v", sizeBytes });
	expect(sizeOfSnapshot({ disks: [disk(3), disk(4)] })).toBe(7);
});
