/** Foreign domains: listed, planned, adopted. */
import { expect, test } from "bun:test";
import type { ForeignDomain } from "../hypervisor/driver.ts";
import { MiB } from "../lib/units.ts";
import { fixtureId, fixtureNetwork, fixtureVm } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { freeName } from "./adoption.ts";

const id = "6f3c1a52-0d0e-4b7e-9a51-0123456789ab";
const foreign = (changes: Partial<ForeignDomain> = {}): ForeignDomain => ({
	...{ id, name: "old server", powerState: "stopped", vcpus: 2, maxVcpus: 4 },
	...{ memoryBytes: 512 * MiB, maxMemoryBytes: 1024 * MiB, firmware: "bios" },
	disks: [
		{ target: "vda", path: "/old/a.raw", format: "raw", bus: "virtio" },
		{ target: "sda", path: "/old/b.raw", format: "raw", bus: "sata" },
	],
	nics: [{ mac: "52:54:00:AA:BB:CC", model: "virtio", bridge: "br0", network: null }],
	obstacles: [],
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

test("a foreign domain is listed with what stands against it", async () => {
	await using world = await open(
		foreign({ nics: [{ mac: "52:54:00:00:00:01", model: "virtio", bridge: "br7", network: null }] }),
	);
	const [listed, ...more] = await world.service.foreignVms();
	expect(more).toEqual([]);
	expect(listed).toMatchObject({ id, name: "old server", powerState: "stopped", vcpus: 2, memoryBytes: 512 * MiB });
	expect(listed?.obstacles).toEqual([
		"Its NIC 52:54:00:00:00:01 is on br7, which is no network of LimiQuantix: add a network for that bridge.",
	]);
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

test("an adoption that fails leaves the domain as it is and a VM that never starts from empty disks", async () => {
	await using world = await open(foreign());
	world.pool.hostFiles.delete("/old/b.raw");
	const task = await adopt(world);
	expect(world.taskOf(task)).toMatchObject({ state: "failed", error: { code: "invalid" } });
	expect(world.vm(id).status).toMatchObject({ powerState: "failed", observedGeneration: 0 });
	const start = await world.act("vm.start", id);
	await world.settle();
	expect(world.taskOf(start).state).toBe("failed");
	expect(world.pool.volumes.size).toBe(1);
	expect(world.hypervisor.calls.some((call) => /^(define|start|undefine) /.test(call))).toBe(false);
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
