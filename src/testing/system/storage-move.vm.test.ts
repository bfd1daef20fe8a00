/**
 * The disk of a running VM goes from files of the node to NFS, from there to a logical volume on a LUN, and back the same way, while its guest
 * writes; in the storage lab VM. What is looked at is what the guest reads back, what QEMU has open, and what is left in each pool.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { GiB } from "../../lib/units.ts";
import type { PoolCreate, VolumeFormat } from "../../model/storage.ts";
import { newExport, nfsMounts, type TestExport } from "../lab/nfs/nfs-pool.ts";
import { readProbe } from "../lab/probe-guest/probe-guest.ts";
import { credentials, type LabLuns, labLuns, limit, sessionCount } from "../lab/storage-vm/inside/iscsi-pool.ts";
import { startLockManager } from "../lab/storage-vm/inside/lock-manager.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { note } from "../note.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";
import { startWritingVm } from "./storage-loss.ts";

let folder: string;
let exported: TestExport;
let lab: LabLuns;
let locks: AsyncDisposable | undefined;
let system: LabSystem;
beforeAll(async () => {
	await mkdir("/srv", { recursive: true });
	folder = await mkdtemp("/srv/move-");
	exported = await newExport(false);
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [2 * GiB], withChap: true });
	locks = await startLockManager("move");
	system = await startNestedSystem("move");
}, 300_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await locks?.[Symbol.asyncDispose]();
	await lab?.close();
	await exported?.close();
	if (folder) await rm(folder, { recursive: true, force: true });
}, 120_000);

const places = ["files", "nfs", "lun"] as const;
type Place = (typeof places)[number];

/** As libvirt names a disk there. */
const sources: Record<Place, RegExp> = {
	files: /<source file='\/srv\/move-[^']+\/pool\/volumes\//,
	nfs: /<source file='[^']+\/mount\/nfs\/volumes\//,
	lun: /<source dev='\/dev\/lqx-[0-9a-f-]{36}\/v-/,
};

test("files, NFS, LUN, and back, while the guest writes", async () => {
	const { api } = system;
	const makePool = async (body: PoolCreate): Promise<string> => {
		const made = await api.call("poolCreate", { body });
		await system.done(made);
		return made.body.id;
	};
	const server = { server: "127.0.0.1", exportPath: exported.path, folder: "nfs", version: "4.2" as const };
	const vm = await startWritingVm(system, {
		pool: { name: "files", type: "local", config: { path: join(folder, "pool") } },
		probe: nestedGuest.image.path,
	});
	const pools: Record<Place, string> = {
		files: vm.poolId,
		nfs: await makePool({ name: "nfs", type: "nfs", config: { ...server, mountOptions: [] } }),
		lun: await makePool({ name: "lun", type: "iscsi-lvm", config: lab.config(), credentials }),
	};
	const healthy = (id: string) =>
		waitUntil("the pool to be healthy", 120_000, async () => {
			const { nodes } = (await api.call("poolGet", { path: { id } })).body;
			return nodes.every(({ health }) => health === "healthy");
		});
	const volumesOf = async (place: Place): Promise<string[]> =>
		(await api.call("volumeList", { query: { poolId: [pools[place]] } })).body.items.map(({ id }) => id);
	const disk = present((await vm.vm()).spec.disks[0], "the disk").volumeId;
	const domainXml = async () => (await api.call("vmDomainXmlGet", { path: { id: vm.vmId } })).body.text();
	const took: string[] = [];

	for (const [to, format] of [
		["nfs", "qcow2"],
		["lun", "raw"],
		["nfs", "raw"],
		["lun", "qcow2"],
		["files", "raw"],
	] as const satisfies [Place, VolumeFormat][]) {
		await healthy(pools[to]);
		const begun = performance.now();
		const before = await vm.wrote();
		const moved = await api.call("volumeMove", { path: { id: disk }, body: { poolId: pools[to], format } });
		await system.done(moved);
		took.push(`${to} ${((performance.now() - begun) / 1000).toFixed(1)} s`);
		// What it writes it reads back, and says so when that is something else.
		await vm.writesOn(120_000);
		expect(await vm.wrote()).toBeGreaterThan(before);
		const { body } = await api.call("volumeGet", { path: { id: disk } });
		expect(body).toMatchObject({ poolId: pools[to], format, phase: "ready", error: null });
		expect((await vm.vm()).status).toMatchObject({ powerState: "running", differences: [], error: null });
		const xml = await domainXml();
		for (const place of places) expect(sources[place].test(xml)).toBe(place === to);
		expect(xml).toMatch(new RegExp(`<driver [^>]*type='${format}'`));
		for (const place of places) {
			await waitUntil("the old disk to be gone", 60_000, async () => {
				return (await volumesOf(place)).includes(disk) === (place === to);
			});
			const orphans = await api.call("poolOrphanList", { path: { id: pools[place] }, query: {} });
			expect(orphans.body.items).toEqual([]);
		}
	}
	note(`live moves of a disk of 1 MiB, all emulated twice: ${took.join(", ")}`);

	// It boots from where it is, with what it wrote.
	const last = await vm.wrote();
	await system.done(await api.call("vmShutdown", { path: { id: vm.vmId } }));
	await system.done(await api.call("vmStart", { path: { id: vm.vmId } }));
	const guest = new GuestTerminal(system, vm.vmId);
	const report = await waitUntil("the guest to be up again", 300_000, async () => {
		const now = readProbe(await guest.text());
		return now.boots === 2 && now;
	});
	expect(report.found).toBeGreaterThanOrEqual(last);
	await vm.remove();
	for (const id of [pools.nfs, pools.lun]) await system.done(await api.call("poolDelete", { path: { id } }));
	expect(await readdir(exported.folder)).toEqual([]);
	expect(await nfsMounts()).toEqual([]);
	expect(await sessionCount()).toBe(0);
	const left = ["--no-act", "--noheadings", "--output", "TYPE", "--", lab.disks[0]?.device ?? ""];
	expect((await run("wipefs", left, limit)).stdout.trim()).toBe("");
}, 1_200_000);
