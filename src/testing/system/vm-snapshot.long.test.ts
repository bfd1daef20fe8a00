/**
 * Snapshots of a VM with disks in two pools, while its guest runs and writes, with a daemon that is killed meanwhile; and back. What
 * is looked at is what the guest reads, what QEMU has open, and what lies in the folders of the pools.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { findLeftovers } from "./leftovers.ts";

let system: LabSystem;
let folder: string;
beforeAll(async () => {
	folder = mkdtempSync("/srv/lqx-vm-snapshot-");
	system = await startLabSystem({ name: "vm-snapshot" });
	await system.image();
}, 120_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	if (folder) rmSync(folder, { recursive: true, force: true });
});

const virsh = async (...words: string[]): Promise<string> =>
	(await system.libvirtd.runInNamespace("virsh", ["--quiet", ...words])).stdout;
const read = async (id: string): Promise<Snapshot> => (await system.api.call("snapshotGet", { path: { id } })).body;
const take = async (vmId: string, name: string): Promise<string> => {
	const made = await system.api.call("snapshotCreate", { path: { id: vmId }, body: { name } });
	await system.done(made);
	return made.body.id;
};

test("a guest that writes: snapshots of two pools at one moment, a daemon that dies, and back to each of them", async () => {
	const { api } = system;
	const pool = await api.call("poolCreate", {
		body: { name: "other", type: "local", config: { path: join(folder, "other") } },
	});
	await system.done(pool);
	const imageId = (await system.image()).id;
	const vm = await system.createVm({
		name: "keeper",
		nics: [],
		disks: [{ imageId }, { sizeBytes: 64 * MiB, poolId: pool.body.id }, { sizeBytes: 64 * MiB, format: "raw" }],
	});
	const path = { path: { id: vm.id } };
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();
	const disks = ["vdb", "vdc"];
	const write = (word: string) =>
		guest.run(
			disks.map((disk) => `printf %-8s ${word} | dd of=/dev/${disk} bs=8 conv=notrunc,fsync 2>/dev/null`).join("; "),
		);
	const content = async () =>
		(await guest.run(`echo 3 > /proc/sys/vm/drop_caches; ${disks.map((disk) => `head -c 8 /dev/${disk}`).join("; ")}`))
			.split(/\s+/)
			.filter((word) => word !== "");
	const restarted = async () => {
		const from = await guest.mark();
		await system.done(await api.call("vmStart", path));
		await guest.booted(from);
	};

	await write("one");
	const one = await take(vm.id, "one");
	expect(await read(one)).toMatchObject({ phase: "ready", current: true, powerState: "running", consistency: "crash" });
	expect((await read(one)).disks).toHaveLength(3);
	expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", error: null, differences: [] });
	// A number in each of two disks, one after the other: in no snapshot is the first one behind.
	await guest.run(
		"(n=0; while [ ! -e /tmp/stop ]; do n=$((n + 1)); for d in vdb vdc; do printf '%08d' $n | dd of=/dev/$d bs=8 seek=9 conv=notrunc,fsync 2>/dev/null; done; done; echo > /tmp/ended) & echo begun",
	);
	await write("two");
	const two = await take(vm.id, "two");

	const third = await api.call("snapshotCreate", { ...path, body: { name: "three" } });
	await waitUntil("the snapshot to have begun", 20_000, async () =>
		(await read(third.body.id)).powerState === null ? undefined : true,
	);
	await system.daemon.kill9();
	await system.daemon.start();
	await system.ready();
	await system.done(third);
	expect(await read(third.body.id)).toMatchObject({ phase: "ready", current: true, parentId: two });
	expect((await virsh("domstate", vm.id)).trim()).toBe("running");
	await guest.run("touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; sync");
	await write("four");
	expect(await content()).toEqual(["four", "four"]);

	await system.done(await api.call("vmStop", path));
	await system.done(await api.call("snapshotRevert", { path: { id: one } }));
	await restarted();
	expect(await content()).toEqual(["one", "one"]);
	expect((await read(one)).current).toBe(true);
	await write("five");

	for (const id of [two, third.body.id]) {
		await system.done(await api.call("vmStop", path));
		await system.done(await api.call("snapshotRevert", { path: { id } }));
		await restarted();
		expect(await content()).toEqual(["two", "two"]);
		const numbers = await guest.run("for d in vdb vdc; do dd if=/dev/$d bs=8 skip=9 count=1 2>/dev/null; echo; done");
		const [first = 0, second = 0] = numbers.split("\n").map(Number);
		expect(first).toBeGreaterThan(0);
		expect([first, first - 1]).toContain(second);
	}

	// A volume of what a disk was, while the VM runs.
	const [, kept] = (await read(one)).disks;
	const source = { kind: "snapshot", snapshotId: one, volumeId: kept?.volumeId ?? "", fullCopy: true } as const;
	const copy = await api.call("volumeCreate", { body: { name: "copy", format: "raw", poolId: pool.body.id, source } });
	await system.done(copy);
	const file = await api.call("volumeContentGet", { path: { id: copy.body.id }, query: { format: "raw" } });
	expect((await file.body.text()).slice(0, 8)).toBe("one     ");
	await system.done(await api.call("volumeDelete", { path: { id: copy.body.id } }));

	await system.done(await api.call("vmStop", path));
	for (const id of [two, one, third.body.id]) await system.done(await api.call("snapshotDelete", { path: { id } }));
	expect((await api.call("snapshotList", path)).body.items).toEqual([]);
	await restarted();
	expect(await content()).toEqual(["two", "two"]);
	await system.done(await api.call("vmDelete", path));
	await system.done(await api.call("poolDelete", { path: { id: pool.body.id } }));
	expect(await findLeftovers(system)).toEqual([]);
}, 400_000);
