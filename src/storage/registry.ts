/** Makes the driver of a pool by its type: the only place that knows which types this build has. */

import { Value } from "@sinclair/typebox/value";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { CephRbdPoolConfig, type PoolCredentials } from "../model/pool-config.ts";
import type { Pool } from "../model/storage.ts";
import { localPath } from "../model/storage-rules.ts";
import { CephRbdDriver } from "./ceph-rbd/driver.ts";
import type { PoolPlace, StorageDriver } from "./driver.ts";
import { createIscsiLvmDriver } from "./iscsi-lvm/create.ts";
import { NfsDriver } from "./nfs/driver.ts";
import { LocalPoolDriver } from "./worker/local-pool.ts";

export type StorageContext = {
	nodeId: string;
	random: Random;
	clock: Clock;
	log: Logger;
	/** Folders of the daemon: nothing below them is imported or taken over. */
	protectedPaths: readonly string[];
	/** Each pool has a folder of its id in it, for what is there while the daemon runs: mount points, configuration of clients. */
	runFolder: string;
	/** For what is on its way into a pool that cannot take it in parts. A folder of its id for each pool. */
	stagingFolder: string;
};

export type PoolToOpen = Pick<Pool, "id" | "type" | "config"> & {
	/** True when the pool has been ready before: an empty folder then is an error, not a new pool. Default false. */
	wasReady?: boolean;
	/** Null for pools that need none. Default null. */
	credentials?: PoolCredentials | null;
	/** The other pools of this node, as they are now. Default none. */
	otherPools?: () => readonly PoolPlace[];
};

/** A driver that has done nothing yet: call `activate()`. Fails with `invalid` (config). */
export function createStorageDriver(pool: PoolToOpen, context: StorageContext): StorageDriver {
	switch (pool.type) {
		case "local": {
			const path = localPath(pool);
			if (path === undefined) throw new AppError("invalid", "A local pool needs the path of its folder.");
			return new LocalPoolDriver({
				...{ poolId: pool.id, path, mayInitialize: !(pool.wasReady ?? false) },
				otherPools: pool.otherPools ?? (() => []),
				...context,
			});
		}
		case "ceph-rbd": {
			const { config, credentials } = pool;
			if (!Value.Check(CephRbdPoolConfig, config))
				throw new AppError("invalid", "A Ceph pool needs its monitors, a user and the name of a pool.");
			// Without the key the pool of before can still be let go of here.
			const key = credentials?.cephKey ?? "";
			return new CephRbdDriver({
				...{ poolId: pool.id, config, key, mayInitialize: !(pool.wasReady ?? false) },
				...context,
			});
		}
		case "nfs": {
			if (!("exportPath" in pool.config))
				throw new AppError("invalid", "An NFS pool needs the name of its server and the path of the export.");
			return new NfsDriver({
				...{ poolId: pool.id, config: pool.config, mayInitialize: !(pool.wasReady ?? false) },
				...context,
			});
		}
		case "iscsi-lvm": {
			const { config } = pool;
			if (!("wwid" in config)) throw new AppError("invalid", "A pool on iSCSI needs the WWID of its LUN.");
			const { id: poolId, credentials = null, wasReady = false } = pool;
			return createIscsiLvmDriver({ poolId, config, credentials, wasReady, ...context });
		}
	}
}
