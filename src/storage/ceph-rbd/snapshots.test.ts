/** Snapshots of a volume as one node sees them while another one takes some. */
import { expect, test } from "bun:test";
import { newId } from "../conformance.ts";
import type { RbdContext } from "./context.ts";
import { snapshotName } from "./names.ts";
import { type SnapshotTree, taken } from "./snapshot-tree.ts";
import { RbdSnapshots } from "./snapshots.ts";

test("a snapshot that another node takes while it is listed has its parent", async () => {
	const [volume, first, second] = [newId(), newId(), newId()];
	let tree: SnapshotTree = { current: first, parents: { [first]: null }, reverting: null };
	const found = [first];
	const takeElsewhere = () => {
		tree = taken(tree, second, new Set(found));
		found.push(second);
	};
	const images = {
		async readMeta() {
			return JSON.stringify(tree);
		},
		async snapshots() {
			// All that has been asked for already is answered with what there was.
			await Promise.resolve();
			takeElsewhere();
			return found.map((id, index) => ({ id: index + 1, name: snapshotName(id), size: 1 }));
		},
	};
	const snapshots = new RbdSnapshots({ images, work: {} } as unknown as RbdContext);
	expect(await snapshots.list(volume)).toEqual([
		{ id: first, sizeBytes: 1, parentId: null },
		{ id: second, sizeBytes: 1, parentId: first },
	]);
});
