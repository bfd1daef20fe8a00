/**
 * Snapshots of a VM that runs, with disks in a folder, on NFS, on a LUN of several nodes (qcow2 on logical volumes) and on one of LVM-thin,
 * in several of them at one moment; in the storage lab VM. The guest writes to its first disk, which is in each of them in turn, and says
 * after each start what it has found there.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { present } from "../../lib/assert.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { PoolCreate } from "../../model/storage.ts";
import { newExport, nfsMounts, type TestExport } from "../lab/nfs/nfs-pool.ts";
import { readProbe } from "../lab/probe-guest/probe-guest.ts";
import { credentials, type LabLuns, labLuns, sessionCount, wwidOf } from "../lab/storage-vm/inside/iscsi-pool.ts";
import { startLockManager } from "../lab/storage-vm/inside/lock-manager.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { note } from "../note.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";
import { nestedGuest, startNestedSystem } from "./nested-system.ts";

const bootLimitMs = 300_000;
let exported: TestExport;
let lab: LabLuns;
let locks: AsyncDisposable | undefined;
let system: LabSystem;
beforeAll(async () => {
	exported = await newExport(false);
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [2 * GiB, 2 * GiB], withChap: true });
	locks = await startLockManager("snapshot");
	system = await startNestedSystem("snapshot");
}, 600_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	await locks?.[Symbol.asyncDispose]();
	await lab?.close();
	await exported?.close();
}, 120_000);

type Place = "nfs" | "thick" | "thin";

function poolBody(name: Place): PoolCreate {
	const server = { server: "127.0.0.1", exportPath: exported.path, folder: "nfs", version: "4.2" as const };
	if (name === "nfs") return { name, type: "nfs", config: { ...server, mountOptions: [] } };
	const config = name === "thick" ? lab.config() : lab.config({ wwid: wwidOf(2), layout: "thin" });
	return { name, type: "iscsi-lvm", config, credentials };
}

/** A look at a pool takes seconds here, each five seconds: a test has no pools that it does not need. */
test.each<[Place, Place[]]>([
	["nfs", ["thick"]],
	["thick", ["nfs"]],
	["thin", []],
])(
	"a guest that writes to %s; other disks in a folder, and in %p",
	async (place, beside) => {
		const { api } = system;
		const pools: string[] = [];
		for (const name of [place, ...beside]) {
			const made = await api.call("poolCreate", { body: poolBody(name) });
			await system.done(made);
			pools.push(made.body.id);
		}
		await waitUntil("the pools to be healthy", bootLimitMs, async () => {
			const { items } = (await api.call("poolList", { query: {} })).body;
			return items.every(({ nodes }) => nodes.length > 0 && nodes.every(({ health }) => health === "healthy"));
		});
		const poolId = present(pools[0], "the pool");
		const { items: local } = (await api.call("poolList", { query: { type: ["local"] } })).body;
		const image = await api.call("imageCreate", {
			body: { name: place, format: "raw", poolId, source: { kind: "path", path: nestedGuest.image.path } },
		});
		await system.done(image);
		const others = [present(local[0], "a pool").id, ...pools.slice(1)];
		const vm = await system.createVm({
			...{ name: place, nics: [] },
			disks: [{ imageId: image.body.id, poolId }, ...others.map((id) => ({ sizeBytes: 4 * MiB, poolId: id }))],
		});
		const path = { path: { id: vm.id } };
		const guest = new GuestTerminal(system, vm.id);
		const report = async () => readProbe(await guest.text());
		const wrote = async () => {
			const { wrote: number, failures } = await report();
			expect(failures).toBe(0);
			return number ?? 0;
		};
		const writesOn = async () => {
			const before = await wrote();
			await waitUntil("the guest to write on", bootLimitMs, async () => (await wrote()) > before + 5, {
				everyMs: 1000,
			});
		};
		const read = async (id: string): Promise<Snapshot> => (await api.call("snapshotGet", { path: { id } })).body;
		/** Its id, and between what numbers the guest was then. */
		const take = async (name: string) => {
			const from = await wrote();
			const made = await api.call("snapshotCreate", { ...path, body: { name } });
			await system.done(made);
			const { id } = made.body;
			expect(await read(id)).toMatchObject({ phase: "ready", current: true, powerState: "running" });
			expect((await read(id)).disks).toHaveLength(1 + others.length);
			expect((await system.vm(vm.id)).status).toMatchObject({ powerState: "running", error: null, differences: [] });
			const to = await wrote();
			await writesOn();
			return { id, from, to };
		};
		const boot = async () => {
			const before = (await guest.text()).length;
			await system.done(await api.call("vmStart", path));
			return waitUntil("the guest to be up again", bootLimitMs, async () => {
				const now = readProbe((await guest.text()).slice(before));
				return now.found !== null && now.wrote !== null && now;
			});
		};
		const backTo = async ({ id, from, to }: { id: string; from: number; to: number }) => {
			await system.done(await api.call("vmStop", path));
			await system.done(await api.call("snapshotRevert", { path: { id } }));
			const { found } = await boot();
			expect(found).toBeGreaterThanOrEqual(from);
			// One that was written and not read back yet.
			expect(found).toBeLessThanOrEqual(to + 1);
			expect((await read(id)).current).toBe(true);
		};

		await writesOn();
		const begunMs = performance.now();
		const one = await take("one");
		const two = await take("two");
		expect(two.from).toBeGreaterThan(one.to + 1);
		note(
			`storage-snapshot: ${place}: two taken in ${((performance.now() - begunMs) / 1000).toFixed(0)} s, emulated twice`,
		);
		await backTo(one);
		await writesOn();
		await backTo(two);
		await system.done(await api.call("vmStop", path));
		for (const { id } of [one, two]) await system.done(await api.call("snapshotDelete", { path: { id } }));
		expect((await boot()).found).toBeGreaterThanOrEqual(two.from);
		await system.done(await api.call("vmStop", path));
		await system.done(await api.call("vmDelete", path));
		await system.done(await api.call("imageDelete", { path: { id: image.body.id } }));
		for (const id of pools) {
			expect((await api.call("volumeList", { query: { poolId: [id] } })).body.items).toEqual([]);
			expect((await api.call("poolOrphanList", { path: { id }, query: {} })).body.items).toEqual([]);
			await system.done(await api.call("poolDelete", { path: { id } }));
		}
		expect(await readdir(exported.folder)).toEqual([]);
		expect(await nfsMounts()).toEqual([]);
		expect(await sessionCount()).toBe(0);
	},
	1_200_000,
);
