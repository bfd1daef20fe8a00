/** Making VMs and their power, from the request to the end, on a node whose surroundings are simulated. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import type { Vm } from "../model/vm.ts";
import { NodeWorld } from "../testing/node/node-world.ts";

const running = async (world: NodeWorld, plan: Parameters<NodeWorld["createVm"]>[0] = {}) => {
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}], ...plan });
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	return id;
};
const hypervisorError = (message: string) => new AppError("hypervisor", message);
const cloudInit: Vm["spec"]["cloudInit"] = {
	kind: "raw",
	userData: "#cloud-config\n",
	metaData: null,
	networkConfig: null,
};

test("create makes volumes, seed and definition, starts the VM and says so", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId, volumeIds } = await world.createVm({ volumes: [{}, { format: "raw" }], spec: { cloudInit } });
	expect(world.vm(id).spec.disks).toHaveLength(2);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(world.vm(id).status).toMatchObject({
		...{ powerState: "running", observedGeneration: 1, pendingRestart: false, error: null, taskId: null },
		...{ accelerator: "tcg", startedAt: "2030-01-01T00:00:00.000Z", differences: [] },
	});
	expect(world.vm(id).desiredPower).toBe("running");
	expect(volumeIds.map((volume) => world.volume(volume).phase)).toEqual(["ready", "ready"]);
	expect(existsSync(join(world.dataDir, "vms", id, "seed.iso"))).toBe(true);
	expect(await world.problems()).toEqual([]);
});

test("create without start leaves the VM stopped and defined", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.vm(id).status).toMatchObject({ powerState: "stopped", observedGeneration: 1, startedAt: null });
	expect(world.hypervisor.calls.some((call) => call.startsWith("start "))).toBe(false);
	expect(await world.problems()).toEqual([]);
});

test("a create that fails leaves a failed VM that says why, and that a start completes", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	await world.service.hypervisorState();
	const full = new AppError("no-space", "There is no space left in the storage pool.");
	await world.until(() => world.driver !== undefined);
	world.driver.failNext("createVolume", full);
	const { id, taskId, volumeIds } = await world.createVm({ volumes: [{}] });
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect(world.vm(id).status).toMatchObject({
		...{ powerState: "failed", reason: full.message, error: { code: "no-space" }, observedGeneration: 0 },
	});
	expect(world.vm(id).desiredPower).toBe("stopped");
	expect(world.volume(volumeIds[0] ?? "")).toMatchObject({ phase: "error", error: { code: "no-space" } });
	expect(await world.problems()).toEqual([]);

	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status).toMatchObject({ powerState: "running", error: null, reason: null });
	expect(world.volume(volumeIds[0] ?? "")).toMatchObject({ phase: "ready", error: null });
	expect(await world.problems()).toEqual([]);
});

test("a create that fails can be deleted, and nothing is left", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	world.hypervisor.faults.fail("define", hypervisorError("no."));
	const { id, taskId } = await world.createVm({ volumes: [{}, {}] });
	await world.settle();
	expect(world.taskOf(taskId).error).toEqual({ code: "hypervisor", message: "no." });
	await world.deleteVm(id);
	await world.settle();
	expect(world.store.get("vm", id)).toBeNull();
	expect(world.pool.volumes.size).toBe(0);
	expect(existsSync(join(world.dataDir, "vms", id))).toBe(false);
	expect(await world.problems()).toEqual([]);
});

test("a VM that QEMU does not start is failed with QEMU's words; stop clears it", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ start: false });
	await world.settle();
	world.hypervisor.faults.fail("start", hypervisorError("qemu: no such machine"));
	const start = await world.act("vm.start", id);
	await world.settle();
	expect(world.taskOf(start)).toMatchObject({ state: "failed", error: { message: "qemu: no such machine" } });
	expect(world.vm(id)).toMatchObject({
		desiredPower: "stopped",
		status: { powerState: "failed", reason: "qemu: no such machine" },
	});
	await world.act("vm.stop", id);
	await world.settle();
	expect(world.vm(id).status).toMatchObject({ powerState: "stopped", reason: null, error: null });
});

test("a start that takes for ever ends at its limit", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ start: false });
	await world.settle();
	const held = world.hypervisor.faults.hold("start");
	const start = await world.act("vm.start", id);
	await held.reached;
	await world.until(() => world.vm(id).status.powerState === "starting");
	await world.settle({ stepMs: 10_000, limitMs: 300_000 });
	expect(world.taskOf(start)).toMatchObject({ state: "failed", error: { code: "timeout" } });
	expect(world.vm(id).status.powerState).toBe("failed");
	// It does start after all, much later: then that is what is shown.
	held.release();
	await world.until(() => world.vm(id).status.powerState === "running");
	expect(world.vm(id).desiredPower).toBe("running");
});

test("shutdown asks the guest and tells when it will be stopped", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setGuest(id, { shutdownDelayMs: 5_000 });
	const task = await world.act("vm.shutdown", id, { timeoutMs: 60_000 });
	await world.until(() => world.vm(id).status.powerState === "stopping");
	await world.until(() => world.taskOf(task).message !== null);
	expect(world.taskOf(task)).toMatchObject({
		...{ state: "running", cancelable: true },
		message: "Asked the guest to shut down; if it does not, it is stopped at 00:01:00 UTC.",
	});
	expect(world.vm(id).status.taskId).toBe(task);
	await world.settle({ stepMs: 1_000, limitMs: 20_000 });
	expect(world.clock.monotonicMs()).toBeLessThan(7_000);
	expect(world.taskOf(task).state).toBe("succeeded");
	expect(world.vm(id)).toMatchObject({ desiredPower: "stopped", status: { powerState: "stopped", reason: null } });
	expect(world.hypervisor.calls.some((call) => call.startsWith("destroy"))).toBe(false);
});

test("a guest that does not shut down is asked again and then stopped", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setGuest(id, { shutdown: "ignore" });
	const begun = world.clock.monotonicMs();
	const task = await world.act("vm.shutdown", id, { timeoutMs: 70_000 });
	await world.settle({ stepMs: 1_000, limitMs: 100_000 });
	expect(world.clock.monotonicMs() - begun).toBeGreaterThanOrEqual(70_000);
	expect(world.clock.monotonicMs() - begun).toBeLessThan(73_000);
	expect(world.hypervisor.calls.filter((call) => call.startsWith("requestShutdown"))).toHaveLength(3);
	const said = "The guest did not shut down within 1 min 10 s; it was stopped.";
	expect(world.taskOf(task)).toMatchObject({ state: "succeeded", message: said });
	expect(world.vm(id).status).toMatchObject({ powerState: "stopped", reason: said });
});

test("the time-out of a shutdown is the VM's own unless the task says another", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world, { spec: { shutdownTimeoutMs: 3_000 } });
	world.hypervisor.setGuest(id, { shutdown: "ignore" });
	const begun = world.clock.monotonicMs();
	await world.act("vm.shutdown", id);
	await world.settle({ stepMs: 500, limitMs: 10_000 });
	expect(world.clock.monotonicMs() - begun).toBeLessThan(5_000);
});

test("the time-out of a shutdown goes on over a restart of the daemon", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setGuest(id, { shutdown: "ignore" });
	await world.act("vm.shutdown", id, { timeoutMs: 60_000 });
	await world.until(() => world.hypervisor.calls.some((call) => call.startsWith("requestShutdown")));
	world.kill();
	world.clock.advance(50_000);
	await world.boot();
	const begun = world.clock.monotonicMs();
	await world.settle({ stepMs: 1_000, limitMs: 30_000 });
	expect(world.clock.monotonicMs() - begun).toBeLessThan(13_000);
	expect(world.vm(id).status.powerState).toBe("stopped");
});

test("a stop overtakes a shutdown", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setGuest(id, { shutdown: "ignore" });
	const shutdown = await world.act("vm.shutdown", id);
	await world.until(() => world.vm(id).status.powerState === "stopping");
	const stop = await world.act("vm.stop", id);
	await world.settle();
	expect(world.taskOf(shutdown)).toMatchObject({ state: "canceled", message: "Overtaken by a stop." });
	expect(world.taskOf(stop).state).toBe("succeeded");
	expect(world.vm(id).status.powerState).toBe("stopped");
	expect(await world.problems()).toEqual([]);
});

test("a libvirt that says it is done, and is not, is told again", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const destroy = world.hypervisor.destroy.bind(world.hypervisor);
	let times = 0;
	world.hypervisor.destroy = async (vmId) => {
		times += 1;
		if (times === 1) throw new AppError("not-found", "The hypervisor has no such VM.");
		if (times === 3) await destroy(vmId);
	};
	const stop = await world.act("vm.stop", id);
	await world.settle({ stepMs: 500, limitMs: 10_000 });
	expect(world.taskOf(stop).state).toBe("succeeded");
	expect(world.vm(id).status.powerState).toBe("stopped");
	expect(times).toBe(3);
});

test("a shutdown can be canceled; the VM is running again", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setGuest(id, { shutdown: "ignore" });
	const task = await world.act("vm.shutdown", id);
	await world.until(() => world.vm(id).status.powerState === "stopping");
	await world.propose({ kind: "taskCancel", id: task });
	await world.settle();
	expect(world.taskOf(task).state).toBe("canceled");
	expect(world.vm(id)).toMatchObject({
		desiredPower: "running",
		status: { powerState: "running", reason: "The shut-down was canceled; the guest may still follow the request." },
	});
	// It does.
	world.hypervisor.guestPowersOff(id);
	await world.until(() => world.vm(id).status.powerState === "stopped");
	expect(world.vm(id)).toMatchObject({ desiredPower: "stopped", status: { reason: "Shut down by the guest." } });
});

test("pause, resume, reset, stop, start", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	await world.act("vm.pause", id);
	await world.settle();
	expect(world.vm(id)).toMatchObject({ desiredPower: "paused", status: { powerState: "paused", reason: null } });
	await world.act("vm.resume", id);
	await world.settle();
	expect(world.vm(id)).toMatchObject({ desiredPower: "running", status: { powerState: "running" } });
	await world.act("vm.reset", id);
	await world.settle();
	expect(world.hypervisor.calls.filter((call) => call.startsWith("reset"))).toHaveLength(1);
	await world.act("vm.stop", id);
	await world.settle();
	expect(world.vm(id)).toMatchObject({ desiredPower: "stopped", status: { powerState: "stopped", startedAt: null } });
	await world.act("vm.start", id, { paused: true });
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("paused");
	expect(await world.problems()).toEqual([]);
});

test("requests for one VM are carried out one after the other, in their order", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const held = world.hypervisor.faults.hold("pause");
	const tasks = [await world.act("vm.pause", id), await world.act("vm.resume", id), await world.act("vm.shutdown", id)];
	await held.reached;
	expect(tasks.map((task) => world.taskOf(task).state)).toEqual(["running", "pending", "pending"]);
	held.release();
	await world.settle();
	expect(tasks.map((task) => world.taskOf(task).state)).toEqual(["succeeded", "succeeded", "succeeded"]);
	expect(world.vm(id).status.powerState).toBe("stopped");
});
