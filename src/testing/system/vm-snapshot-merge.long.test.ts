/**
 * Snapshots deleted while the guest runs and writes, with a daemon that is killed in the middle of each: what the guest reads, what lies in
 * the pool, and what qemu-img says of it afterwards.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import type { Task } from "../../model/task.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { findLeftovers } from "./leftovers.ts";

let system: LabSystem;
let folder: string;
/** A file system that gets full. */
let small: string;
beforeAll(async () => {
	folder = mkdtempSync("/srv/lqx-vm-snapshot-merge-");
	// Before the lab begins: what is mounted then is there in its namespaces.
	small = join(folder, "small");
	mkdirSync(small);
	const device = join(folder, "small.img");
	await run("truncate", ["-s", String(96 * MiB), "--", device], { timeoutMs: 5000 });
	await run("mkfs.ext4", ["-q", "-m", "0", "--", device], { timeoutMs: 20_000 });
	await run("mount", ["-o", "loop", "--", device, small], { timeoutMs: 10_000 });
	system = await startLabSystem({ name: "snapshot-merge" });
	await system.image();
}, 120_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	if (small) await run("umount", ["--lazy", "--", small], { timeoutMs: 10_000, okExitCodes: [0, 32] });
	if (folder) rmSync(folder, { recursive: true, force: true });
});

const sizeBytes = 40 * MiB;
/** Of each disk, this much is written before each snapshot. */
const partMiB = 8;

const virsh = async (...words: string[]): Promise<string> =>
	(await system.libvirtd.runInNamespace("virsh", ["--quiet", ...words])).stdout;
const take = async (vmId: string, name: string): Promise<string> => {
	const made = await system.api.call("snapshotCreate", { path: { id: vmId }, body: { name } });
	await system.done(made);
	return made.body.id;
};

/** The daemon ends once QEMU is at it, and a new one goes on. */
async function killedInTheMiddle(task: Task): Promise<void> {
	await waitUntil("QEMU to merge", 60_000, async () => {
		const { message, state } = (await system.api.call("taskGet", { path: { id: task.id } })).body;
		return (message ?? "").startsWith("Merging disk") || state === "succeeded" || undefined;
	});
	await system.daemon.kill9();
	await system.daemon.start();
	await system.ready();
}

test("first, middle and last of three go while the guest writes, and it reads what it wrote", async () => {
	const { api } = system;
	const place = join(folder, "pool");
	const pool = await api.call("poolCreate", { body: { name: "other", type: "local", config: { path: place } } });
	await system.done(pool);
	const poolId = pool.body.id;
	const vm = await system.createVm({
		name: "merger",
		nics: [],
		disks: [{ imageId: (await system.image()).id }, { sizeBytes, poolId }, { sizeBytes, poolId, format: "raw" }],
	});
	const [, ...volumes] = vm.spec.disks.map(({ volumeId }) => volumeId);
	const path = { path: { id: vm.id } };
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();
	const each = (command: string) => guest.run(`for d in vdb vdc; do ${command}; done`);
	const fill = (letter: string, part: number) =>
		each(
			`tr '\\0' ${letter} </dev/zero | dd of=/dev/$d bs=1M count=${partMiB} seek=${part * partMiB} iflag=fullblock conv=fsync,notrunc 2>/dev/null`,
		);
	const digests = async () => {
		const found: string[] = [];
		for (const disk of ["vdb", "vdc"])
			found.push(/[0-9a-f]{64}/.exec(await guest.run(`sha256sum </dev/${disk}`))?.[0] ?? disk);
		return found;
	};
	const files = (volumeId: string) => readdirSync(join(place, "volumes", volumeId)).sort();
	const layers = async () =>
		(await virsh("domblklist", vm.id)).split("\n").flatMap((line) => /\s(\/\S+\/disk-\d+\.\w+)/.exec(line)?.[1] ?? []);

	const snapshots: string[] = [];
	for (const [at, letter] of ["a", "b", "c"].entries()) {
		await fill(letter, at);
		snapshots.push(await take(vm.id, letter));
	}
	await fill("d", 3);
	for (const id of volumes) expect(files(id)).toHaveLength(5);
	// A number in each disk, on and on; above what was filled.
	await guest.run(
		"(n=0; while [ ! -e /tmp/stop ]; do n=$((n + 1)); for d in vdb vdc; do printf '%08d' $n | dd of=/dev/$d bs=512 seek=$((65536 + n % 8192)) conv=notrunc 2>/dev/null; done; echo $n >/tmp/count; done; echo >/tmp/ended) & echo begun",
	);
	const count = async () => Number(/\d+/.exec(await guest.run("cat /tmp/count"))?.[0]);

	// What is below a layer in a raw file stays until the disk itself goes into it.
	for (const [at, left] of [
		[1, [4, 4]],
		[0, [3, 4]],
		[2, [2, 2]],
	] as const) {
		const before = await count();
		const asked = await api.call("snapshotDelete", { path: { id: snapshots[at] ?? "" } });
		await killedInTheMiddle(asked.body);
		await system.done(asked);
		expect((await virsh("domstate", vm.id)).trim()).toBe("running");
		expect(volumes.map((id) => files(id).length)).toEqual([...left]);
		expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", error: null, differences: [] });
		await waitUntil("the guest to go on", 60_000, async () => ((await count()) > before ? true : undefined));
	}
	// The disks are the files that they were, and the raw one is raw.
	for (const [at, id] of volumes.entries()) {
		const file = at === 0 ? "disk-1.qcow2" : "disk-1.raw";
		expect(files(id)).toEqual([file, "record.json"]);
		expect(await layers()).toContain(join(place, "volumes", id, file));
	}
	await guest.run(
		"touch /tmp/stop; while [ ! -e /tmp/ended ]; do sleep 0.1; done; sync; echo 3 >/proc/sys/vm/drop_caches",
	);
	for (const letter of ["a", "b", "c", "d"]) {
		const skip = "abcd".indexOf(letter) * partMiB;
		const found = await each(`dd if=/dev/$d bs=1M skip=${skip} count=${partMiB} 2>/dev/null | tr -d ${letter} | wc -c`);
		expect(found.trim().split(/\s+/)).toEqual(["0", "0"]);
	}
	const said = await digests();
	await system.done(await api.call("vmStop", path));
	for (const [at, id] of volumes.entries()) {
		const file = join(place, "volumes", id, files(id)[0] ?? "");
		if (at === 0) await run("qemu-img", ["check", "-q", "-f", "qcow2", "--", file], { timeoutMs: 60_000 });
		const content = await api.call("volumeContentGet", { path: { id }, query: { format: "raw" } });
		const hash = createHash("sha256");
		for await (const bytes of content.body.body ?? []) hash.update(bytes);
		expect(hash.digest("hex")).toBe(said[at] ?? "");
	}

	// Started again it is the same; and with a snapshot that goes while it runs, the VM's end in the middle loses nothing.
	const from = await guest.mark();
	await system.done(await api.call("vmStart", path));
	await guest.booted(from);
	expect(await digests()).toEqual(said);
	const last = await take(vm.id, "last");
	await fill("e", 0);
	await guest.run("sync");
	const wanted = await digests();
	const asked = await api.call("snapshotDelete", { path: { id: last } });
	await waitUntil("QEMU to merge", 60_000, async () => {
		const { message, state } = (await api.call("taskGet", { path: { id: asked.body.id } })).body;
		return (message ?? "").startsWith("Merging disk") || state === "succeeded" || undefined;
	});
	await virsh("destroy", vm.id);
	await system.done(asked);
	for (const id of volumes) expect(files(id)).toHaveLength(2);
	await waitUntil("the VM to be known as stopped", 30_000, async () => {
		return (await system.vm(vm.id)).status.powerState === "stopped" || undefined;
	});
	const again = await guest.mark();
	await system.done(await api.call("vmStart", path));
	await guest.booted(again);
	expect(await digests()).toEqual(wanted);
	await system.done(await api.call("vmDelete", path));
	await system.done(await api.call("poolDelete", { path: { id: poolId } }));
	expect(await findLeftovers(system)).toEqual([]);
}, 580_000);

test("a pool without room for it: the guest goes on, nothing is lost, and it goes once there is room", async () => {
	const { api } = system;
	const place = join(small, "pool");
	const pool = await api.call("poolCreate", { body: { name: "small", type: "local", config: { path: place } } });
	await system.done(pool);
	const vm = await system.createVm({
		name: "squeezed",
		nics: [],
		disks: [{ imageId: (await system.image()).id }, { sizeBytes, poolId: pool.body.id }],
	});
	const path = { path: { id: vm.id } };
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();
	const fill = (letter: string, megabytes: number, at: number) =>
		guest.run(
			`tr '\\0' ${letter} </dev/zero | dd of=/dev/vdb bs=1M count=${megabytes} seek=${at} iflag=fullblock conv=fsync,notrunc 2>/dev/null`,
		);
	const digest = async () => /[0-9a-f]{64}/.exec(await guest.run("sha256sum </dev/vdb"))?.[0] ?? "none";
	await fill("a", 4, 0);
	const id = await take(vm.id, "one");
	await fill("b", 24, 4);
	const said = await digest();
	const free = statfsSync(small);
	writeFileSync(join(small, "ballast"), new Uint8Array(free.bavail * free.bsize - 8 * MiB).fill(1));
	const refused = await api.call("snapshotDelete", { path: { id } });
	const failed = await system.done(refused).then(
		() => "done",
		(error) => String(error),
	);
	expect(failed).toContain("no room left");
	const snapshot = (await api.call("snapshotGet", { path: { id } })).body;
	expect(snapshot).toMatchObject({ phase: "error", error: { code: "no-space" } });
	expect((await virsh("domstate", vm.id)).trim()).toBe("running");
	expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", error: null, differences: [] });
	await guest.run("echo 3 >/proc/sys/vm/drop_caches");
	expect(await digest()).toBe(said);

	rmSync(join(small, "ballast"));
	await system.done(await api.call("snapshotDelete", { path: { id } }));
	await guest.run("echo 3 >/proc/sys/vm/drop_caches");
	expect(await digest()).toBe(said);
	const [, volume] = vm.spec.disks;
	expect(readdirSync(join(place, "volumes", volume?.volumeId ?? ""))).toHaveLength(2);
	await system.done(await api.call("vmDelete", path));
	await system.done(await api.call("poolDelete", { path: { id: pool.body.id } }));
	expect(await findLeftovers(system)).toEqual([]);
}, 400_000);
