/** A VM writes to a local pool whose disk fails, on a file system that goes on after errors: it pauses, and goes on by itself. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { type FlakyDisk, makeFlakyDisk } from "../lab/storage-vm/inside/backing-disk.ts";
import { note } from "../note.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";
import { apiAnswers, startWritingVm, type WritingVm } from "./storage-loss.ts";

const limitMs = 600_000;
const limit = { timeoutMs: 60_000 };
const at = "/srv/failing";
let system: LabSystem;
let disk: FlakyDisk | undefined;
beforeAll(async () => {
	system = await startNestedSystem("loss-disk");
}, 300_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await disk?.heal();
	await run("umount", ["--lazy", "--", at], { ...limit, okExitCodes: [0, 32] });
	await disk?.[Symbol.asyncDispose]();
}, 120_000);

async function onFailingDisk(options: readonly string[]): Promise<FlakyDisk> {
	disk = await makeFlakyDisk("lab-failing", "/data/failing", 256 * MiB);
	await run("mkfs.ext4", ["-q", ...options, "--", disk.device], limit);
	await mkdir(at, { recursive: true });
	// Seen in the namespace of libvirtd too: what is mounted later is.
	await run("mount", ["--", disk.device, at], limit);
	return disk;
}

async function away(): Promise<void> {
	await run("umount", ["--", at], limit);
	await disk?.[Symbol.asyncDispose]();
	disk = undefined;
	await rm(at, { recursive: true, force: true });
}

const pool = (name: string) => ({ ...{ name, type: "local" as const }, config: { path: join(at, name) } });

/** Until the VM has paused for it, and the pool says why. */
async function fails(failing: FlakyDisk, vm: WritingVm): Promise<string> {
	await failing.fail("errors");
	const begun = performance.now();
	const { health, reason, ms } = await vm.poolIsLost();
	const { status } = await system.untilVm(
		vm.vmId,
		"the VM to pause",
		(now) => now.status.powerState === "paused",
		90_000,
	);
	expect(status.reason).toContain("a disk gives errors");
	const pausedMs = Math.round(performance.now() - begun);
	expect(health).toBe("error");
	const slowestMs = await apiAnswers(system, vm);
	return `"${reason}" after ${ms} ms, the VM paused after ${pausedMs} ms, the API answered within ${slowestMs} ms`;
}

async function goesOn(vm: WritingVm): Promise<void> {
	await vm.poolIsBack(120_000);
	await system.untilVm(vm.vmId, "the VM to go on", ({ status }) => status.powerState === "running", 120_000);
	await vm.writesOn(120_000);
}

test(
	"local, no journal: the VM pauses with io-error, and goes on by itself when its disk works",
	async () => {
		const failing = await onFailingDisk(["-O", "^has_journal"]);
		const vm = await startWritingVm(system, { pool: pool("plain"), probe: nestedGuest.image.path });
		const said = await fails(failing, vm);
		expect(said).toMatch(/input\/output error|read-only/);
		await failing.heal();
		await goesOn(vm);
		note(`local, disk fails: ${said}`);
		await vm.remove();
		await away();
	},
	limitMs,
);
