/** Foreign domains: listed, planned, adopted. */
import { expect, test } from "bun:test";
import type { ForeignDomain } from "../hypervisor/driver.ts";
import { type ForeignSketch, foreignFixture } from "../hypervisor/test-domain.ts";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { fixtureId, fixtureNetwork, fixtureVm } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { freeName } from "./adoption-plan.ts";

const id = "6f3c1a52-0d0e-4b7e-9a51-0123456789ab";
const foreign = (changes: ForeignSketch = {}): ForeignDomain =>
	foreignFixture({
		...{ id, name: "old server", vcpus: 2, maxVcpus: 4, memoryBytes: 512 * MiB, maxMemoryBytes: 1024 * MiB },
		disks: [
			{ target: "vda", path: "/old/a.raw", format: "raw", bus: "virtio" },
			{ target: "sda", path: "/old/b.raw", format: "raw", bus: "sata" },
		],
		nics: [{ mac: "52:54:00:AA:BB:CC", model: "virtio", bridge: "br0", network: null }],
		...changes,
	});
async function open(domain: ForeignDomain): Promise<NodeWorld> {
	const world = await NodeWorld.open();
	world.networks.bridges.add("br0");
	world.pool.hostFiles.set("/old/a.raw", new Uint8Array(2 * MiB));
	world.pool.hostFiles.set("/old/b.raw", new Uint8Array(3 * MiB));
	world.hypervisor.addForeign(domain);
	await world.boot();
	const network = fixtureNetwork({ id: fixtureId(0x55), name: "lan", config: { kind: "bridge", bridge: "br0" } });
	await world.propose({ kind: "networkCreate", network, task: world.task("network.create", network.id) });
	await world.settle();
	return world;
}
async function adopt(world: NodeWorld): Promise<string> {
	const plan = await world.service.planAdoption(id);
	const task = world.task("vm.adopt", id);
	await world.propose({ kind: "vmAdopt", ...plan, task });
	await world.settle();
	return task.id;
}

test("one file as two disks stands against it, by one path and by two", async () => {
	const disk = (target: string, path: string) => ({ target, path, format: "raw", bus: "virtio" }) as const;
	await using world = await open(
		foreign({ disks: [disk("vda", "/old/a.raw"), disk("vdb", "/old/b.raw"), disk("vdc", "/old/a.raw")] }),
	);
	const says = "Disk vdc has the same file as disk vda: a file can be one volume only.";
	expect(await world.service.foreignVms()).toMatchObject([{ obstacles: [says] }]);
	await expect(world.service.planAdoption(id)).rejects.toMatchObject({ code: "wrong-state" });
	// Two links of one file have the same key.
	const { adoptableFiles } = world.driver;
	world.driver.adoptableFiles = async (files) => {
		const found = await adoptableFiles.call(world.driver, files);
		return found.map((file) => ("sizeBytes" in file ? { ...file, fileKey: "one" } : file));
	};
	expect((await world.service.foreignVms())[0]?.obstacles[0]).toBe(
		"Disk vdb has the same file as disk vda: a file can be one volume only.",
	);
});

test("a foreign domain is listed with what stands against it", async () => {
	await using world = await open(
		foreign({
			nics: [
				{ mac: "52:54:00:00:00:01", model: "virtio", bridge: "br7", network: null },
				{ mac: "00:00:00:00:00:00", model: "virtio", bridge: "br0", network: null },
				{ mac: "01:00:5E:00:00:01", model: "virtio", bridge: "br0", network: null },
			],
		}),
	);
	world.pool.hostFiles.delete("/old/b.raw");
	const [listed, ...more] = await world.service.foreignVms();
	expect(more).toEqual([]);
	expect(listed).toMatchObject({ id, name: "old server", powerState: "stopped", vcpus: 2, memoryBytes: 512 * MiB });
	expect(listed?.obstacles).toEqual([
		"Disk sda: The file /old/b.raw cannot be taken: there is no such file.",
		"Its NIC 52:54:00:00:00:01 is on br7, which is no network of LimiQuantix: add a network for that bridge.",
		"Its MAC address 00:00:00:00:00:00 is not that of one machine.",
		"Its MAC address 01:00:5E:00:00:01 is not that of one machine.",
	]);
	expect(listed?.changes).toEqual(['It is called "old-server" here.']);
	await expect(world.service.planAdoption(id)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(world.service.planAdoption(fixtureId(999))).rejects.toMatchObject({ code: "not-found" });
	await expect(world.service.planAdoption("../etc")).rejects.toMatchObject({ code: "not-found" });
});

test("a stopped domain is adopted with its disks, its MAC address and a name that fits", async () => {
	await using world = await open(foreign());
	const task = await adopt(world);
	expect(world.taskOf(task)).toMatchObject({ state: "succeeded", error: null });
	const vm = world.vm(id);
	expect(vm).toMatchObject({
		name: "old-server",
		desiredPower: "stopped",
		status: { powerState: "stopped", observedGeneration: 1, error: null },
		spec: { cpu: { vcpus: 2, maxVcpus: 4 }, nics: [{ mac: "52:54:00:aa:bb:cc", networkId: fixtureId(0x55) }] },
	});
	expect(vm.spec.disks.map((disk) => world.volume(disk.volumeId))).toMatchObject([
		{ name: "old-server-vda", phase: "ready", sizeBytes: 2 * MiB, vmId: id },
		{ name: "old-server-sda", phase: "ready", sizeBytes: 3 * MiB, vmId: id },
	]);
	expect((await world.hypervisor.getDomain(id))?.ours).toBe(true);
	expect(await world.service.foreignVms()).toEqual([]);
	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect(await world.problems()).toEqual([]);
});

test("a running domain is adopted as it runs", async () => {
	await using world = await open(foreign({ powerState: "running" }));
	await adopt(world);
	expect(world.vm(id)).toMatchObject({ desiredPower: "running", status: { powerState: "running" } });
	expect(world.hypervisor.calls.some((call) => /^(start|destroy|reset) /.test(call))).toBe(false);
});

test("what the domain was said to be is what the VM is", async () => {
	await using world = await open(
		foreign({
			...{
				description: "tells\u0007a story",
				autostart: true,
				tpm: true,
				cpuModel: "host",
				cdroms: [{ target: "sdb" }],
			},
			disks: [
				{ target: "vda", path: "/old/a.raw", format: "raw", bus: "virtio", cache: "none", discard: true },
				{ target: "sda", path: "/old/b.raw", format: "raw", bus: "scsi", readOnly: true },
			],
			nics: [{ mac: "52:54:00:aa:bb:cc", model: "e1000e", bridge: "br0", network: null, linkUp: false }],
			bootOrder: [
				{ kind: "nic", index: 0 },
				{ kind: "disk", index: 1 },
				{ kind: "cdrom", index: 0 },
			],
			...{ accelerator: "kvm", changes: ["Its serial number goes."] },
		}),
	);
	expect((await world.service.foreignVms())[0]?.changes).toEqual([
		'It is called "old-server" here.',
		"It runs by emulation on this node; it is defined to run with KVM.",
		"Its serial number goes.",
	]);
	await adopt(world);
	const vm = world.vm(id);
	expect(vm).toMatchObject({
		description: "tells a story",
		spec: {
			...{
				tpm: true,
				cpu: { model: "host" },
				autostart: { enabled: true },
				cdroms: [{ id: "cdrom-0", imageId: null }],
			},
			disks: [
				{ bus: "virtio", cache: "none", discard: true, readOnly: false },
				{ bus: "scsi", cache: "writeback", discard: false, readOnly: true },
			],
			nics: [{ model: "e1000e", linkUp: false }],
			bootOrder: ["nic-0", "disk-1", "cdrom-0"],
		},
	});
	expect((await world.hypervisor.getDomain(id))?.autostart).toBe(false);
});

test("nothing is asked of a VM that is being adopted", async () => {
	await using world = await open(foreign());
	const release = world.driver.hold("adoptVolume");
	const plan = await world.service.planAdoption(id);
	await world.propose({ kind: "vmAdopt", ...plan, task: world.task("vm.adopt", id) });
	await world.settleLoops();
	expect(plan.volumes.map((volume) => world.volume(volume.id).phase)).toEqual(["pending", "pending"]);
	for (const attempt of [
		() => world.act("vm.stop", id),
		() => world.deleteVm(id),
		() => world.update(id, (spec) => spec, "other"),
	])
		await expect(attempt()).rejects.toMatchObject({ code: "wrong-state", message: "The VM is being adopted." });
	release();
	await world.settle();
	expect(plan.volumes.map((volume) => world.volume(volume.id).phase)).toEqual(["ready", "ready"]);
	await world.deleteVm(id);
	await world.settle();
	expect(world.store.count("vm")).toBe(0);
	expect(world.pool.hostFiles.size).toBe(0);
});

/** The domain is as it was, nothing of ours is left, and it can be adopted once the reason is gone. */
async function expectForeignAgain(world: NodeWorld): Promise<void> {
	expect([world.store.count("vm"), world.store.count("volume"), world.pool.volumes.size]).toEqual([0, 0, 0]);
	expect(world.hypervisor.calls.some((call) => /^(start|destroy|undefine) /.test(call))).toBe(false);
	expect((await world.hypervisor.getDomain(id))?.ours).toBe(false);
	expect(await world.problems()).toEqual([]);
	world.pool.hostFiles.set("/old/b.raw", new Uint8Array(3 * MiB));
	expect(await world.service.foreignVms()).toMatchObject([{ id, obstacles: [] }]);
	expect(world.taskOf(await adopt(world)).state).toBe("succeeded");
	expect(await world.problems()).toEqual([]);
}

test("an adoption that fails in the middle is undone: the domain is foreign as before", async () => {
	await using world = await open(foreign());
	const plan = await world.service.planAdoption(id);
	world.pool.hostFiles.delete("/old/b.raw");
	const task = world.task("vm.adopt", id);
	await world.propose({ kind: "vmAdopt", ...plan, task });
	await world.settle();
	expect(world.taskOf(task.id)).toMatchObject({ state: "failed", error: { code: "invalid" } });
	expect(world.pool.hostFiles.has("/old/a.raw")).toBe(true);
	await expectForeignAgain(world);
});

test("also when libvirt refuses the definition, and is away when that is to be taken back", async () => {
	await using world = await open(foreign({ powerState: "running" }));
	const define = world.hypervisor.faults.hold("define");
	world.hypervisor.faults.fail("define", new AppError("hypervisor", "no such machine type"), { times: 3 });
	const plan = await world.service.planAdoption(id);
	const task = world.task("vm.adopt", id);
	await world.propose({ kind: "vmAdopt", ...plan, task });
	await world.settleLoops();
	await define.reached;
	// Nobody knows now whose the domain is.
	world.hypervisor.faults.fail("getDomain", new AppError("hypervisor", "no answer"));
	define.release();
	await world.settleLoops();
	expect(world.store.count("vm")).toBe(1);
	await world.until(() => world.unfinished().length === 0, { stepMs: 1000, limitMs: 60_000 });
	await world.settleLoops();
	expect(world.taskOf(task.id)).toMatchObject({ state: "failed", error: { message: "no such machine type" } });
	expect((await world.hypervisor.getDomain(id))?.powerState).toBe("running");
	world.hypervisor.faults.clear();
	await expectForeignAgain(world);
});

test("what a failed adoption could not give back, its pool being away, is no obstacle to the next", async () => {
	await using world = await open(foreign());
	world.hypervisor.faults.fail("define", new AppError("hypervisor", "no"));
	world.driver.failNext("releaseVolume", new AppError("storage", "The disk is not mounted."));
	await adopt(world);
	expect(world.store.count("volume")).toBe(0);
	expect(world.pool.volumes.size).toBe(1);
	expect(await world.service.foreignVms()).toMatchObject([{ id, obstacles: [] }]);
	expect(world.taskOf(await adopt(world)).state).toBe("succeeded");
	expect(await world.problems()).toEqual([]);
});

test("once the domain is ours a failure takes nothing back", async () => {
	await using world = await open(foreign());
	world.hypervisor.faults.fail("define", new AppError("hypervisor", "no answer"), { when: "after" });
	const task = await adopt(world);
	expect(world.taskOf(task)).toMatchObject({ state: "failed", error: { message: "no answer" } });
	expect(world.vm(id).status).toMatchObject({ powerState: "failed", observedGeneration: 1 });
	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect(await world.problems()).toEqual([]);
});

test("a domain of ours without a record is listed, and left alone", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id: vmId } = await world.createVm();
	await world.settle();
	await using other = await NodeWorld.open();
	for (const domain of await world.hypervisor.listDomains()) expect(domain.ours).toBe(true);
	await other.boot(null, { hypervisor: world.hypervisor });
	await other.settle();
	const listed = await other.service.foreignVms();
	expect(listed).toMatchObject([{ id: vmId, powerState: "running" }]);
	expect(listed[0]?.obstacles[0]).toStartWith("It was made by LimiQuantix, but the cluster has no record of it.");
	await expect(other.service.planAdoption(vmId)).rejects.toMatchObject({ code: "wrong-state" });
	expect((await world.hypervisor.getDomain(vmId))?.powerState).toBe("running");
});

test("names of adopted VMs fit ours and are free", () => {
	const taken = new Set(["web", "web-2"]);
	const view = { nameTaken: (_kind: "vm" | "volume", name: string) => taken.has(name) };
	expect(freeName("web", "vm", view)).toBe("web-3");
	expect(freeName("a b/c\n<d>", "vm", view)).toBe("a-b-c--d-");
	expect(freeName("--x", "vm", view)).toBe("x");
	expect(freeName("ß", "vm", view)).toBe("adopted");
	expect(freeName("n".repeat(200), "vm", view)).toHaveLength(58);
	expect(fixtureVm().name).toBe("vm-1");
});
