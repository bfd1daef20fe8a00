/**
 * kill -9 at every step of work on snapshots: a VM that ran runs afterwards, in the files that its pools name; a snapshot is whole or
 * is said not to be; a VM that was being set back is set back.
 */
import { expect } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { sourceName } from "../model/disk-source.ts";
import { killedAnywhere, type Scenario } from "../testing/node/killed-anywhere.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { askDeletion, askRevert, askSnapshot, takeSnapshot } from "../testing/node/snapshot-deeds.ts";

const vmId = "00000000-0000-7000-8000-0000000000aa";

const made = (start: boolean) => async (world: NodeWorld) => {
	await world.createVm({ id: vmId, name: "crash", volumes: [{}, {}], start });
	await world.settle();
	write(world, 1);
};
function write(world: NodeWorld, byte: number): void {
	for (const { content } of world.pool.volumes.values()) content.write(0, new Uint8Array(8).fill(byte));
}
const content = (world: NodeWorld) => [...world.pool.volumes.values()].map((volume) => volume.content.read(0, 1)[0]);
const power = (world: NodeWorld) => world.vm(vmId).status.powerState;
const named = (world: NodeWorld, name: string) => world.store.all("snapshot").find((one) => one.name === name);
const only = (world: NodeWorld) => world.store.all("snapshot")[0];

/** QEMU writes to what the pools say that the disks are. */
async function expectInStep(world: NodeWorld): Promise<void> {
	const layers = await world.hypervisor.diskLayers(vmId);
	for (const { id, volumeId } of world.vm(vmId).spec.disks) {
		const { source, backing } = await world.driver.attachInfo(volumeId);
		const names = [source, ...backing.map((below) => below.source)].map(sourceName);
		expect(layers.find(({ diskId }) => diskId === id)?.layers).toEqual(names);
	}
}

const scenarios: Scenario[] = [
	{
		name: "a snapshot of a running VM",
		prepare: made(true),
		ask: async (world) => (await askSnapshot(world, vmId, "one")).taskId,
		async check(world) {
			expect(power(world)).toBe("running");
			await expectInStep(world);
			expect(only(world)).toMatchObject({ phase: "ready", current: true, powerState: "running" });
		},
	},
	{
		name: "a snapshot of a VM that is off",
		prepare: made(false),
		ask: async (world) => (await askSnapshot(world, vmId, "one")).taskId,
		check(world) {
			expect(power(world)).toBe("stopped");
			expect(only(world)).toMatchObject({ phase: "ready", current: true, powerState: "stopped" });
		},
	},
	{
		name: "a snapshot whose second disk fails",
		prepare: made(true),
		ask: async (world) => {
			const [, second = ""] = world.vm(vmId).spec.disks.map(({ volumeId }) => volumeId);
			const { snapshots } = world.driver;
			const take = snapshots?.take.bind(snapshots);
			if (snapshots && take)
				snapshots.take = (id, ...rest) =>
					id === second ? Promise.reject(new AppError("no-space", "full")) : take(id, ...rest);
			return (await askSnapshot(world, vmId, "one")).taskId;
		},
		// The next process has a driver that works.
		ends: ["failed", "succeeded"],
		async check(world) {
			expect(power(world)).toBe("running");
			await expectInStep(world);
			const snapshot = only(world);
			expect(["ready", "error"]).toContain(snapshot?.phase ?? "missing");
			for (const { snapshots } of world.pool.volumes.values())
				expect(snapshots).toHaveLength(snapshot?.phase === "ready" ? 1 : 0);
		},
	},
	{
		name: "a revert",
		prepare: async (world) => {
			await made(false)(world);
			await takeSnapshot(world, vmId, "one");
			write(world, 2);
		},
		ask: (world) => askRevert(world, only(world)?.id ?? ""),
		check(world) {
			expect(content(world)).toEqual([1, 1]);
			expect(only(world)).toMatchObject({ phase: "ready", current: true });
		},
	},
	{
		name: "a deletion",
		prepare: async (world) => {
			await made(false)(world);
			await takeSnapshot(world, vmId, "one");
			write(world, 2);
		},
		ask: (world) => askDeletion(world, only(world)?.id ?? ""),
		check(world) {
			expect(content(world)).toEqual([2, 2]);
			expect(world.store.count("snapshot")).toBe(0);
		},
	},
	...["one", "two", "three"].map(
		(name): Scenario => ({
			name: `snapshot ${name} of three is deleted while the VM runs`,
			prepare: async (world) => {
				await made(true)(world);
				for (const each of ["one", "two", "three"]) await takeSnapshot(world, vmId, each);
				write(world, 2);
			},
			ask: (world) => askDeletion(world, named(world, name)?.id ?? ""),
			async check(world) {
				expect([power(world), content(world)]).toEqual(["running", [2, 2]]);
				await expectInStep(world);
				expect(named(world, name)).toBeUndefined();
				for (const { layers, snapshots } of world.pool.volumes.values())
					expect([layers.length, snapshots.length]).toEqual([2, 2]);
				expect(await world.hypervisor.blockJobs(vmId)).toEqual([]);
			},
		}),
	),
	{
		name: "a VM with snapshots is deleted, and its volumes stay",
		prepare: async (world) => {
			await made(true)(world);
			await takeSnapshot(world, vmId, "one");
		},
		ask: (world) => world.deleteVm(vmId, false),
		check: (world) => expect([world.store.count("vm"), world.store.count("snapshot")]).toEqual([0, 0]),
	},
];

killedAnywhere(scenarios);
