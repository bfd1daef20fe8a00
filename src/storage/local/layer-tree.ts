/**
 * The files that a volume consists of, as a tree: the disk that is written to, and frozen layers, each on another one or on what
 * the volume rests on. Reverting to a snapshot leaves layers aside that the disk no longer rests on. Pure: records in,
 * records out.
 */
import type { VolumeFormat } from "../../model/storage.ts";
import type { VolumeRecord } from "./records.ts";

type Node = { format: VolumeFormat; below: string | null };
type Layer = { file: string; format: VolumeFormat };

function treeOf(record: VolumeRecord): Map<string, Node> {
	const tree = new Map<string, Node>();
	const chain: Layer[] = [{ file: record.file, format: record.format }, ...record.layers];
	for (const [at, { file, format }] of chain.entries()) tree.set(file, { format, below: chain[at + 1]?.file ?? null });
	for (const { file, format, below } of record.aside ?? []) tree.set(file, { format, below });
	return tree;
}

/** Own layers from `file` down. It ends, whatever a record says: no file comes twice. */
function chainIn(tree: ReadonlyMap<string, Node>, file: string | null): Layer[] {
	const chain: Layer[] = [];
	const seen = new Set<string>();
	for (let at = file; at !== null && !seen.has(at); ) {
		const node = tree.get(at);
		if (!node) break;
		seen.add(at);
		chain.push({ file: at, format: node.format });
		at = node.below;
	}
	return chain;
}

function recordOf(record: VolumeRecord, tree: ReadonlyMap<string, Node>, active: string): VolumeRecord {
	const [top = { file: record.file, format: record.format }, ...layers] = chainIn(tree, active);
	const inChain = new Set([top.file, ...layers.map(({ file }) => file)]);
	const aside = [...tree].filter(([file]) => !inChain.has(file)).map(([file, node]) => ({ file, ...node }));
	const { aside: _old, ...rest } = record;
	return { ...rest, file: top.file, format: top.format, layers, ...(aside.length > 0 ? { aside } : {}) };
}

/** All files of the volume, the one that is written to first. */
export const ownFiles = (record: VolumeRecord): Layer[] =>
	[...treeOf(record)].map(([file, { format }]) => ({ file, format }));

/** Files that rest on what the volume rests on, the one below the disk last. */
export function rootFiles(record: VolumeRecord): string[] {
	const roots = [...treeOf(record)].filter(([, { below }]) => below === null).map(([file]) => file);
	const last = (record.layers.at(-1) ?? record).file;
	return [...roots.filter((file) => file !== last), last];
}

/** The frozen layer and those below it; empty when it is none of the volume's. */
export const layersFrom = (record: VolumeRecord, file: string): Layer[] =>
	file === record.file ? [] : chainIn(treeOf(record), file);

/** A name that no file of the volume has. */
export function unusedFile(record: VolumeRecord): string {
	const used = new Set(ownFiles(record).map(({ file }) => /^disk-(\d+)\./.exec(file)?.[1]));
	let number = 1;
	while (used.has(`${number}`)) number += 1;
	return `disk-${number}.qcow2`;
}

/** `file` (qcow2, new) is written to from now on, on the layer `below`; the disk until now stays in the tree as a layer. */
export function withDiskOn(record: VolumeRecord, file: string, below: string): VolumeRecord {
	const tree = treeOf(record);
	tree.set(file, { format: "qcow2", below });
	return recordOf(record, tree, file);
}

/** Without a file that nothing of the volume rests on. */
export function withoutLeaf(record: VolumeRecord, file: string): VolumeRecord {
	const tree = treeOf(record);
	tree.delete(file);
	return recordOf(record, tree, record.file);
}

/** The layer below the disk is written to again, and the disk is gone. */
export function withDiskDropped(record: VolumeRecord): VolumeRecord {
	const tree = treeOf(record);
	const below = tree.get(record.file)?.below ?? null;
	if (below === null) return record;
	tree.delete(record.file);
	return recordOf(record, tree, below);
}

/** `layer` is gone, and what rested on it rests on what was below. */
export function withoutLayer(record: VolumeRecord, layer: string): VolumeRecord {
	const tree = treeOf(record);
	const below = tree.get(layer)?.below ?? null;
	tree.delete(layer);
	for (const [file, node] of tree) if (node.below === layer) tree.set(file, { ...node, below });
	return recordOf(record, tree, record.file);
}

/** `top` is in `base`, the layer below it: what rested on it rests on `base`, and what snapshot it was is `base`. */
export function withMergedDown(record: VolumeRecord, top: string, base: string): VolumeRecord {
	if (top === record.file) return withDiskDropped(record);
	const tree = treeOf(record);
	tree.delete(top);
	for (const [file, node] of tree) if (node.below === top) tree.set(file, { ...node, below: base });
	const snapshots = record.snapshots?.map((one) => (one.file === top ? { ...one, file: base } : one));
	return recordOf({ ...record, ...(snapshots ? { snapshots } : {}) }, tree, record.file);
}

/** The file of the volume that rests on this one; null when none does, or several. */
export function onlyChild(record: VolumeRecord, file: string): string | null {
	const children = [...treeOf(record)].filter(([, { below }]) => below === file);
	return children.length === 1 ? (children[0]?.[0] ?? null) : null;
}

export type Needless =
	| { kind: "leaf"; file: string }
	| { kind: "merge"; layer: Layer; into: "child" | "layer"; child: Layer };

/**
 * The next layer that is there for nothing: no snapshot is it, nothing outside rests on it, and one file of the volume
 * at most does. `neededElsewhere`: files that other volumes rest on. `merge` into `layer`: the child is the disk, and
 * the layer becomes it. Into `child`: the layer takes the child's name, for which both must be qcow2 files of the
 * volume's own folder; others stay as they are. `leave`: files that are not looked at.
 */
export function nextNeedless(
	record: VolumeRecord,
	neededElsewhere: ReadonlySet<string>,
	leave: ReadonlySet<string> = new Set(),
): Needless | null {
	const tree = treeOf(record);
	const snapshots = new Set((record.snapshots ?? []).map(({ file }) => file));
	const isOwn = (file: string) => !file.startsWith("/");
	for (const [file, node] of tree) {
		if (file === record.file || snapshots.has(file) || neededElsewhere.has(file) || leave.has(file)) continue;
		const children = [...tree].filter(([, { below }]) => below === file);
		const [only] = children;
		if (!only) return { kind: "leaf", file };
		if (children.length > 1) continue;
		const layer = { file, format: node.format };
		const child = { file: only[0], format: only[1].format };
		if (child.file === record.file) return { kind: "merge", layer, child, into: "layer" };
		if (isOwn(file) && isOwn(child.file) && node.format === "qcow2" && child.format === "qcow2")
			return { kind: "merge", layer, child, into: "child" };
	}
	return null;
}

/** The files that a VM has open when it has the volume: the disk, and the volume's own layers below it. */
export const openFiles = (record: VolumeRecord): Set<string> =>
	new Set([record.file, ...record.layers.map(({ file }) => file)]);

/**
 * The same among the files that QEMU has open: it writes `child` into `layer`, and only what is in its chain can learn that `child` is
 * gone. So a child on which anything else rests stays, until the VM is off. `above`: what rests on the child; null: it is the disk.
 */
export function nextLiveMerge(
	record: VolumeRecord,
	neededElsewhere: ReadonlySet<string>,
): { layer: string; child: string; above: string | null } | null {
	const open = openFiles(record);
	// What else is needless is done already, or rests on none of these.
	const leave = new Set(ownFiles(record).flatMap(({ file }) => (open.has(file) ? [] : [file])));
	for (;;) {
		const found = nextNeedless(record, neededElsewhere, leave);
		if (found?.kind !== "merge") return null;
		const [layer, child] = [found.layer.file, found.child.file];
		if (found.into === "layer") return { layer, child, above: null };
		const above = neededElsewhere.has(child) ? null : onlyChild(record, child);
		if (above !== null) return { layer, child, above };
		leave.add(layer);
	}
}
