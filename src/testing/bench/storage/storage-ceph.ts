/** The Ceph driver beside `rbd`: verbs on volumes of 10 GB in a cluster of one monitor, manager and OSD that keeps all in memory. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { idSource } from "../../../lib/ids.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom as random } from "../../../lib/random.ts";
import { MiB } from "../../../lib/units.ts";
import { CephRbdDriver } from "../../../storage/ceph-rbd/driver.ts";
import { type LabCeph, startCeph } from "../../lab/ceph.ts";
import type { Bench } from "../bench.ts";
import { type BareTool, driverRounds } from "./driver-rounds.ts";

const ids = idSource(systemClock, random);
const newId = () => ids.newId();
const [ourPool, barePool, user] = ["ours", "bare", "bench"];
const capabilities = ["mon", "profile rbd", "mgr", "profile rbd", "osd", "profile rbd"];

export const storageCeph: Bench = {
	name: "storage-ceph",
	what: "Ceph pool: create, clone, snapshot, delete of 10 GB against rbd on the same cluster",
	async run({ runs = 15 }) {
		const ceph = await startCeph();
		const folder = mkdtempSync("/tmp/lqx-bench-ceph-");
		try {
			for (const pool of [ourPool, barePool]) {
				await ceph.makePool(pool);
				await ceph.rbd("pool", "init", pool);
			}
			const driver = await openPool(ceph, folder);
			try {
				return await driverRounds({ prefix: "storageCeph", driver, bare: rbdIn(ceph), newId, rounds: runs });
			} finally {
				await driver.deactivate();
			}
		} finally {
			await ceph.stop();
			rmSync(folder, { recursive: true, force: true });
		}
	},
};

async function openPool(ceph: LabCeph, folder: string): Promise<CephRbdDriver> {
	const driver = new CephRbdDriver({
		...{ poolId: newId(), nodeId: newId(), opensNamespaces: false, protectedPaths: [] },
		config: { monitors: ceph.monitors, user, cephPool: ourPool, namespace: null, dataPool: null },
		key: await ceph.makeUser(user, capabilities),
		...{ runFolder: join(folder, "run"), stagingFolder: join(folder, "staging") },
		...{ random, clock: systemClock, log: silentLogger },
	});
	await driver.activate();
	return driver;
}

/** A copy-on-write copy is a snapshot and a clone of it, which Ceph's clones of the second kind keep without protecting it. */
function rbdIn(ceph: LabCeph): BareTool {
	const of = (name: string) => `${barePool}/${name}`;
	const rbd = async (...args: string[]) => {
		await ceph.rbd(...args);
	};
	return {
		create: (name, bytes) => rbd("create", "--size", `${bytes / MiB}M`, of(name)),
		clone: async (from, name) => {
			await rbd("snap", "create", "--no-progress", `${of(from)}@${name}`);
			await rbd("clone", "--rbd-default-clone-format", "2", `${of(from)}@${name}`, of(name));
			await rbd("snap", "rm", "--no-progress", `${of(from)}@${name}`);
		},
		snapshot: (name, snapshot) => rbd("snap", "create", "--no-progress", `${of(name)}@${snapshot}`),
		delete: async (name) => {
			await rbd("snap", "purge", "--no-progress", of(name));
			await rbd("rm", "--no-progress", of(name));
		},
	};
}
