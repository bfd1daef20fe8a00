/** A thin pool runs full under a VM that writes: the VM stops, loses nothing, and goes on by itself when there is room. In the storage lab VM. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { lvmConfig } from "../../storage/iscsi-lvm/lvm.ts";
import { devicePath, groupName, lvName } from "../../storage/iscsi-lvm/names.ts";
import { credentials, type LabLuns, labLuns, limit, lunDevices, wwidOf } from "../lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { note } from "../note.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";
import { startWritingVm } from "./storage-loss.ts";

const lunBytes = 600 * MiB;
const waitMs = 180_000;
let lab: LabLuns;
let system: LabSystem;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [lunBytes], withChap: true });
	system = await startNestedSystem("full-thin");
}, 300_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await lab?.close();
}, 120_000);

/** Past the driver, until the pool has no block left. */
async function fill(poolId: string, volumeId: string): Promise<void> {
	const node = present((await system.api.call("nodeList")).body.items[0], "the node");
	const [group, lv] = [groupName(poolId), lvName({ kind: "volume", id: volumeId, number: 1 })];
	const devices = (await lunDevices(wwidOf(1))).flatMap((device) => ["--devices", device]);
	const common = ["--config", lvmConfig({ nodeId: node.id, hostId: null }), ...devices];
	await run("lvm", ["lvchange", ...common, "--activate", "y", "--", `${group}/${lv}`], limit);
	const args = ["if=/dev/zero", `of=${devicePath(group, lv)}`, "oflag=direct", "bs=1M"];
	const { stderr } = await run("dd", args, { timeoutMs: 240_000, okExitCodes: [1] });
	expect(stderr).toContain("No space left on device");
}

test("a VM on a thin pool that runs full", async () => {
	const { api } = system;
	const config = lab.config({ layout: "thin" });
	const pool = { ...{ name: "full", type: "iscsi-lvm" as const }, config, credentials };
	const guest = await startWritingVm(system, { pool, probe: nestedGuest.image.path });
	const path = { id: guest.vmId };
	const filler = await api.call("volumeCreate", {
		body: { name: "filler", poolId: guest.poolId, format: "raw", sizeBytes: lunBytes, source: { kind: "empty" } },
	});
	await system.done(filler);
	// It writes to one block again and again. A snapshot takes that over, so that the next write needs a new one.
	await system.done(await api.call("vmPause", { path }));
	await system.done(await api.call("snapshotCreate", { path, body: { name: "before" } }));
	await fill(guest.poolId, filler.body.id);
	const before = await guest.wrote();
	const resumed = performance.now();
	await system.done(await api.call("vmResume", { path }));
	// Paused as it was asked to be, it has no reason.
	const stopped = await system.untilVm(
		guest.vmId,
		"the VM to stop",
		({ status }) => status.powerState === "paused" && status.reason !== null,
		waitMs,
	);
	const stoppedMs = Math.round(performance.now() - resumed);
	expect(stopped.status.reason).toContain("a disk gives errors");
	await waitUntil("the pool to be shown as full", waitMs, async () => {
		const left = (await guest.pool()).nodes[0]?.availableBytes;
		return typeof left === "number" && left < MiB;
	});
	const stood = await guest.wrote();
	expect(stood - before).toBeLessThan(3);

	await system.done(await api.call("volumeDelete", { path: { id: filler.body.id } }));
	const roomMs = performance.now();
	await system.untilVm(guest.vmId, "the VM to go on", ({ status }) => status.powerState === "running", waitMs);
	await guest.writesOn(waitMs);
	const wentOnMs = Math.round(performance.now() - roomMs);
	// It is the same run, and what it reads is what it has written.
	expect(await guest.wrote()).toBeGreaterThan(stood);
	note(`storage-full thin: stopped ${stoppedMs} ms after it was resumed, wrote on ${wentOnMs} ms after there was room`);
	await guest.remove();
}, 900_000);
