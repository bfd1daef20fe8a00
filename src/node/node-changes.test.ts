/** Changes of VMs and their end, on a node whose surroundings are simulated. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import type { Vm, VmSpec } from "../model/vm.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { diskOf, NodeWorld } from "../testing/node/node-world.ts";

const running = async (world: NodeWorld, plan: Parameters<NodeWorld["createVm"]>[0] = {}) => {
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}], ...plan });
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	return id;
};
const cloudInit: Vm["spec"]["cloudInit"] = {
	kind: "raw",
	userData: "#cloud-config\n",
	metaData: null,
	networkConfig: null,
};

test("an update of a stopped VM is a new definition", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ start: false });
	await world.settle();
	await world.update(id, (spec) => ({ ...spec, firmware: "uefi" }));
	await world.settle();
	expect(world.vm(id).status).toMatchObject({ observedGeneration: 2, pendingRestart: false });
	expect((await world.hypervisor.getDomain(id))?.definedGeneration).toBe(2);
});

test("an update of a running VM is applied live as far as possible; the rest waits for the next start", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const live = await world.update(id, (spec) => ({ ...spec, cpu: { ...spec.cpu, vcpus: 4 } }), "renamed");
	await world.settle();
	expect(world.taskOf(live)).toMatchObject({ state: "succeeded", message: null });
	expect(world.vm(id).status).toMatchObject({ observedGeneration: 2, pendingRestart: false, differences: [] });

	const later = await world.update(id, (spec) => ({ ...spec, firmware: "uefi" }));
	await world.settle();
	expect(world.taskOf(later).message).toStartWith("Waits for the next start: firmware");
	expect(world.vm(id).status).toMatchObject({
		pendingRestart: true,
		differences: [{ field: "firmware", wanted: "uefi", found: "bios", repair: "next-start" }],
	});
	// It stays so over a restart of the daemon, and goes away with the next start.
	world.kill();
	await world.boot();
	await world.settle();
	expect(world.vm(id).status.pendingRestart).toBe(true);
	await world.act("vm.stop", id);
	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status).toMatchObject({ powerState: "running", pendingRestart: false, differences: [] });
});

test("a disc is changed in a running VM, also one that is still being imported", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const iso = new Uint8Array(64 * 1024);
	iso.set([1, ...Buffer.from("CD001"), 1], 16 * 2048);
	world.pool.hostFiles.set("/images/a.iso", iso);
	const { id } = await world.createVm({ spec: { cdroms: [{ id: "cd-0", imageId: null }] } });
	await world.settle();
	const release = world.driver.hold("importFile");
	const image = await world.createImage({ format: "iso", source: { kind: "path", path: "/images/a.iso" } });
	const task = await world.update(id, (spec) => ({ ...spec, cdroms: [{ id: "cd-0", imageId: image.id }] }));
	await world.until(() => world.taskOf(task).message?.startsWith("Waits for image") ?? false);
	release();
	await world.settle();
	expect(world.taskOf(task)).toMatchObject({ state: "succeeded", error: null });
	expect(world.vm(id).status.pendingRestart).toBe(false);
	const [difference] = await world.hypervisor.compare({
		...{ id, name: world.vm(id).name, generation: 2, spec: world.vm(id).spec, disks: [], seedPath: null },
		...{ accelerator: "tcg", folder: "/x", cdroms: [{ id: "cd-0", source: { kind: "file", path: "/elsewhere" } }] },
		nics: [{ id: "nic-0", bridge: "other" }],
	});
	expect(difference?.field).toBe("cdroms[cd-0].path");
	expect(difference?.found).toBe(`/fake/images/${image.id}.iso`);
});

test("a disk is plugged in and out of a running VM; the volume is free again", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const extra = await world.createVolume();
	await world.update(id, (spec) => ({ ...spec, disks: [...spec.disks, diskOf(extra.id, 1)] }));
	await world.settle();
	expect(world.volume(extra.id)).toMatchObject({ vmId: id, phase: "ready" });
	expect(world.vm(id).status.pendingRestart).toBe(false);
	await world.update(id, (spec) => ({ ...spec, disks: spec.disks.slice(0, 1) }));
	await world.settle();
	expect(world.volume(extra.id).vmId).toBeNull();
	const remove = world.task("volume.delete", extra.id);
	await world.propose({ kind: "volumeDelete", id: extra.id, task: remove });
	await world.settle();
	expect(world.taskOf(remove.id).state).toBe("succeeded");
	expect(await world.problems()).toEqual([]);
});

test("a volume that a guest does not let go of is not deleted under it", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}, {}] });
	await world.settle();
	world.hypervisor.setGuest(id, { unplug: "ignore" });
	const volumeId = volumeIds[1] ?? "";
	const { path } = world.pool.volumes.get(volumeId) ?? { path: "" };
	world.hypervisor.domainXml = async () => `<domain><source file='${path}'/></domain>`;
	await world.update(id, (spec) => ({ ...spec, disks: spec.disks.slice(0, 1) }));
	await world.settle();
	expect(world.vm(id).status.pendingRestart).toBe(true);
	const remove = world.task("volume.delete", volumeId);
	await world.propose({ kind: "volumeDelete", id: volumeId, task: remove });
	await world.settle();
	expect(world.taskOf(remove.id)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(world.volume(volumeId).phase).toBe("ready");
	expect(await world.problems()).toEqual([]);
});

test("delete removes the domain first, then disks, folder and record", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}, {}], spec: { cloudInit } });
	await world.settle();
	const from = world.life.calls.length;
	const task = await world.deleteVm(id);
	await world.settle();
	expect(world.taskOf(task).state).toBe("succeeded");
	const order = world.life.calls.slice(from).filter((call) => /destroy|undefine|deleteVolume|vmGone/.test(call));
	expect(order).toEqual([
		...["hypervisor.destroy", "hypervisor.undefine", "storage.deleteVolume", "storage.deleteVolume"],
		"propose.vmGone",
	]);
	expect(volumeIds.map((volume) => world.store.get("volume", volume))).toEqual([null, null]);
	expect(existsSync(join(world.dataDir, "vms", id))).toBe(false);
	expect(await world.problems()).toEqual([]);
});

test("delete without its volumes leaves them, free", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}] });
	await world.settle();
	await world.deleteVm(id, false);
	await world.settle();
	expect(world.volume(volumeIds[0] ?? "")).toMatchObject({ phase: "ready", vmId: null });
	expect(await world.problems()).toEqual([]);
});

test("a delete that fails in the middle can be repeated", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.driver.failNext("deleteVolume", new AppError("storage", "The disk does not answer."));
	const first = await world.deleteVm(id);
	await world.settle();
	expect(world.taskOf(first)).toMatchObject({ state: "failed", error: { code: "storage" } });
	expect(world.vm(id)).toMatchObject({ deleting: true, status: { powerState: "stopped", taskId: null } });
	await world.deleteVm(id);
	await world.settle();
	expect(world.store.get("vm", id)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("a delete overtakes a create that copies, and whatever waits behind it", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const release = world.driver.hold("createVolume");
	const { id, taskId } = await world.createVm({ volumes: [{}] });
	const update = await world.update(id, (spec) => ({ ...spec, firmware: "uefi" }));
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.deleteVm(id);
	await world.settle();
	release();
	expect(world.taskOf(taskId)).toMatchObject({ state: "canceled" });
	expect(world.taskOf(update)).toMatchObject({ state: "canceled" });
	expect(world.store.get("vm", id)).toBeNull();
	expect(world.store.count("volume")).toBe(0);
	expect(await world.problems()).toEqual([]);
});

test("a start that is canceled before its turn leaves the VM as it was", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ start: false });
	await world.settle();
	const held = world.hypervisor.faults.hold("define");
	await world.update(id, (spec) => ({ ...spec, firmware: "uefi" }));
	const start = await world.act("vm.start", id);
	await held.reached;
	await world.propose({ kind: "taskCancel", id: start });
	held.release();
	await world.settle();
	expect(world.taskOf(start).state).toBe("canceled");
	expect(world.vm(id)).toMatchObject({ desiredPower: "stopped", status: { powerState: "stopped", error: null } });
});

test("a VM may be made of volumes that are still being made", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const release = world.driver.hold("createVolume");
	const volume = await world.createVolume();
	const { id, taskId } = await world.createVm({ spec: { disks: [diskOf(volume.id, 0)] } });
	await world.until(() => world.taskOf(taskId).message?.startsWith("Waits for volume") ?? false);
	release();
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect(world.taskOf(volume.taskId).state).toBe("succeeded");
});

test("a network that cannot be made keeps the VM from starting, and says so", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.networks.faults.fail("ensure", new AppError("network", "dnsmasq is missing."));
	const { id, taskId } = await world.createVm();
	await world.settleLoops();
	expect(world.taskOf(taskId)).toMatchObject({
		...{ state: "running", message: 'Waits for the network "default" on this node: dnsmasq is missing.' },
	});
	expect(world.store.get("network", clusterIds.network)?.nodes[0]).toMatchObject({ health: "error" });
	await world.settle({ stepMs: 1_000, limitMs: 10_000 });
	expect(world.vm(id).status.powerState).toBe("running");
	expect(world.store.get("network", clusterIds.network)?.nodes[0]).toMatchObject({ health: "healthy", error: null });
});

test("many VMs at once: never more than eight steps in flight", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	let inFlight = 0;
	let most = 0;
	const define = world.hypervisor.define.bind(world.hypervisor);
	world.hypervisor.define = async (domain) => {
		most = Math.max(most, ++inFlight);
		await new Promise((resolve) => setImmediate(resolve));
		await define(domain);
		inFlight -= 1;
	};
	const ids: string[] = [];
	for (let count = 0; count < 30; count++) ids.push((await world.createVm({ volumes: [{}] })).id);
	await world.settle();
	expect(ids.filter((id) => world.vm(id).status.powerState === "running")).toHaveLength(30);
	expect(most).toBeGreaterThan(1);
	expect(most).toBeLessThanOrEqual(8);
	expect(await world.problems()).toEqual([]);
});

test("limits of a disk reach the hypervisor, live and at the next start; without any nothing is said of them", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	expect(JSON.stringify(world.vm(id).spec)).not.toContain("limits");
	const limited = (limits: VmSpec["disks"][number]["limits"]) =>
		world.update(id, (spec) => ({
			...spec,
			disks: spec.disks.map(({ limits: _, ...disk }) => (limits ? { ...disk, limits } : disk)),
		}));
	const had = () => world.hypervisor.limitsOf(id)[0];
	await limited({ readIops: 100, writeBytesPerSecond: 1_000_000 });
	await world.settle();
	expect(world.vm(id).status).toMatchObject({ powerState: "running", pendingRestart: false, differences: [] });
	const wanted = { readBytesPerSecond: null, writeBytesPerSecond: 1_000_000, readIops: 100, writeIops: null };
	expect(had()).toEqual(wanted);
	await world.act("vm.stop", id);
	await world.act("vm.start", id);
	await world.settle();
	expect(had()).toEqual(wanted);
	await limited(undefined);
	await world.settle();
	expect(had()).toBeNull();
});
