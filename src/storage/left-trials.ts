/**
 * What trials of pools, and questions to servers, that were killed have left in the run folder: NFS file systems that are mounted, and keys of Ceph, of
 * pools that may never be made. What they did to targets of iSCSI is tidied up elsewhere (iscsi-lvm/create.ts).
 */
import { readdir, rm, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { isUuid } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { isNfs, parseMountinfo } from "./nfs/mountinfo.ts";
import { type MountHost, NfsMount, thisHost } from "./nfs/nfs-mount.ts";
import { discoveryMountName, isProbeMountName, isTrialFolderName } from "./trial-names.ts";

/** Paths. `mounts`: where something may be mounted; `folders`: of one trial each; `pools`: where those of one pool were mounted. */
export type LeftTrials = { mounts: string[]; folders: string[]; pools: string[] };

/** Called by a node that starts, before it tries any pool itself: what is there then is nobody's. By names alone; no mount is touched. Never fails. */
export async function leftTrials(runFolder: string): Promise<LeftTrials> {
	const left: LeftTrials = { mounts: [], folders: [], pools: [] };
	for (const name of await names(runFolder)) {
		const path = join(runFolder, name);
		if (isTrialFolderName(name)) {
			left.folders.push(path);
			left.mounts.push(join(path, discoveryMountName));
		} else if (isUuid(name)) {
			const mounts = (await names(path)).filter(isProbeMountName);
			left.mounts.push(...mounts.map((one) => join(path, one)));
			left.pools.push(path);
		}
	}
	return left;
}

type TidyOptions = {
	log: Logger;
	/** Also by now. */
	isPoolHere: (id: string) => boolean;
	host?: MountHost;
};

/** Detaches and removes it; nothing else of a pool. What cannot go stays, and is said in the log. Never fails. */
export async function tidyTrials(left: LeftTrials, { log, isPoolHere, host = thisHost }: TidyOptions): Promise<void> {
	const attempt = (path: string, work: () => Promise<unknown>) =>
		work().catch((error) => log.warn("What a trial of a storage pool has left stays", { path, error }));
	for (const path of left.mounts)
		await attempt(path, async () => {
			const mount = new NfsMount(path, { source: "", options: "", limitMs: 0, host });
			const there = await mount.find();
			if (there !== null) log.info("A mount that a trial of a storage pool has left is taken away", { path });
			if (there === null || isNfs(there)) await mount.unmount({ busy: "detach" });
		});
	for (const path of left.folders)
		await attempt(path, async () => {
			const isMount = parseMountinfo(await host.mountinfo()).some(({ mountPoint }) =>
				mountPoint.startsWith(`${path}/`),
			);
			if (!isMount) await rm(path, { recursive: true, force: true });
		});
	// Of a pool that was never made there is nothing but the folder.
	for (const path of left.pools) if (!isPoolHere(basename(path))) await rmdir(path).catch(() => {});
}

async function names(folder: string): Promise<string[]> {
	try {
		const entries = await readdir(folder, { withFileTypes: true });
		return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
	} catch {
		return [];
	}
}
