/** Pools on the lab VM's own NFS server. */
import { chown, readFile } from "node:fs/promises";
import { systemClock } from "../../../lib/clock.ts";
import { idSource } from "../../../lib/ids.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import type { NfsPoolConfig } from "../../../model/pool-config.ts";
import { makeFolders } from "../../../storage/local/pool-place.ts";
import { NfsDriver, type NfsDriverOptions } from "../../../storage/nfs/driver.ts";
import { parseMountinfo } from "../../../storage/nfs/mountinfo.ts";
import { qemuUser } from "../../../storage/nfs/qemu-user.ts";
import { exportRoot, share, startServer, unshare } from "./kernel-server.ts";

const { newId } = idSource(systemClock, systemRandom);
export const runFolder = "/run/lab-pools";

/** `path`: as the server exports it; `folder`: where it is in truth. */
export type TestExport = { path: string; folder: string; close(): Promise<void> };

/** A new folder, exported. `squash`: root is nobody there, and the folder belongs to QEMU's user. */
export async function newExport(squash: boolean): Promise<TestExport> {
	const path = `/exports/${newId()}`;
	const folder = `${exportRoot}${path}`;
	for (const each of [folder, runFolder]) await makeFolders(each);
	const user = await qemuUser();
	if (squash && user) await chown(folder, user.uid, user.gid);
	await startServer();
	await share({ path, options: exportOptions(squash) });
	return { path, folder, close: () => unshare(path) };
}

export const exportOptions = (squash: boolean): string =>
	`rw,sync,no_subtree_check,${squash ? "root_squash" : "no_root_squash"}`;

type More = Partial<NfsPoolConfig> & Pick<Partial<NfsDriverOptions>, "nodeId" | "poolId" | "limits" | "mayInitialize">;

export function nfsDriver(exportPath: string, more: More = {}): NfsDriver {
	const { nodeId = newId(), poolId = newId(), limits = {}, mayInitialize = true, ...config } = more;
	return new NfsDriver({
		...{ nodeId, poolId, mayInitialize, runFolder, protectedPaths: [] },
		config: { server: "127.0.0.1", exportPath, folder: null, version: null, mountOptions: [], ...config },
		...{ random: systemRandom, clock: systemClock, log: silentLogger },
		// The machine is slow, and what starts with bytecode starts sooner.
		limits: { startMs: 40_000, lookMs: 40_000, changeMs: 120_000, ...limits },
		worker: { program: "/repo/dist/limiquantix", args: ["storage-worker"] },
	});
}

export async function nfsMounts(): Promise<string[]> {
	const entries = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
	return entries.filter(({ fsType }) => /^nfs4?$/.test(fsType)).map(({ mountPoint }) => mountPoint);
}
