/**
 * A VM that boots and runs from a pool, the way of a person: make the pool, put an image into it, make a VM of the image, see it boot
 * twice with what it kept on its disk, enlarge the disk, copy it (copy-on-write where the pool can), and take everything away again. The same
 * for each type of pool.
 */
import { expect } from "bun:test";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { Pool, PoolCreate } from "../../model/storage.ts";
import type { Vm } from "../../model/vm.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type BootGuest, linuxGuest, type RunningGuest } from "./boot-guests.ts";
import type { LabSystem } from "./lab-system.ts";

export type Boot = {
	system: LabSystem;
	pool: Omit<PoolCreate, "name">;
	/** How the disk is in the domain's XML. */
	disk: RegExp;
	/** What boots; default: the small Linux. */
	guest?: BootGuest;
	/** How long one start of the guest may take. */
	bootLimitMs?: number;
};

/** What was done, as a line for people. */
export async function bootFromPool({
	system,
	pool: wanted,
	disk,
	bootLimitMs = 120_000,
	...boot
}: Boot): Promise<string> {
	const { api } = system;
	const { image, of } = boot.guest ?? linuxGuest(system.guest.qcow2Path);
	const name = `boot-${wanted.type}`;
	const made = await api.call("poolCreate", { body: { name, ...wanted } });
	await system.done(made);
	const pool = (await api.call("poolGet", { path: { id: made.body.id } })).body;
	expect(pool).toMatchObject({ phase: "ready", nodes: [{ health: "healthy", reason: null }] });
	const imageId = await importInto(system, pool, image);
	await untilUsable(system, pool.id);
	const begunMs = performance.now();
	const vm = await system.createVm({ name, disks: [{ imageId, poolId: pool.id }], nics: [] });
	const guest = of(system, vm.id);
	await guest.booted(bootLimitMs);
	const bootMs = performance.now() - begunMs;
	const xml = await (await api.call("vmDomainXmlGet", { path: { id: vm.id } })).body.text();
	expect(xml).toMatch(disk);
	await growWhileRunning(system, vm, guest, bootLimitMs);
	await stopped(system, vm);

	await system.done(await api.call("vmStart", { path: { id: vm.id } }));
	await guest.booted(bootLimitMs);
	await stopped(system, vm);

	await untilUsable(system, pool.id);
	const { copyOnWriteClone } = present(pool.nodes[0]?.capabilities, "what the pool can do");
	// In a file, a disk that a VM writes to is copied whole only.
	await system.done(await api.call("vmDelete", { path: { id: vm.id }, query: { deleteVolumes: false } }));
	const copy = await copyOf(system, vm, { fullCopy: !copyOnWriteClone });
	for (const id of [copy, volumeOf(vm)]) await system.done(await api.call("volumeDelete", { path: { id } }));
	await system.done(await api.call("imageDelete", { path: { id: imageId } }));
	await system.done(await api.call("poolDelete", { path: { id: pool.id } }));
	expect((await failureOf(api.call("poolGet", { path: { id: pool.id } }))).code).toBe("not-found");
	return `storage-boot ${wanted.type}: booted in ${(bootMs / 1000).toFixed(1)} s, twice, disk enlarged and copied ${copyOnWriteClone ? "copy-on-write" : "whole"}, nothing left`;
}

/** Where the machine is emulated, a look at the pool beside other work may take longer than it may, and the next one says otherwise. */
async function untilUsable({ api }: LabSystem, poolId: string): Promise<void> {
	await waitUntil("the pool to be usable", 60_000, async () => {
		return (await api.call("poolGet", { path: { id: poolId } })).body.phase === "ready";
	});
}

async function importInto(system: LabSystem, pool: Pool, file: BootGuest["image"]): Promise<string> {
	const answer = await system.api.call("imageCreate", {
		body: {
			...{ name: `guest-${pool.type}`, format: file.format, poolId: pool.id },
			source: { kind: "path", path: file.path },
		},
	});
	await system.done(answer);
	const image = (await system.api.call("imageGet", { path: { id: answer.body.id } })).body;
	expect(image).toMatchObject({ phase: "ready", poolId: pool.id, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
	return image.id;
}

const volumeOf = (vm: Vm): string => present(vm.spec.disks[0], "the disk of the VM").volumeId;

async function growWhileRunning(system: LabSystem, vm: Vm, guest: RunningGuest, limitMs: number): Promise<void> {
	const path = { id: volumeOf(vm) };
	const { sizeBytes } = (await system.api.call("volumeGet", { path })).body;
	const wanted = sizeBytes + 64 * MiB;
	await system.done(await system.api.call("volumeResize", { path, body: { sizeBytes: wanted } }));
	expect((await system.api.call("volumeGet", { path })).body).toMatchObject({ sizeBytes: wanted, phase: "ready" });
	expect(await guest.diskBytes(limitMs)).toBe(wanted);
}

async function stopped(system: LabSystem, vm: Vm): Promise<void> {
	await system.done(await system.api.call("vmShutdown", { path: { id: vm.id } }));
	expect((await system.vm(vm.id)).status.powerState).toBe("stopped");
}

async function copyOf(system: LabSystem, vm: Vm, { fullCopy }: { fullCopy: boolean }): Promise<string> {
	const volumeId = volumeOf(vm);
	const answer = await system.api.call("volumeClone", { path: { id: volumeId }, body: { name: `${vm.name}-copy` } });
	await system.done(answer);
	const copy = (await system.api.call("volumeGet", { path: { id: answer.body.id } })).body;
	expect(copy).toMatchObject({ phase: "ready", error: null, source: { kind: "clone", volumeId, fullCopy } });
	return copy.id;
}
