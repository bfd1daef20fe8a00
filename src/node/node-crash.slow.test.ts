/**
 * kill -9 at every step: each operation is run once to count what it does, then again and again with the process dying
 * before each of these calls and after it took effect, with the answer lost. The next process must bring everything to an
 * end: nothing unfinished, nothing orphaned, nothing claimed that is not so.
 */
import { expect } from "bun:test";
import { MiB } from "../lib/units.ts";
import type { Volume } from "../model/storage.ts";
import type { Vm } from "../model/vm.ts";
import { killedAnywhere, type Scenario } from "../testing/node/killed-anywhere.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { bytes, readyImage, remove, secondPool, sha256 } from "../testing/node/storage-deeds.ts";

const vmId = "00000000-0000-7000-8000-0000000000aa";
const volumeId = (world: NodeWorld): string => world.vm(vmId).spec.disks[0]?.volumeId ?? "";

const made = (start: boolean) => async (world: NodeWorld) => {
	await world.createVm({ id: vmId, name: "crash", volumes: [{}], start });
};
const power = (world: NodeWorld) => world.vm(vmId).status.powerState;
let adoption: { vm: Vm; volumes: Volume[] } | null = null;
const image = new Uint8Array(1 * MiB).fill(7);

async function foreign(world: NodeWorld): Promise<void> {
	const disks = ["one", "two"].map((name) => {
		world.pool.hostFiles.set(`/old/${name}.raw`, image);
		return { target: name, path: `/old/${name}.raw`, format: "raw", bus: "virtio" } as const;
	});
	world.hypervisor.addForeign({ id: vmId, name: "old", powerState: "running", autostart: true, disks });
	adoption = await world.service.planAdoption(vmId);
}

async function adopt(world: NodeWorld): Promise<string> {
	const task = world.task("vm.adopt", vmId);
	if (adoption) await world.propose({ kind: "vmAdopt", ...adoption, task });
	return task.id;
}

const scenarios: Scenario[] = [
	{
		name: "create",
		ask: async (world) => (await world.createVm({ id: vmId, volumes: [{}, { format: "raw" }] })).taskId,
		check: (world) => expect(power(world)).toBe("running"),
	},
	{
		name: "start",
		prepare: made(false),
		ask: (world) => world.act("vm.start", vmId),
		check: (world) => expect(power(world)).toBe("running"),
	},
	{
		name: "shutdown",
		prepare: made(true),
		ask: (world) => world.act("vm.shutdown", vmId),
		check: (world) => expect(power(world)).toBe("stopped"),
	},
	{
		name: "shutdown that the guest ignores",
		prepare: made(true),
		ask: (world) => {
			world.hypervisor.setGuest(vmId, { shutdown: "ignore" });
			return world.act("vm.shutdown", vmId, { timeoutMs: 20_000 });
		},
		check: (world) => expect(power(world)).toBe("stopped"),
	},
	{
		name: "stop",
		prepare: made(true),
		ask: (world) => world.act("vm.stop", vmId),
		check: (world) => expect(power(world)).toBe("stopped"),
	},
	{
		name: "reset",
		prepare: made(true),
		ask: (world) => world.act("vm.reset", vmId),
		check: (world) => expect(power(world)).toBe("running"),
	},
	{
		name: "pause",
		prepare: made(true),
		ask: (world) => world.act("vm.pause", vmId),
		check: (world) => expect(power(world)).toBe("paused"),
	},
	{
		name: "update of a running VM",
		prepare: made(true),
		ask: (world) =>
			world.update(vmId, (spec) => ({ ...spec, cpu: { ...spec.cpu, vcpus: 3, maxVcpus: 8 }, firmware: "uefi" })),
		check: (world) => expect(world.vm(vmId).status).toMatchObject({ pendingRestart: true, observedGeneration: 2 }),
	},
	{
		name: "delete of a running VM",
		prepare: made(true),
		ask: (world) => world.deleteVm(vmId),
		check: (world) => {
			expect(world.store.get("vm", vmId)).toBeNull();
			expect(world.pool.volumes.size).toBe(0);
		},
	},
	{
		name: "adoption",
		prepare: foreign,
		ask: adopt,
		check: async (world) => {
			for (const { volumeId: id } of world.vm(vmId).spec.disks)
				expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: image.length });
			expect(world.vm(vmId)).toMatchObject({ status: { observedGeneration: 1, powerState: "running" } });
			expect((await world.hypervisor.getDomain(vmId))?.autostart).toBe(false);
		},
	},
	{
		name: "adoption that fails at its second disk",
		prepare: async (world) => {
			await foreign(world);
			world.pool.hostFiles.delete("/old/two.raw");
		},
		ask: adopt,
		ends: ["failed"],
		check: async (world) => {
			expect([world.store.count("vm"), world.store.count("volume"), world.pool.volumes.size]).toEqual([0, 0, 0]);
			expect(world.pool.hostFiles.has("/old/one.raw")).toBe(true);
			expect(await world.hypervisor.getDomain(vmId)).toMatchObject({ ours: false, powerState: "running" });
			world.pool.hostFiles.set("/old/two.raw", image);
			expect((await world.service.foreignVms())[0]?.obstacles).toEqual([]);
		},
	},
	{
		name: "volume: create",
		ask: async (world) => (await world.createVolume()).taskId,
		check: (world) => expect(world.store.all("volume")[0]?.phase).toBe("ready"),
	},
	{
		name: "volume: resize of a running VM's disk",
		prepare: made(true),
		ask: async (world) => {
			const id = volumeId(world);
			const task = world.task("volume.resize", id, { sizeBytes: 128 * MiB });
			await world.propose({ kind: "volumeResize", id, sizeBytes: 128 * MiB, task });
			return task.id;
		},
	},
	{
		name: "volume: delete",
		prepare: async (world) => void (await world.createVolume()),
		ask: async (world) => {
			const id = world.store.all("volume")[0]?.id ?? "";
			const task = world.task("volume.delete", id);
			await world.propose({ kind: "volumeDelete", id, task });
			return task.id;
		},
		check: (world) => expect(world.store.count("volume")).toBe(0),
	},
	{
		name: "image: import from a path",
		prepare: async (world) => void world.pool.hostFiles.set("/images/a.raw", image),
		ask: async (world) => (await world.createImage({ source: { kind: "path", path: "/images/a.raw" } })).taskId,
		check: (world) =>
			expect(world.store.all("image")[0]).toMatchObject({ phase: "ready", fileSizeBytes: image.length }),
	},
	{
		name: "image: delete",
		prepare: async (world) => {
			world.pool.hostFiles.set("/images/a.raw", image);
			await world.createImage({ source: { kind: "path", path: "/images/a.raw" } });
		},
		ask: async (world) => {
			const id = world.store.all("image")[0]?.id ?? "";
			const task = world.task("image.delete", id);
			await world.propose({ kind: "imageDelete", id, task });
			return task.id;
		},
		check: (world) => expect(world.store.count("image")).toBe(0),
	},
	{
		name: "volume: make a copy that a VM has stand alone",
		prepare: async (world) => {
			const { id } = await world.createVolume({ sizeBytes: 2 * MiB });
			await world.settle();
			world.driver.writeContent(id, 4096, bytes);
			const source = { kind: "clone", volumeId: id, fullCopy: false } as const;
			await world.createVm({ id: vmId, volumes: [{ sizeBytes: 2 * MiB, source }], start: false });
		},
		ask: async (world) => {
			const id = volumeId(world);
			const task = world.task("volume.flatten", id);
			await world.propose({ kind: "volumeFlatten", id, task });
			return task.id;
		},
		check: async (world) => {
			const copy = volumeId(world);
			expect(world.volume(copy)).toMatchObject({ phase: "ready", source: { fullCopy: true } });
			const { source } = world.volume(copy);
			const taken = world.volume(copy).allocatedBytes ?? 0;
			expect(taken).toBeGreaterThanOrEqual(bytes.length);
			// What it was made of is not missed.
			await remove(world, "volume", source.kind === "clone" ? source.volumeId : "");
			expect([...world.pool.volumes.keys()]).toEqual([copy]);
			const kept = world.pool.volumes.get(copy);
			expect([kept?.backing, kept?.content.read(4096, bytes.length)]).toEqual([[], bytes]);
		},
	},
	{
		name: "image: copy into another pool",
		prepare: async (world) => {
			await secondPool(world);
			await readyImage(world);
		},
		ask: async (world) => {
			const imageId = world.store.all("image")[0]?.id ?? "";
			const poolId = world.store.all("pool").find(({ name }) => name === "second")?.id ?? "";
			const plan = { poolId, format: "raw", source: { kind: "image", imageId }, expectedSha256: sha256 } as const;
			return (await world.createImage(plan)).taskId;
		},
		check: async (world) => {
			const images = world.store.all("image");
			expect(images.map(({ phase }) => phase)).toEqual(["ready", "ready"]);
			for (const { id, poolId } of images) {
				const pool = world.pools.get(poolId);
				expect([pool?.images.get(id)?.content.sha256(), pool?.images.size, pool?.uploads.size]).toEqual([sha256, 1, 0]);
			}
			await remove(world, "image", images.find(({ source }) => source.kind !== "image")?.id ?? "");
			expect(world.store.count("image")).toBe(1);
		},
	},
	{
		name: "volume: resize of a running VM's thick disk",
		prepare: async (world) => {
			// Its pool says first that it can.
			await world.settle();
			await world.createVm({ id: vmId, volumes: [{ provisioning: "thick" }] });
			const grow = world.hypervisor.resizeDisk.bind(world.hypervisor);
			world.hypervisor.resizeDisk = async (id, diskId, sizeBytes) => {
				await grow(id, diskId, sizeBytes);
				world.pool.volumes.get(volumeId(world))?.content.grow(sizeBytes);
			};
		},
		ask: async (world) => {
			const id = volumeId(world);
			const task = world.task("volume.resize", id, { sizeBytes: 128 * MiB });
			await world.propose({ kind: "volumeResize", id, sizeBytes: 128 * MiB, task });
			return task.id;
		},
		check: (world) => {
			expect(world.volume(volumeId(world))).toMatchObject({ phase: "ready", sizeBytes: 128 * MiB });
			expect(world.hypervisor.diskSize(vmId, "disk-0")).toBe(128 * MiB);
		},
	},
];

killedAnywhere(scenarios);
