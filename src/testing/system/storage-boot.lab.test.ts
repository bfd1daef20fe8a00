/** A VM boots from each type of pool that needs no kernel module of the host; each says so in a line. The others: storage-boot-*.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type LabCeph, startCeph } from "../lab/ceph.ts";
import { note } from "../note.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { bootFromPool } from "./storage-boot.ts";

let system: LabSystem;
let ceph: LabCeph;
let folder: string;
beforeAll(async () => {
	folder = mkdtempSync("/srv/lqx-storage-boot-");
	[system, ceph] = await Promise.all([startLabSystem({ name: "storage-boot", network: "machine" }), startCeph()]);
}, 240_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await ceph?.stop();
	if (folder) rmSync(folder, { recursive: true, force: true });
});

test("local", async () => {
	const line = await bootFromPool({
		system,
		pool: { type: "local", config: { path: join(folder, "pool") } },
		disk: /<source file='[^']*\/pool\/volumes\//,
	});
	note(line);
	expect(line).toContain("booted");
}, 300_000);

test("ceph-rbd", async () => {
	await ceph.makePool("vms");
	const cephKey = await ceph.makeUser("limiquantix", [
		"mon",
		"profile rbd",
		"mgr",
		"profile rbd",
		"osd",
		"profile rbd pool=vms",
	]);
	const config = { monitors: ceph.monitors, user: "limiquantix", cephPool: "vms", namespace: null, dataPool: null };
	const line = await bootFromPool({
		system,
		pool: { type: "ceph-rbd", config, credentials: { cephKey } },
		disk: /<source protocol='rbd' name='vms\/lqx-vol-[0-9a-f-]{36}'/,
	});
	note(line);
	expect(line).toContain("booted");
	expect((await ceph.rbd("ls", "--pool", "vms")).stdout.trim()).toBe("");
	expect(
		(await ceph.rados("--pool", "vms", "ls")).stdout
			.trim()
			.split("\n")
			.filter((name) => name.startsWith("rbd_data")),
	).toEqual([]);
	const said = system.daemon.log();
	expect(said.includes(cephKey)).toBe(false);
}, 300_000);
