/**
 * Which snapshot a volume is at, and which one each snapshot came after: kept with the volume's image, since RBD only
 * knows an order in time. It is written before the change that it tells of, so what it says of snapshots that do not exist
 * (not made after all, or deleted) is passed over, up to the next one that does.
 */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";
import { uuidPattern } from "../../lib/ids.ts";
import { volumeName } from "./names.ts";
import type { RbdImages } from "./rbd-images.ts";

const key = "limiquantix-snapshots";
const SnapshotId = Type.String({ pattern: uuidPattern });
const MaybeId = Type.Union([SnapshotId, Type.Null()]);

const SnapshotTree = Type.Object(
	{
		current: MaybeId,
		parents: Type.Record(SnapshotId, MaybeId),
		/** The volume is being set back to it: its content is neither the old nor the new one. */
		reverting: MaybeId,
	},
	{ additionalProperties: false },
);
export type SnapshotTree = Static<typeof SnapshotTree>;

export const emptyTree: SnapshotTree = { current: null, parents: {}, reverting: null };

export async function readTree(images: RbdImages, volumeId: string): Promise<SnapshotTree> {
	const text = await images.readMeta(volumeName(volumeId), key);
	return text === null ? emptyTree : parseTree(text);
}

export async function writeTree(images: RbdImages, volumeId: string, tree: SnapshotTree): Promise<void> {
	await images.writeMeta(volumeName(volumeId), key, JSON.stringify(tree));
}

export function parseTree(text: string): SnapshotTree {
	try {
		const value: unknown = JSON.parse(text);
		if (Value.Check(SnapshotTree, value)) return value;
	} catch {
		// told below
	}
	throw new AppError("corrupt", "What is kept with the volume about its snapshots is damaged.");
}

/** The nearest snapshot that exists, from `id` on upwards. */
function nearest(tree: SnapshotTree, id: string | null, exists: ReadonlySet<string>): string | null {
	const seen = new Set<string>();
	let at = id;
	while (at !== null && !exists.has(at)) {
		if (seen.has(at)) return null;
		seen.add(at);
		at = tree.parents[at] ?? null;
	}
	return at;
}

export const parentOf = (tree: SnapshotTree, id: string, exists: ReadonlySet<string>): string | null =>
	nearest(tree, tree.parents[id] ?? null, exists);

/** Without what does not exist. */
export function pruned(tree: SnapshotTree, exists: ReadonlySet<string>): SnapshotTree {
	const parents = Object.fromEntries([...exists].map((id) => [id, parentOf(tree, id, exists)]));
	return { current: nearest(tree, tree.current, exists), parents, reverting: tree.reverting };
}

/** The volume is at the new snapshot `id`, which comes after where it was. */
export function taken(tree: SnapshotTree, id: string, exists: ReadonlySet<string>): SnapshotTree {
	const { current, parents, reverting } = pruned(tree, exists);
	return { current: id, parents: { ...parents, [id]: current }, reverting };
}
