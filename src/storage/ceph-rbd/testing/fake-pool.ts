/** A pool of ours in a Ceph cluster in memory (fake-ceph.ts). */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../../lib/clock.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { newId } from "../../conformance.ts";
import { CephRbdDriver } from "../driver.ts";
import { FakeCeph } from "./fake-ceph.ts";

const poolId = newId();
export const nodeId = newId();
const config = { monitors: ["10.0.0.1"], user: "vms", cephPool: "vms", namespace: null, dataPool: null };

/** Drivers of one pool, one after the other as a rule. */
export async function fakePool<C extends Clock>(clock: C) {
	const folder = await mkdtemp(join(tmpdir(), "lqx-let-go-"));
	const ceph = new FakeCeph();
	const driver = () =>
		new CephRbdDriver({
			...{ poolId, nodeId, config, key: "c2VjcmV0", clock, random: systemRandom, log: silentLogger, run: ceph.run },
			...{ runFolder: join(folder, "run"), stagingFolder: join(folder, "staging"), protectedPaths: [] },
		});
	const open = async () => {
		const opened = driver();
		await opened.activate();
		return opened;
	};
	const files = () => existsSync(join(folder, "run", poolId, "keyring"));
	return { ceph, clock, driver, open, files, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
