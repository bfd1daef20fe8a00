/**
 * Which nodes have a pool's folder: `nodes/<node id>`, an empty file each. A folder on storage that several hosts mount bears one
 * marker for all of them, and who goes must leave it to the others. An id is never used by a second node, so it also says
 * which of its lives a host had the folder in.
 *
 * Not in the marker itself: older versions take one with more in it for damaged. They name nobody, so where nobody is named nothing is known,
 * and whoever has the pool may give the folder free.
 */
import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isUuid } from "../../lib/ids.ts";
import { type Step, syncFolder, writeFileDurably } from "../durable.ts";
import { errnoOf } from "../file-errors.ts";
import { requireId } from "../names.ts";
import { requireOwnFolder } from "./pool-place.ts";

export const nodesFolder = "nodes";
const nodesOf = (root: string): string => join(root, nodesFolder);

export async function namedNodes(root: string): Promise<string[]> {
	try {
		return (await readdir(nodesOf(root))).filter(isUuid).sort();
	} catch (error) {
		if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
		throw error;
	}
}

/** Writes nothing when it is named already. */
export async function nameNode(root: string, nodeId: string, step: Step): Promise<void> {
	requireId(nodeId, "node");
	if ((await namedNodes(root)).includes(nodeId)) return;
	const folder = nodesOf(root);
	await mkdir(folder, { mode: 0o700, recursive: true });
	await chmod(folder, 0o700);
	await requireOwnFolder(folder);
	await writeFileDurably(join(folder, nodeId), "", step);
	await syncFolder(root);
}

export async function unnameNode(root: string, nodeId: string): Promise<void> {
	requireId(nodeId, "node");
	if (!(await namedNodes(root)).includes(nodeId)) return;
	await requireOwnFolder(nodesOf(root));
	await rm(join(nodesOf(root), nodeId), { force: true });
	await syncFolder(nodesOf(root));
}
