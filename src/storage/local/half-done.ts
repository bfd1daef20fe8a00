/**
 * What an interrupted operation leaves inside of a volume's folder. In a folder of this node alone every volume is looked through when
 * the pool is activated. In a shared one, another node may be at work in any of them: so whoever changes a volume's files
 * leaves a mark first, volumes/.work-<node>-<volume>, and takes it away at the end. A node that starts looks after its own
 * marks; one that changes a volume which bears somebody's mark tidies it up first, for only one node at a time is given a volume.
 */
import { chmod, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { uuidPattern } from "../../lib/ids.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { volumeFile } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { diskMode, frozenMode } from "./freeze.ts";
import { onlyChild, ownFiles } from "./layer-tree.ts";
import { finishMerge } from "./merge-layers.ts";
import { workPrefix } from "./pool-folder.ts";
import { settleFlatten } from "./settle-flatten.ts";

const uuid = uuidPattern.replace(/^\^|\$$/g, "");
const markPattern = new RegExp(`^\\${workPrefix}(${uuid})-(${uuid})$`);

/** The volume that a mark of this name is for; null when it is none. */
export const halfDoneVolume = (name: string): string | null => markPattern.exec(name)?.[2] ?? null;

/** Runs what changes the files of a volume. The caller holds its lock. */
export async function changing<T>(context: LocalContext, volumeId: string, work: () => Promise<T>): Promise<T> {
	const { folder } = context;
	if (folder.sharedBy === null) return work();
	const own = join(folder.part("volumes"), `${workPrefix}${folder.sharedBy}-${volumeId}`);
	await withFileErrors("beginning to change a volume", async () => {
		const left = (await marks(context)).filter((mark) => mark.volumeId === volumeId);
		if (left.length > 0) await tidyVolume(context, volumeId);
		await (await open(own, "w", 0o600)).close();
		for (const { path } of left) if (path !== own) await rm(path, { force: true });
	});
	const result = await work();
	// It may stay when something failed: the next one tidies up.
	await rm(own, { force: true });
	return result;
}

/** Everything that is this node's to tidy up. A volume that cannot be tidied is told in the log. */
export async function tidyVolumes(context: LocalContext): Promise<void> {
	const { folder, locks, log } = context;
	const own =
		folder.sharedBy === null ? null : (await marks(context)).filter(({ nodeId }) => nodeId === folder.sharedBy);
	for (const id of own?.map(({ volumeId }) => volumeId) ?? (await folder.ids("volumes"))) {
		try {
			using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
			await tidyVolume(context, id);
			for (const { path, volumeId } of own ?? []) if (volumeId === id) await rm(path, { force: true });
		} catch (error) {
			log.warn("A volume could not be tidied", { volumeId: id, error });
		}
	}
}

async function marks({ folder }: LocalContext): Promise<{ path: string; nodeId: string; volumeId: string }[]> {
	const found = [];
	for (const name of await readdir(folder.part("volumes"))) {
		const [, nodeId, volumeId] = markPattern.exec(name) ?? [];
		if (nodeId && volumeId) found.push({ path: join(folder.part("volumes"), name), nodeId, volumeId });
	}
	return found;
}

/** Removes what no record names, ends a merge, and repairs modes. */
async function tidyVolume({ folder }: LocalContext, id: string): Promise<void> {
	const found = await folder.readVolumeRecord(id);
	if (found === null) return;
	const record = await settleFlatten(folder, await finishMerge(folder, found));
	const layers = ownFiles(record)
		.map(({ file }) => file)
		.filter((file) => file !== record.file);
	const known = new Set(["record.json", record.file, ...layers]);
	for (const name of await readdir(folder.volume(id)))
		if (!known.has(name)) await rm(join(folder.volume(id), name), { force: true });
	// QEMU may be at it still, and opens them for writing at the end.
	const { layer = "", child = "" } = record.merging ?? {};
	const forQemu = new Set([layer, onlyChild(record, child)]);
	await setMode(volumeFile(folder, id, record.file), diskMode);
	for (const layer of layers) if (!forQemu.has(layer)) await setMode(volumeFile(folder, id, layer), frozenMode);
}

async function setMode(path: string, mode: number): Promise<void> {
	try {
		if (((await stat(path)).mode & 0o777) !== mode) await chmod(path, mode);
	} catch (error) {
		if (errnoOf(error) !== "ENOENT" && !isAppError(error)) throw error;
	}
}
