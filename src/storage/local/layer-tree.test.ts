/** What stays and what goes when snapshots are taken, reverted to and deleted, on records alone. */
import { expect, test } from "bun:test";
import {
	layersFrom,
	nextLiveMerge,
	nextNeedless,
	ownFiles,
	unusedFile,
	withDiskDropped,
	withDiskOn,
	withMergedDown,
	withoutLayer,
	withoutLeaf,
} from "./layer-tree.ts";
import type { VolumeRecord } from "./records.ts";

const base: VolumeRecord = {
	...{
		version: 1,
		id: "01890000-0000-7000-8000-000000000001",
		format: "raw",
		file: "disk-1.raw",
		layers: [],
		backing: null,
	},
};
const snapshot = (number: number, file: string) => ({
	...{ id: `01890000-0000-7000-8000-00000000010${number}`, parentId: null, file, sizeBytes: 512 },
});
const names = (record: VolumeRecord) => ownFiles(record).map(({ file }) => file);
const none = new Set<string>();

/** disk-1.raw ← disk-2 ← disk-3, and disk-4 on disk-2: the disk. */
const forked = withDiskOn(
	withDiskOn(withDiskOn(base, "disk-2.qcow2", "disk-1.raw"), "disk-3.qcow2", "disk-2.qcow2"),
	"disk-4.qcow2",
	"disk-2.qcow2",
);

test("a disk on an older layer leaves the newer one aside", () => {
	expect(forked).toMatchObject({
		...{ file: "disk-4.qcow2", format: "qcow2" },
		layers: [
			{ file: "disk-2.qcow2", format: "qcow2" },
			{ file: "disk-1.raw", format: "raw" },
		],
		aside: [{ file: "disk-3.qcow2", format: "qcow2", below: "disk-2.qcow2" }],
	});
	expect(layersFrom(forked, "disk-3.qcow2").map(({ file }) => file)).toEqual([
		"disk-3.qcow2",
		"disk-2.qcow2",
		"disk-1.raw",
	]);
	expect(layersFrom(forked, "disk-4.qcow2")).toEqual([]);
	expect(layersFrom(forked, "disk-9.qcow2")).toEqual([]);
	expect(unusedFile(forked)).toBe("disk-5.qcow2");
	expect(unusedFile(withoutLeaf(forked, "disk-3.qcow2"))).toBe("disk-3.qcow2");
});

test("what nothing needs goes: leaves first, then layers with one file on them", () => {
	expect(nextNeedless(forked, none)).toEqual({ kind: "leaf", file: "disk-3.qcow2" });
	const trimmed = withoutLeaf(forked, "disk-3.qcow2");
	expect(trimmed.aside).toBeUndefined();
	expect(nextNeedless(trimmed, none)).toMatchObject({ kind: "merge", into: "layer", layer: { file: "disk-2.qcow2" } });
	const merged = withDiskDropped(trimmed);
	expect(names(merged)).toEqual(["disk-2.qcow2", "disk-1.raw"]);
	expect(names(withDiskDropped(merged))).toEqual(["disk-1.raw"]);
	expect(nextNeedless(withDiskDropped(merged), none)).toBeNull();
	expect(withDiskDropped(merged).format).toBe("raw");
});

test("snapshots, and what other volumes rest on, stay", () => {
	const held = { ...forked, snapshots: [snapshot(1, "disk-2.qcow2"), snapshot(2, "disk-3.qcow2")] };
	// disk-1.raw is raw: no file of another format takes its name.
	expect(nextNeedless(held, none)).toBeNull();
	const first = { ...held, snapshots: [snapshot(1, "disk-2.qcow2")] };
	expect(nextNeedless(first, new Set(["disk-3.qcow2"]))).toBeNull();
	// Two files rest on disk-2.
	expect(nextNeedless({ ...held, snapshots: [snapshot(2, "disk-3.qcow2")] }, none)).toBeNull();
});

test("a layer between others takes the name of the one above it", () => {
	const own: VolumeRecord = { ...base, format: "qcow2", file: "disk-1.qcow2" };
	const chain = withDiskOn(withDiskOn(own, "disk-2.qcow2", "disk-1.qcow2"), "disk-3.qcow2", "disk-2.qcow2");
	const held = { ...chain, snapshots: [snapshot(2, "disk-2.qcow2")] };
	expect(nextNeedless(held, none)).toMatchObject({
		into: "child",
		layer: { file: "disk-1.qcow2" },
		child: { file: "disk-2.qcow2" },
	});
	expect(names(withoutLayer(held, "disk-1.qcow2"))).toEqual(["disk-3.qcow2", "disk-2.qcow2"]);
	const adopted = {
		...held,
		layers: [...held.layers.slice(0, 1), { file: "/srv/old.qcow2", format: "qcow2" as const }],
	};
	expect(nextNeedless(adopted, none)).toBeNull();
});

/** disk-1.qcow2 ← disk-2 ← disk-3 ← disk-4: the disk; and disk-5 on `branch`. */
function tower(branch: string | null, snapshots: VolumeRecord["snapshots"]): VolumeRecord {
	let record: VolumeRecord = { ...base, format: "qcow2", file: "disk-1.qcow2" };
	if (branch === "disk-1.qcow2") record = withDiskOn(record, "disk-5.qcow2", branch);
	for (const [at, file] of ["disk-2.qcow2", "disk-3.qcow2", "disk-4.qcow2"].entries()) {
		if (branch === `disk-${at + 1}.qcow2` && branch !== "disk-1.qcow2")
			record = withDiskOn(record, "disk-5.qcow2", branch);
		record = withDiskOn(record, file, `disk-${at + 1}.qcow2`);
	}
	return { ...record, ...(snapshots ? { snapshots } : {}) };
}

test("of the files that QEMU has open it merges a layer that nothing needs with the one above", () => {
	const second = snapshot(2, "disk-2.qcow2");
	const third = snapshot(3, "disk-3.qcow2");
	const first = snapshot(1, "disk-1.qcow2");
	expect(nextLiveMerge(tower(null, [first, second, third]), none)).toBeNull();
	expect(nextLiveMerge(tower(null, [first, second]), none)).toEqual({
		...{ layer: "disk-3.qcow2", child: "disk-4.qcow2", above: null },
	});
	const middle = tower(null, [first, third]);
	expect(nextLiveMerge(middle, none)).toEqual({ layer: "disk-2.qcow2", child: "disk-3.qcow2", above: "disk-4.qcow2" });
	const merged = withMergedDown(middle, "disk-3.qcow2", "disk-2.qcow2");
	expect(merged).toMatchObject({
		file: "disk-4.qcow2",
		layers: [{ file: "disk-2.qcow2" }, { file: "disk-1.qcow2" }],
		snapshots: [first, { ...third, file: "disk-2.qcow2" }],
	});
	expect(nextLiveMerge(merged, none)).toBeNull();
});

test("a layer stays while the VM runs when something else rests on the one above, which would not learn of it", () => {
	const first = snapshot(1, "disk-1.qcow2");
	const third = snapshot(3, "disk-3.qcow2");
	const branch = snapshot(5, "disk-5.qcow2");
	// Another branch, and a volume that was copied.
	expect(nextLiveMerge(tower("disk-3.qcow2", [first, third, branch]), none)).toBeNull();
	expect(nextLiveMerge(tower(null, [first, third]), new Set(["disk-3.qcow2"]))).toBeNull();
	// On the layer itself: it is needed.
	expect(nextLiveMerge(tower("disk-2.qcow2", [first, third, branch]), none)).toBeNull();
	// Further below nothing changes for it.
	expect(nextLiveMerge(tower("disk-1.qcow2", [first, third, branch]), none)).not.toBeNull();
	// A raw file takes in what the disk holds, and no layer's.
	const raw = withDiskOn(withDiskOn(base, "disk-2.qcow2", "disk-1.raw"), "disk-3.qcow2", "disk-2.qcow2");
	expect(nextLiveMerge({ ...raw, snapshots: [snapshot(2, "disk-2.qcow2")] }, none)).toBeNull();
	expect(nextLiveMerge(raw, none)).toMatchObject({ layer: "disk-2.qcow2", above: null });
});
