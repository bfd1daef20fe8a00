/** A VM writes to a pool on NFS, whose server stops and starts: hard, it waits; soft, it pauses and is resumed by itself. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { run } from "../../lib/run.ts";
import { startThreads, stopThreads } from "../lab/nfs/kernel-server.ts";
import { newExport, nfsMounts, type TestExport } from "../lab/nfs/nfs-pool.ts";
import { note } from "../note.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";
import { apiAnswers, startWritingVm } from "./storage-loss.ts";

const limitMs = 600_000;
const awayMs = 20_000;
let system: LabSystem;
let exported: TestExport;
beforeAll(async () => {
	exported = await newExport(false);
	system = await startNestedSystem("loss-nfs");
}, 300_000);
afterAll(async () => {
	await startThreads();
	// Left after a failure only; the daemon leaves them to its VMs.
	for (const path of await nfsMounts()) await run("umount", ["-l", "--", path], { timeoutMs: 10_000 });
	await system?.[Symbol.asyncDispose]();
	await exported?.close();
}, 60_000);

const nfs = (name: string, mountOptions: string[]) => ({
	...{ name, type: "nfs" as const },
	config: {
		...{ server: "127.0.0.1", exportPath: exported.path, folder: name, version: "4.2" as const },
		mountOptions,
	},
});

test(
	"hard: the guest waits for the server, and goes on with what it has written",
	async () => {
		const vm = await startWritingVm(system, { pool: nfs("hard", []), probe: nestedGuest.image.path });
		await stopThreads();
		const { health, reason, ms } = await vm.poolIsLost();
		expect(health).toMatch(/^(error|unmounted)$/);
		expect(reason.length).toBeGreaterThan(10);
		const slowestMs = await apiAnswers(system, vm);
		const atRest = await vm.wrote();
		await Bun.sleep(awayMs);
		expect((await vm.vm()).status).toMatchObject({ powerState: "running" });
		// It waits.
		expect(await vm.wrote()).toBe(atRest);
		await startThreads();
		await vm.poolIsBack(120_000);
		await vm.writesOn(120_000);
		expect((await vm.vm()).status).toMatchObject({ powerState: "running" });
		note(`NFS, hard, server away: "${reason}" after ${ms} ms, the API answered within ${slowestMs} ms`);
		await vm.remove();
	},
	limitMs,
);

test(
	"soft: the guest's disk fails, its VM pauses and says why, and goes on by itself",
	async () => {
		const mountOptions = ["soft", "timeo=20", "retrans=1"];
		const vm = await startWritingVm(system, { pool: nfs("soft", mountOptions), probe: nestedGuest.image.path });
		await stopThreads();
		const { reason, ms } = await vm.poolIsLost();
		const paused = await system.untilVm(
			vm.vmId,
			"the VM to pause",
			({ status }) => status.powerState === "paused",
			90_000,
		);
		expect(paused.status.reason).toContain("a disk gives errors");
		const slowestMs = await apiAnswers(system, vm);
		await startThreads();
		await vm.poolIsBack(120_000);
		await system.untilVm(vm.vmId, "the VM to go on", ({ status }) => status.powerState === "running", 120_000);
		await vm.writesOn(120_000);
		note(`NFS, soft, server away: "${reason}" after ${ms} ms, the API answered within ${slowestMs} ms`);
		await vm.remove();
		expect(await readdir(exported.folder)).toEqual([]);
		expect(await nfsMounts()).toEqual([]);
	},
	limitMs,
);
