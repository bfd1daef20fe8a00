/** Drivers by pool type. */
import { expect, test } from "bun:test";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Pool } from "../model/storage.ts";
import { fails, newId } from "./conformance.ts";
import { createStorageDriver } from "./registry.ts";

const context = {
	...{ nodeId: newId(), random: systemRandom, clock: systemClock, log: silentLogger, protectedPaths: [] },
	...{ runFolder: "/run/none/pools", stagingFolder: "/var/none/staging" },
};

test("a local pool has a local driver", () => {
	const driver = createStorageDriver({ id: newId(), type: "local", config: { path: "/srv/pool" } }, context);
	expect(driver.type).toBe("local");
});

test("an NFS pool has an NFS driver, which mounts nothing yet", () => {
	const config = { server: "nas", exportPath: "/srv", folder: null, version: null, mountOptions: [] };
	const driver = createStorageDriver({ id: newId(), type: "nfs", config }, context);
	expect(driver.type).toBe("nfs");
	expect(driver.capabilities.shared).toBe(true);
});

test("what this build has no driver for is unsupported; what makes no sense is invalid", async () => {
	const make = async (type: "local" | "nfs" | "ceph-rbd" | "iscsi-lvm", config: object, id = newId()) =>
		createStorageDriver({ id, type, config: config as Pool["config"] }, context);
	await fails("invalid", make("ceph-rbd", { path: "/srv/x" }));
	await fails("unsupported", make("iscsi-lvm", { path: "/srv/x" }));
	await fails("invalid", make("local", {}));
	await fails("invalid", make("nfs", { path: "/srv/x" }));
	await fails("invalid", make("local", { path: "/proc/1" }));
	await fails("invalid", make("local", { path: "/srv/pool" }, "../x"));
});
