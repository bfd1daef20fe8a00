/**
 * The NFS driver's way to its files, by a process of its own, beside qemu-img in the same folder. Without a server: what the process
 * costs is all that differs from a local pool, and a server's time would be the same on both sides.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { idSource } from "../../../lib/ids.ts";
import { systemRandom as random } from "../../../lib/random.ts";
import { openWorkerPool } from "../../../storage/worker/testing/worker-pool.ts";
import type { Bench } from "../bench.ts";
import { driverRounds } from "./driver-rounds.ts";
import { qemuImgIn } from "./qemu-img-tool.ts";

const ids = idSource(systemClock, random);

export const storageNfs: Bench = {
	name: "storage-nfs",
	what: "NFS pool's worker process on a folder of this machine: create, clone, snapshot, delete of 10 GB against qemu-img",
	async run({ runs = 15 }) {
		const folder = mkdtempSync("/var/tmp/lqx-bench-nfs-");
		try {
			mkdirSync(join(folder, "pool"));
			const driver = await openWorkerPool(join(folder, "pool"));
			try {
				const bare = qemuImgIn(folder);
				return await driverRounds({ prefix: "storageNfs", driver, bare, newId: () => ids.newId(), rounds: runs });
			} finally {
				await driver.deactivate();
			}
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	},
};
