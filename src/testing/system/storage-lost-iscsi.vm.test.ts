/**
 * A VM runs on a LUN that goes away under it, and comes back: the target stops, or takes the LUN out. The pool says so, the node goes on
 * answering, the VM pauses and goes on by itself. In the storage lab VM; LAB_LAYOUT: "thin" (the default) or "thick", with locks.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { GiB } from "../../lib/units.ts";
import type { PoolNodeStatus } from "../../model/storage.ts";
import type { Vm } from "../../model/vm.ts";
import { readProbe } from "../lab/probe-guest/probe-guest.ts";
import { credentials, type LabLuns, labLuns, serialOf } from "../lab/storage-vm/inside/iscsi-pool.ts";
import { startLockManager } from "../lab/storage-vm/inside/lock-manager.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { note } from "../note.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";

const layout = process.env.LAB_LAYOUT === "thick" ? "thick" : "thin";
const bootLimitMs = 300_000;
/** A check every five seconds, the kernel's own probes of the connection, and all of it emulated by what is emulated. */
const noticeLimitMs = 60_000;
const healLimitMs = 180_000;
let lab: LabLuns;
let locks: AsyncDisposable | undefined;
let system: LabSystem;
let poolId: string;
let vm: Vm;

beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [2 * GiB], withChap: true });
	if (layout === "thick") locks = await startLockManager("lost");
	system = await startNestedSystem("lost-iscsi");
	const { api } = system;
	const config = lab.config({ layout });
	const made = await api.call("poolCreate", { body: { name: "lost", type: "iscsi-lvm", config, credentials } });
	await system.done(made);
	poolId = made.body.id;
	const { path, format } = nestedGuest.image;
	const source = { kind: "path", path } as const;
	const image = await api.call("imageCreate", { body: { name: "probe", format, poolId, source } });
	await system.done(image);
	// A look at it beside other work may have taken too long here, where all is emulated; the next one says otherwise.
	await waitUntil("the pool to be usable", healLimitMs, async () => {
		return (await api.call("poolGet", { path: { id: poolId } })).body.phase === "ready";
	});
	vm = await system.createVm({ name: "lost", disks: [{ imageId: image.body.id, poolId }], nics: [] });
	await nestedGuest.of(system, vm.id).booted(bootLimitMs);
}, 900_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await locks?.[Symbol.asyncDispose]();
	await lab?.close();
}, 120_000);

const onNode = async (): Promise<PoolNodeStatus> => {
	const { nodes } = (await system.api.call("poolGet", { path: { id: poolId } })).body;
	const [only] = nodes;
	if (!only) throw new Error("The pool is on no node.");
	return only;
};
const said = async () => readProbe(await new GuestTerminal(system, vm.id).text());

/** What the node does meanwhile: how long the slowest answer took, and that there were some. */
function askAllTheTime(): { end(): Promise<number> } {
	let [slowest, goes] = [0, true];
	const asking = (async () => {
		while (goes) {
			const since = performance.now();
			await system.api.call("volumeList");
			await system.api.call("vmList");
			slowest = Math.max(slowest, performance.now() - since);
			await Bun.sleep(200);
		}
		return slowest;
	})();
	asking.catch(() => {});
	return {
		end() {
			goes = false;
			return asking;
		},
	};
}

async function lostAndBack(what: string, lose: () => Promise<void>, giveBack: () => Promise<void>): Promise<void> {
	await waitUntil("the pool to be healthy", healLimitMs, async () => (await onNode()).health === "healthy", {
		everyMs: 500,
	});
	const before = await said();
	expect(before.failures).toBe(0);
	const meanwhile = askAllTheTime();
	const since = performance.now();
	const seconds = () => ((performance.now() - since) / 1000).toFixed(1);
	await lose();
	const lost = await waitUntil(
		"the pool to say that its LUN is lost",
		noticeLimitMs,
		async () => {
			const status = await onNode();
			return status.health === "unmounted" || status.health === "error" ? status : undefined;
		},
		{ everyMs: 200 },
	);
	const noticed = seconds();
	expect(lost.reason).toMatch(/target|LUN/);
	const paused = await system.untilVm(
		vm.id,
		"to pause",
		({ status }) => status.powerState === "paused",
		noticeLimitMs * 2,
	);
	const pausedAfter = seconds();
	expect(paused.status.reason).toMatch(/disk|I\/O|storage/i);
	// Longer than a round of checks: nothing lets the VM go on while the pool is away.
	await waitUntil(
		"two more checks",
		noticeLimitMs,
		async () => (await onNode()).health !== "healthy" && performance.now() - since > 45_000,
		{ everyMs: 1000 },
	);
	expect((await system.vm(vm.id)).status.powerState).toBe("paused");
	const slowest = await meanwhile.end();

	const backSince = performance.now();
	await giveBack();
	await waitUntil("the pool to be healthy again", healLimitMs, async () => (await onNode()).health === "healthy", {
		everyMs: 500,
	});
	const healed = ((performance.now() - backSince) / 1000).toFixed(1);
	await system.untilVm(vm.id, "to go on", ({ status }) => status.powerState === "running", healLimitMs);
	const at = (await said()).wrote ?? 0;
	const after = await waitUntil(
		"the guest to write",
		healLimitMs,
		async () => {
			const report = await said();
			return (report.wrote ?? 0) > at + 5 && report;
		},
		{ everyMs: 500 },
	);
	expect(after.boots).toBe(before.boots);
	expect(after.failures).toBe(0);
	note(
		`storage-lost iscsi-lvm (${layout}), ${what}: noticed after ${noticed} s ("${lost.reason}"), VM paused after ${pausedAfter} s, ` +
			`pool healthy ${healed} s after it was back, slowest two answers meanwhile ${Math.round(slowest)} ms`,
	);
}

test("the target stops", async () => {
	await lostAndBack(
		"target stopped",
		() => lab.target.disable(),
		() => lab.target.enable(),
	);
}, 900_000);

test("the network to the target is cut", async () => {
	await lostAndBack(
		"network cut",
		() => lab.server.drop(),
		() => lab.server.admit(),
	);
}, 900_000);

test("the target takes the LUN out", async () => {
	const device = lab.disks[0]?.device ?? "";
	await lostAndBack(
		"LUN removed",
		() => lab.target.vanish(1),
		() => lab.target.show(1, { device, serial: serialOf(1) }),
	);
}, 900_000);
