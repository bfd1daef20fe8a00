/** Snapshots as a tree: each below the one that the VM was at when it was taken. Pure. */
import type { Snapshot } from "../../../api/types.ts";

export type SnapshotNode = { snapshot: Snapshot; children: SnapshotNode[] };

/** Siblings in the order of their making. What has no parent that is known begins a tree of its own. */
export function treeOf(snapshots: readonly Snapshot[]): SnapshotNode[] {
	const ordered = [...snapshots].sort((a, b) => (`${a.createdAt} ${a.id}` < `${b.createdAt} ${b.id}` ? -1 : 1));
	const nodes = new Map(ordered.map((snapshot) => [snapshot.id, { snapshot, children: [] as SnapshotNode[] }]));
	const roots: SnapshotNode[] = [];
	for (const node of nodes.values()) {
		const parent = nodes.get(node.snapshot.parentId ?? "");
		(parent?.children ?? roots).push(node);
	}
	return roots;
}

/** What all its disks are large together, in bytes. */
export const sizeOfSnapshot = ({ disks }: Pick<Snapshot, "disks">): number =>
	disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** "2026-01-31-1405" in the browser's own time, with a number behind it when there is one of that name. */
export function freeName(now: Date, snapshots: readonly Pick<Snapshot, "name">[]): string {
	const two = (value: number) => String(value).padStart(2, "0");
	const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
	const name = `${day}-${two(now.getHours())}${two(now.getMinutes())}`;
	for (let number = 1; ; number++) {
		const candidate = number === 1 ? name : `${name}-${number}`;
		if (!isTaken(candidate, snapshots)) return candidate;
	}
}

/** Upper and lower case are the same. */
export const isTaken = (name: string, snapshots: readonly Pick<Snapshot, "name">[]): boolean =>
	snapshots.some((other) => other.name.toLowerCase() === name.toLowerCase());
