/** A VM boots from a pool on the kernel's NFS server, in the storage lab VM. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { newExport, nfsMounts, type TestExport } from "../lab/nfs/nfs-pool.ts";
import { note } from "../note.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";
import { bootFromPool } from "./storage-boot.ts";

const startLimitMs = 300_000;
let system: LabSystem;
let exported: TestExport;
beforeAll(async () => {
	exported = await newExport(false);
	system = await startNestedSystem("boot-nfs");
}, startLimitMs);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await exported?.close();
}, 60_000);

test("nfs", async () => {
	const server = { server: "127.0.0.1", exportPath: exported.path, folder: "pool", version: "4.2" as const };
	const line = await bootFromPool({
		...{ system, guest: nestedGuest, bootLimitMs: 300_000 },
		pool: { type: "nfs", config: { ...server, mountOptions: [] } },
		disk: /<source file='[^']*\/mount\/pool\/volumes\//,
	});
	note(line);
	expect(await readdir(exported.folder)).toEqual([]);
	expect(await nfsMounts()).toEqual([]);
}, 1_200_000);
