/** A pool on the kernel's NFS server, mounted from this very machine, beside qemu-img on another mount of the same server. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../../../lib/clock.ts";
import { idSource } from "../../../../lib/ids.ts";
import { systemRandom } from "../../../../lib/random.ts";
import { run } from "../../../../lib/run.ts";
import { newExport, nfsDriver } from "../../../lab/nfs/nfs-pool.ts";
import type { Figures } from "../../bench.ts";
import { driverRounds } from "../driver-rounds.ts";
import { qemuImgIn } from "../qemu-img-tool.ts";

const { newId } = idSource(systemClock, systemRandom);
const limit = { timeoutMs: 120_000 };
const bareMount = "/run/lab-bare";

export async function nfsRounds(rounds: number): Promise<Figures> {
	const [ours, theirs] = [await newExport(false), await newExport(false)];
	await mkdir(bareMount, { recursive: true });
	await run("mount", ["-t", "nfs", "-o", "vers=4.2,hard", `127.0.0.1:${theirs.path}`, bareMount], limit);
	// For some time after its start the server has nobody open a file.
	await writeFile(join(bareMount, "open"), "");
	const driver = nfsDriver(ours.path, {
		version: "4.2",
		limits: { startMs: 120_000, lookMs: 120_000, changeMs: 600_000 },
	});
	await driver.activate();
	return await driverRounds({ prefix: "storageNfsServer", driver, bare: qemuImgIn(bareMount), newId, rounds });
}
