/**
 * Disks that go to another pool: while their VM runs and its guest writes, with a daemon that is killed meanwhile, and at rest. What is
 * looked at is what the guest reads, what QEMU has open, and what lies in the folders of the pools.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { Volume } from "../../model/storage.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { findLeftovers } from "./leftovers.ts";

let system: LabSystem;
let folder: string;
beforeAll(async () => {
	folder = mkdtempSync("/srv/lqx-volume-move-");
	system = await startLabSystem({ name: "volume-move" });
	await system.image();
}, 120_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	if (folder) rmSync(folder, { recursive: true, force: true });
});

const virsh = async (...words: string[]): Promise<string> =>
	(await system.libvirtd.runInNamespace("virsh", ["--quiet", ...words])).stdout;
const volumeOf = async (id: string): Promise<Volume> => (await system.api.call("volumeGet", { path: { id } })).body;
const inPool = (pool: "local" | "other", id: string): boolean =>
	existsSync(
		join(pool === "local" ? join(system.daemon.dataDir, "pools/local") : join(folder, "other"), "volumes", id),
	);

test("root and data disks go over while the guest writes; a limit stays; at rest they come back", async () => {
	const { api } = system;
	const made = await api.call("poolCreate", {
		body: { name: "other", type: "local", config: { path: join(folder, "other") } },
	});
	await system.done(made);
	const { items } = (await api.call("poolList", { query: {} })).body;
	const local = present(
		items.find(({ name }) => name === "local"),
		"the first pool",
	);
	const move = (id: string, poolId: string, format: Volume["format"]) =>
		api.call("volumeMove", { path: { id }, body: { poolId, format } });
	const imageId = (await system.image()).id;
	const vm = await system.createVm({
		name: "wanderer",
		nics: [],
		disks: [
			{ imageId, limits: { readIops: 4000 } },
			{ sizeBytes: 64 * MiB, format: "raw" },
		],
	});
	const [root = "", data = ""] = vm.spec.disks.map(({ volumeId }) => volumeId);
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();
	expect(await virsh("blkdeviotune", vm.id, "vda")).toMatch(/read_iops_sec *: 4000/);

	// A copy-on-write copy of an image becomes a disk that stands alone.
	await system.done(await move(root, made.body.id, "raw"));
	expect(await volumeOf(root)).toMatchObject({ poolId: made.body.id, format: "raw", phase: "ready" });
	expect(await virsh("domblklist", vm.id)).toContain(`${folder}/other/volumes/${root}/`);
	expect(await virsh("dumpxml", vm.id, "--xpath", "//disk/driver[@type='raw']")).toContain("raw");
	expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", differences: [] });
	await waitUntil("the old disk to be gone", 20_000, async () => (inPool("local", root) ? undefined : true));

	// It counts up on its data disk as fast as it can; no number is lost.
	await guest.run(
		"echo 0 > /tmp/n; (while [ ! -e /tmp/stop ]; do n=$(($(cat /tmp/n) + 1)); printf '%08d' $n | dd of=/dev/vdb bs=8 seek=$((n % 4096)) conv=notrunc,fsync 2>/dev/null; echo $n > /tmp/n; done; echo > /tmp/ended) & echo begun",
	);
	const moving = await move(data, made.body.id, "qcow2");
	const taskId = moving.body.id;
	await waitUntil("the move to have begun", 20_000, async () => {
		const { state } = (await api.call("taskGet", { path: { id: taskId } })).body;
		return state === "pending" ? undefined : true;
	});
	await system.daemon.kill9();
	await system.daemon.start();
	await system.ready();
	await system.done(moving);
	expect(await volumeOf(data)).toMatchObject({ poolId: made.body.id, format: "qcow2" });
	const written = await guest.run("touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; cat /tmp/n");
	const last = Number(written.trim());
	expect(last).toBeGreaterThan(5);
	const read =
		"n=$(cat /tmp/n); echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdb bs=8 skip=$((n % 4096)) count=1 2>/dev/null";
	expect((await guest.run(read)).trim()).toBe(String(last).padStart(8, "0"));
	await waitUntil("the old disk to be gone", 20_000, async () => (inPool("local", data) ? undefined : true));
	expect(await virsh("blockjob", vm.id, "vdb")).not.toContain("%");

	await system.done(await api.call("vmShutdown", { path: { id: vm.id } }));
	const check = await system.done(await api.call("volumeCheck", { path: { id: data }, body: {} }));
	expect(check.message).toBe("No damage found.");
	await system.done(await move(data, local.id, "raw"));
	await system.done(await move(root, local.id, "qcow2"));
	const from = await guest.mark();
	await system.done(await api.call("vmStart", { path: { id: vm.id } }));
	await guest.booted(from);
	expect((await guest.text()).slice(from)).toContain("LIMIQUANTIX-GUEST boot-count 2\r\n");
	const again = `dd if=/dev/vdb bs=8 skip=${last % 4096} count=1 2>/dev/null`;
	expect((await guest.run(again)).trim()).toBe(String(last).padStart(8, "0"));
	expect([inPool("local", root), inPool("local", data)]).toEqual([true, true]);
	const orphans = (await api.call("poolOrphanList", { path: { id: made.body.id }, query: {} })).body.items;
	expect(orphans).toEqual([]);

	const refusal = await failureOf(move(root, local.id, "qcow2"));
	expect(refusal.code).toBe("invalid");
	await system.done(await api.call("vmDelete", { path: { id: vm.id } }));
	await system.done(await api.call("poolDelete", { path: { id: made.body.id } }));
	expect(await findLeftovers(system)).toEqual([]);
}, 300_000);
