/**
 * A VM boots from a pool on a LUN of the kernel's iSCSI target, in the storage lab VM. LAB_LAYOUT: "thick" (the default; the group has the
 * locks of one that nodes share, as the API makes it) or "thin".
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { run } from "../../lib/run.ts";
import { GiB } from "../../lib/units.ts";
import { credentials, type LabLuns, labLuns, limit, sessionCount } from "../lab/storage-vm/inside/iscsi-pool.ts";
import { startLockManager } from "../lab/storage-vm/inside/lock-manager.ts";
import { note } from "../note.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";
import { bootFromPool } from "./storage-boot.ts";

const layout = process.env.LAB_LAYOUT === "thin" ? "thin" : "thick";
const startLimitMs = 300_000;
let lab: LabLuns;
let locks: AsyncDisposable | undefined;
let system: LabSystem;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [2 * GiB], withChap: true });
	if (layout === "thick") locks = await startLockManager("boot");
	system = await startNestedSystem("boot-iscsi");
}, startLimitMs);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await locks?.[Symbol.asyncDispose]();
	await lab?.close();
}, 120_000);

test(`iscsi-lvm, ${layout}`, async () => {
	const line = await bootFromPool({
		...{ system, guest: nestedGuest, bootLimitMs: 300_000 },
		pool: { type: "iscsi-lvm", config: lab.config({ layout }), credentials },
		disk: /<source dev='\/dev\/lqx-[0-9a-f-]{36}\/v-[0-9a-f-]{36}-1'/,
	});
	note(`${line} (${layout})`);
	expect(await sessionCount()).toBe(0);
	expect((await run("dmsetup", ["ls"], limit)).stdout).not.toContain("lqx");
	const left = ["--no-act", "--noheadings", "--output", "TYPE", "--", lab.disks[0]?.device ?? ""];
	expect((await run("wipefs", left, limit)).stdout.trim()).toBe("");
	expect(system.daemon.log()).not.toContain(credentials.chapPassword);
}, 1_200_000);
