/**
 * Snapshots of a VM that runs with disks of two kinds of pools: files, where QEMU goes over to a new layer, and RBD, where the cluster
 * keeps what was. Both at one moment, and back to each; read from inside the guest. And what the volumes take up meanwhile.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type CephSystem, startCephSystem } from "./ceph-system.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { findLeftovers } from "./leftovers.ts";

let lab: CephSystem;
beforeAll(async () => {
	lab = await startCephSystem("snap-ceph");
}, 240_000);
afterAll(() => lab?.[Symbol.asyncDispose](), 60_000);

/** As vdb and vdc: a file in the local pool, and an image of RBD. */
const disks = ["vdb", "vdc"];

test("a guest that writes to a file and to RBD: one moment for both, and back to each snapshot", async () => {
	const { system, makePool, images } = lab;
	const { api } = system;
	const poolId = await makePool("rbd");
	const vm = await system.createVm({
		name: "mixed",
		nics: [],
		disks: [{ imageId: (await system.image()).id }, { sizeBytes: 64 * MiB }, { sizeBytes: 64 * MiB, poolId }],
	});
	const path = { path: { id: vm.id } };
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();
	const read = async (id: string): Promise<Snapshot> => (await api.call("snapshotGet", { path: { id } })).body;
	const take = async (name: string): Promise<string> => {
		const made = await api.call("snapshotCreate", { ...path, body: { name } });
		await system.done(made);
		return made.body.id;
	};
	const write = (word: string) =>
		guest.run(
			disks.map((disk) => `printf %-8s ${word} | dd of=/dev/${disk} bs=8 conv=notrunc,fsync 2>/dev/null`).join("; "),
		);
	const content = async () =>
		(await guest.run(`echo 3 > /proc/sys/vm/drop_caches; ${disks.map((disk) => `head -c 8 /dev/${disk}`).join("; ")}`))
			.split(/\s+/)
			.filter((word) => word !== "");
	const backTo = async (id: string) => {
		const from = await guest.mark();
		await system.done(await api.call("vmStop", path));
		await system.done(await api.call("snapshotRevert", { path: { id } }));
		await system.done(await api.call("vmStart", path));
		await guest.booted(from);
		expect((await read(id)).current).toBe(true);
	};
	const volumes = () =>
		Promise.all(
			vm.spec.disks
				.slice(1)
				.map(async ({ volumeId }) => (await api.call("volumeGet", { path: { id: volumeId } })).body),
		);

	await write("one");
	const one = await take("one");
	expect(await read(one)).toMatchObject({ phase: "ready", current: true, powerState: "running" });
	expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", error: null, differences: [] });
	// A number in each of both, one after the other: in no snapshot is the first one behind.
	await guest.run(
		"(n=0; while [ ! -e /tmp/stop ]; do n=$((n + 1)); for d in vdb vdc; do printf '%08d' $n | dd of=/dev/$d bs=8 seek=9 conv=notrunc,fsync 2>/dev/null; done; done; echo > /tmp/ended) & echo begun",
	);
	await write("two");
	const two = await take("two");
	await guest.run("touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; sync");
	await write("three");
	expect(await content()).toEqual(["three", "three"]);

	// What they take follows the guest, in both kinds of pools.
	await guest.run(
		disks.map((disk) => `dd if=/dev/urandom of=/dev/${disk} bs=1M seek=8 count=24 2>/dev/null`).join("; "),
	);
	await guest.run("sync");
	await waitUntil("what was written to be seen", 200_000, async () =>
		(await volumes()).every(({ allocatedBytes }) => (allocatedBytes ?? 0) >= 24 * MiB),
	);
	const discards = disks.map((disk) => `blkdiscard -o ${8 * MiB} -l ${24 * MiB} /dev/${disk}`);
	expect(await guest.run(`${discards.join(" && ")} && echo discarded-$((1+1))`)).toBe("discarded-2");
	await waitUntil("what was given back to be seen", 200_000, async () =>
		(await volumes()).every(({ allocatedBytes }) => (allocatedBytes ?? 0) < 20 * MiB),
	);

	await backTo(one);
	expect(await content()).toEqual(["one", "one"]);
	await write("four");
	await backTo(two);
	expect(await content()).toEqual(["two", "two"]);
	const numbers = await guest.run("for d in vdb vdc; do dd if=/dev/$d bs=8 skip=9 count=1 2>/dev/null; echo; done");
	const [first = 0, second = 0] = numbers.split("\n").map(Number);
	expect(first).toBeGreaterThan(0);
	expect([first, first - 1]).toContain(second);

	await system.done(await api.call("vmStop", path));
	for (const id of [one, two]) await system.done(await api.call("snapshotDelete", { path: { id } }));
	const from = await guest.mark();
	await system.done(await api.call("vmStart", path));
	await guest.booted(from);
	expect(await content()).toEqual(["two", "two"]);
	await system.done(await api.call("vmStop", path));
	await system.done(await api.call("vmDelete", path));
	expect(await images()).toEqual([]);
	await system.done(await api.call("poolDelete", { path: { id: poolId } }));
	expect(await findLeftovers(system)).toEqual([]);
}, 900_000);
