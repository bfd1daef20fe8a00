/** Drivers by pool type. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

test("a Ceph pool that is gone is let go of without its key, and cannot be used without", async () => {
	const config = { monitors: ["10.0.0.1"], user: "limiquantix", cephPool: "vms", namespace: null, dataPool: null };
	const runFolder = await mkdtemp(join(tmpdir(), "lqx-registry-"));
	const driver = createStorageDriver({ id: newId(), type: "ceph-rbd", config }, { ...context, runFolder });
	await driver.deactivate();
	await fails("invalid", driver.probe());
	await rm(runFolder, { recursive: true });
});

test("what makes no sense is invalid", async () => {
	const make = async (type: "local" | "nfs" | "ceph-rbd" | "iscsi-lvm", config: object, id = newId()) =>
		createStorageDriver({ id, type, config: config as Pool["config"] }, context);
	for (const type of ["ceph-rbd", "iscsi-lvm"] as const) await fails("invalid", make(type, { path: "/srv/x" }));
	await fails("invalid", make("local", {}));
	await fails("invalid", make("nfs", { path: "/srv/x" }));
	await fails("invalid", make("local", { path: "/proc/1" }));
	await fails("invalid", make("local", { path: "/srv/pool" }, "../x"));
});

test("a pool on iSCSI has the driver of its layout; a node without a number takes no part in its locks", async () => {
	const config = {
		...{
			portals: ["10.0.0.1"],
			target: "iqn.2026-01.example:a",
			wwid: "naa.6001",
			chapUser: null,
			mutualChapUser: null,
		},
		...{ layout: "thick" as const, wipeOnDelete: false, hostIds: {} as Record<string, number> },
	};
	const make = (more: Partial<typeof config>) =>
		createStorageDriver({ id: newId(), type: "iscsi-lvm", config: { ...config, ...more } }, context);
	expect(make({}).capabilities).toMatchObject({ shared: false, formats: ["qcow2", "raw"] });
	expect(make({ hostIds: { [context.nodeId]: 3, [newId()]: 4 } }).capabilities.shared).toBe(true);
	await fails("invalid", (async () => make({ hostIds: { [newId()]: 4 } }))());
	await fails("invalid", (async () => make({ hostIds: { [context.nodeId]: 4, [newId()]: 4 } }))());
	await fails("invalid", (async () => make({ chapUser: "node" as never }))());
});
