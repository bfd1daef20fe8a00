/** What stays and what goes when snapshots are taken, reverted to and deleted, on records alone. */
import { expect, test } from "bun:test";
import {
	layersFrom,
	nextNeedless,
	ownFiles,
	unusedFile,
	withDiskDropped,
	withDiskOn,
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
