/**
 * Disks of a running VM that go from files to a Ceph pool and back while the guest writes. What is looked at is what the guest reads, how
 * large it finds its disk, what QEMU has open, and what is left in both pools.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { Volume } from "../../model/storage.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { note } from "../note.ts";
import { type CephSystem, startCephSystem } from "./ceph-system.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { findLeftovers } from "./leftovers.ts";

let lab: CephSystem;
beforeAll(async () => {
	lab = await startCephSystem("move-ceph");
}, 240_000);
afterAll(() => lab?.[Symbol.asyncDispose](), 60_000);

const rbd = (volumeId: string) => `lqx-vol-${volumeId}`;
const fresh = "echo 3 > /proc/sys/vm/drop_caches";
/** Numbers, one after the other and flushed, until it is told to stop; the last one is in /tmp/n. */
const count =
	"rm -f /tmp/stop /tmp/ended; [ -e /tmp/n ] || echo 0 > /tmp/n; (while [ ! -e /tmp/stop ]; do n=$(($(cat /tmp/n) + 1)); printf '%08d' $n | dd of=/dev/vdb bs=8 seek=$((n % 4096)) conv=notrunc,fsync 2>/dev/null; echo $n > /tmp/n; done; echo > /tmp/ended) & echo begun";
const stop = "touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; cat /tmp/n";
const read = (number: number) => `${fresh}; dd if=/dev/vdb bs=8 skip=${number % 4096} count=1 2>/dev/null; echo`;
/** Far behind what is counted. */
const putPattern =
	"dd if=/dev/urandom of=/tmp/pattern bs=1M count=4 2>/dev/null; dd if=/tmp/pattern of=/dev/vdb bs=1M seek=24 conv=notrunc,fsync 2>/dev/null; md5sum < /tmp/pattern";
const patternSum = `${fresh}; dd if=/dev/vdb bs=1M skip=24 count=4 2>/dev/null | md5sum`;

test("local to Ceph and back while the guest writes", async () => {
	const { system, makePool, images, virsh } = lab;
	const { api } = system;
	const poolId = await makePool("rbd");
	const { items } = (await api.call("poolList", { query: {} })).body;
	const local = present(
		items.find(({ type }) => type === "local"),
		"the first pool",
	).id;
	const isLocal = (id: string) => existsSync(join(system.daemon.dataDir, "pools/local/volumes", id));
	const volumeOf = async (id: string): Promise<Volume> => (await api.call("volumeGet", { path: { id } })).body;
	const imageId = (await system.image()).id;
	const vm = await system.createVm({
		name: "wanderer",
		nics: [],
		disks: [{ imageId }, { sizeBytes: 64 * MiB, format: "qcow2" }],
	});
	const [root = "", data = ""] = vm.spec.disks.map(({ volumeId }) => volumeId);
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();
	const sum = await guest.run(putPattern);
	const sizeBytes = async () => Number(await guest.run("cat /sys/block/vdb/size")) * 512;
	const rootBytes = await guest.run("cat /sys/block/vda/size");

	const move = async (id: string, to: string, format: Volume["format"]) => {
		const begun = performance.now();
		await system.done(await api.call("volumeMove", { path: { id }, body: { poolId: to, format } }));
		expect(await volumeOf(id)).toMatchObject({ poolId: to, format, phase: "ready", error: null });
		return `${((performance.now() - begun) / 1000).toFixed(1)} s`;
	};
	const took: string[] = [];
	for (const [to, format] of [
		[poolId, "raw"],
		[local, "qcow2"],
		[poolId, "raw"],
	] as const) {
		await guest.run(count);
		for (const id of [data, root]) took.push(await move(id, to, format));
		const written = Number((await guest.run(stop)).trim());
		expect(written).toBeGreaterThan(5);
		expect((await guest.run(read(written))).trim()).toBe(String(written).padStart(8, "0"));
		expect(await guest.run(patternSum)).toBe(sum);
		expect(await sizeBytes()).toBe(64 * MiB);
		expect(await guest.run("cat /sys/block/vda/size")).toBe(rootBytes);
		expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", differences: [] });

		// The source is closed, and gone.
		const disks = await virsh("domblklist", vm.id);
		const toCeph = to === poolId;
		for (const id of [root, data]) {
			expect(disks.includes(`vms/${rbd(id)}`)).toBe(toCeph);
			expect(await virsh("blockjob", vm.id, id === root ? "vda" : "vdb")).not.toContain("%");
		}
		expect(disks.includes("/volumes/")).toBe(!toCeph);
		await waitUntil("the old disks to be gone", 20_000, async () =>
			toCeph ? !isLocal(root) && !isLocal(data) : (await images()).length === 0,
		);
		expect(toCeph ? await images() : [isLocal(root), isLocal(data)]).toEqual(
			toCeph ? [rbd(root), rbd(data)].sort() : [true, true],
		);
		for (const id of [poolId, local])
			expect((await api.call("poolOrphanList", { path: { id }, query: {} })).body.items).toEqual([]);
	}
	note(`live moves of a root and a data disk, local to Ceph, back, and again: ${took.join(", ")}`);

	// It boots from where it is.
	await system.done(await api.call("vmShutdown", { path: { id: vm.id } }));
	const from = await guest.mark();
	await system.done(await api.call("vmStart", { path: { id: vm.id } }));
	await guest.booted(from);
	expect((await guest.text()).slice(from)).toContain("LIMIQUANTIX-GUEST boot-count 2\r\n");
	expect(await guest.run(patternSum)).toBe(sum);
	await system.done(await api.call("vmStop", { path: { id: vm.id } }));
	await system.done(await api.call("vmDelete", { path: { id: vm.id } }));
	await system.done(await api.call("poolDelete", { path: { id: poolId } }));
	expect(await images()).toEqual([]);
	expect(await findLeftovers(system)).toEqual([]);
}, 420_000);
