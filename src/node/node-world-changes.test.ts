/** What happens to VMs without a task: guests, libvirt, the host, other people. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { intervals } from "./limits.ts";

const running = async (world: NodeWorld, plan: Parameters<NodeWorld["createVm"]>[0] = {}) => {
	if (!world.node) await world.boot();
	const { id } = await world.createVm({ volumes: [{}], ...plan });
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	return id;
};
const status = (world: NodeWorld, id: string) => world.vm(id).status;
const nodeStatus = (world: NodeWorld) => world.store.get("node", clusterIds.node)?.status;

test("a guest that switches itself off is stopped, and stopped is what is desired", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.guestPowersOff(id);
	await world.until(() => status(world, id).powerState === "stopped");
	expect(world.vm(id)).toMatchObject({ desiredPower: "stopped", status: { reason: "Shut down by the guest." } });
});

test("a crash is failed, with the reason", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.crash(id);
	await world.until(() => status(world, id).powerState === "failed");
	expect(status(world, id)).toMatchObject({ reason: "QEMU ended in a crash.", error: { code: "hypervisor" } });
	// It stays failed over a restart, and can be started.
	await world.boot();
	await world.settle();
	expect(status(world, id).powerState).toBe("failed");
	await world.act("vm.start", id);
	await world.settle();
	expect(status(world, id)).toMatchObject({ powerState: "running", reason: null, error: null });
});

test("a pause because of a disk error says so; nobody wished for it", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.ioError(id, "disk-0");
	await world.until(() => status(world, id).powerState === "paused");
	expect(world.vm(id).desiredPower).toBe("running");
	expect(status(world, id).reason).toStartWith("QEMU paused the VM because a disk gives errors.");
	await world.act("vm.resume", id);
	await world.settle();
	expect(status(world, id)).toMatchObject({ powerState: "running", reason: null });
});

test("that libvirt starts a VM by itself is taken back, of running and stopped ones, over a restart too", async () => {
	await using world = await NodeWorld.open();
	const [on, off] = [await running(world), await running(world)];
	await world.act("vm.stop", off);
	await world.settle();
	const flags = async () => Promise.all([on, off].map(async (id) => (await world.hypervisor.getDomain(id))?.autostart));
	for (const after of ["resync", "restart"] as const) {
		world.hypervisor.setAutostart(on);
		world.hypervisor.setAutostart(off);
		expect(await flags()).toEqual([true, true]);
		if (after === "resync") world.clock.advance(intervals.resyncMs + 1);
		else await world.boot();
		await world.settleLoops();
		expect(await flags()).toEqual([false, false]);
	}
	expect([status(world, on).powerState, status(world, off).powerState]).toEqual(["running", "stopped"]);
	expect(world.hypervisor.calls.filter((call) => /^(start|destroy|reset) /.test(call))).toHaveLength(3);
	expect(await world.problems()).toEqual([]);
});

test("started and stopped from outside: shown as it is, never undone", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	await world.hypervisor.destroy(id);
	await world.until(() => status(world, id).powerState === "stopped");
	expect(world.vm(id)).toMatchObject({
		desiredPower: "stopped",
		status: { reason: "Ended from outside of LimiQuantix." },
	});
	await world.hypervisor.start(id, { paused: false });
	await world.until(() => status(world, id).powerState === "running");
	expect(world.vm(id)).toMatchObject({
		desiredPower: "running",
		status: { reason: "Started from outside of LimiQuantix." },
	});
});

test("an event that got lost is noticed by the comparison every 30 seconds", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const silenced = await running(world);
	world.hypervisor.muteEvents(() => {
		world.hypervisor.guestPowersOff(id);
		world.hypervisor.crash(silenced);
	});
	await world.settle();
	expect(status(world, id).powerState).toBe("running");
	await world.until(() => status(world, id).powerState === "stopped", { stepMs: 5_000, limitMs: 40_000 });
	await world.until(() => status(world, silenced).powerState === "failed");
});

test("a domain that libvirt lost while it ran is never called stopped; its definition is made again", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.lose(id);
	await world.until(() => status(world, id).powerState !== "running", { stepMs: 5_000, limitMs: 40_000 });
	expect(status(world, id)).toMatchObject({ powerState: "failed", error: { code: "hypervisor" } });
	expect(status(world, id).reason).toStartWith("libvirt lost the VM while it ran.");
	expect((await world.hypervisor.getDomain(id))?.definedGeneration).toBe(1);
	expect(await world.problems()).toEqual([]);
});

test("libvirtd restarts: nothing is written about VMs", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	await world.settle();
	world.hypervisor.setConnection("disconnected", "restart");
	await world.until(() => nodeStatus(world)?.hypervisor === "disconnected");
	expect(nodeStatus(world)).toMatchObject({ phase: "not-ready", reason: "libvirt does not answer: restart" });
	world.clock.advance(5_000);
	await world.settle();
	const events = world.store.lastEventId();
	world.hypervisor.setConnection("connected");
	await world.until(() => nodeStatus(world)?.phase === "ready");
	await world.settle();
	const about = (world.store.eventsAfter(events, 100) ?? []).map((event) => event.target.kind);
	expect(about).toEqual(["node"]);
	expect(status(world, id).powerState).toBe("running");
});

test("libvirt away for long: what ran is unknown, what was stopped is stopped; back, all is read anew", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const ends = await running(world);
	const { id: off } = await world.createVm({ start: false });
	await world.settle();
	world.hypervisor.setConnection("disconnected", "killed");
	// Whoever tries to reach it tells of each try.
	for (let count = 0; count < 5; count++) {
		expect(status(world, id).powerState).toBe("running");
		world.clock.advance(3_000);
		world.hypervisor.setConnection("connecting");
		world.hypervisor.setConnection("disconnected", "refused");
		await world.settle();
	}
	world.clock.advance(100);
	await world.until(() => status(world, id).powerState === "unknown");
	expect(status(world, id).reason).toMatch(/^libvirt does not answer since .*; the VM was running then\.$/);
	expect(world.vm(id).desiredPower).toBe("running");
	expect(status(world, off)).toMatchObject({ powerState: "stopped", reason: null });
	world.hypervisor.muteEvents(() => world.hypervisor.guestPowersOff(ends));
	world.hypervisor.setConnection("connected");
	await world.until(() => status(world, id).powerState === "running");
	expect(status(world, id).reason).toBeNull();
	await world.until(() => status(world, ends).powerState === "stopped");
	expect(status(world, ends).reason).toBe("Shut down by the guest.");
});

test("work that needs libvirt waits for it, and fails when it does not come back", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setConnection("disconnected", "killed");
	const waits = await world.act("vm.pause", id);
	await world.until(() => world.taskOf(waits).message === "Waits for libvirt, which does not answer");
	world.hypervisor.setConnection("connected");
	await world.settle();
	expect(world.taskOf(waits).state).toBe("succeeded");
	world.hypervisor.setConnection("disconnected", "killed");
	const fails = await world.act("vm.resume", id);
	await world.settle({ stepMs: 10_000, limitMs: 100_000 });
	expect(world.taskOf(fails)).toMatchObject({ state: "failed", error: { code: "unavailable" } });
});

test("libvirt dies in the middle of a start: the start is finished when it is back", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ start: false });
	await world.settle();
	world.hypervisor.faults.fail("start", new AppError("unavailable", "connection lost"), { when: "after" });
	const held = world.hypervisor.faults.hold("start");
	const start = await world.act("vm.start", id);
	await held.reached;
	world.hypervisor.setConnection("disconnected", "died");
	held.release();
	await world.until(() => world.taskOf(start).message?.startsWith("Waits for libvirt") ?? false);
	world.hypervisor.setConnection("connected");
	await world.settle();
	expect(world.taskOf(start).state).toBe("succeeded");
	expect(status(world, id).powerState).toBe("running");
});

test("a node starts without libvirt, says so, and takes up its work when it comes", async () => {
	await using world = await NodeWorld.open();
	world.hypervisor.setConnection("connecting", "no such socket");
	await world.boot();
	await world.until(() => nodeStatus(world)?.phase === "not-ready");
	const { id, taskId } = await world.createVm();
	await world.until(() => world.taskOf(taskId).message?.startsWith("Waits for libvirt") ?? false);
	world.hypervisor.setConnection("connected");
	await world.settle();
	expect(status(world, id).powerState).toBe("running");
	await world.until(() => nodeStatus(world)?.phase === "ready");
});

test("a restart of the daemon leaves VMs running and writes nothing about them", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	await world.node?.stop();
	expect((await world.hypervisor.getDomain(id))?.powerState).toBe("running");
	const before = world.vm(id);
	world.clock.advance(60_000);
	await world.boot();
	await world.settle();
	expect(world.vm(id)).toEqual(before);
});

test("stop ends in time and leaves unfinished tasks for the next start", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	world.hypervisor.setGuest(id, { shutdown: "ignore" });
	const shutdown = await world.act("vm.shutdown", id, { timeoutMs: 30_000 });
	await world.until(() => status(world, id).powerState === "stopping");
	await world.settleLoops();
	const release = world.driver.hold("createVolume");
	const volume = await world.createVolume();
	await world.until(() => world.driver.calls.filter((call) => call === "createVolume").length === 2);
	const stopped = world.node?.stop();
	await stopped;
	release();
	expect(world.taskOf(shutdown).state).toBe("running");
	expect(world.taskOf(volume.taskId).state).toBe("running");
	expect(world.pool.volumes.has(volume.id)).toBe(false);
	await world.boot();
	await world.settle({ stepMs: 5_000, limitMs: 60_000 });
	expect(world.taskOf(shutdown).state).toBe("succeeded");
	expect(world.taskOf(volume.taskId).state).toBe("succeeded");
	expect(await world.problems()).toEqual([]);
});

test("after a power cut only VMs with autostart come back, in their order, with their delays", async () => {
	await using world = await NodeWorld.open();
	const autostart = (order: number, delayMs = 0) => ({ autostart: { enabled: true, order, delayMs } });
	const ids = {
		last: await running(world, { name: "last", spec: autostart(9) }),
		first: await running(world, { name: "first", spec: autostart(1, 30_000) }),
		second: await running(world, { name: "second", spec: autostart(2) }),
		plain: await running(world, { name: "plain" }),
	};
	await world.act("vm.stop", ids.second);
	await world.settle();
	world.powerCut();
	const from = world.hypervisor.calls.length;
	await world.boot();
	const started = () =>
		world.hypervisor.calls.slice(from).flatMap((call) => (call.startsWith("start ") ? [call.slice(6)] : []));
	await world.settle();
	expect(started()).toEqual([ids.first]);
	await world.until(() => status(world, ids.last).powerState === "running", { stepMs: 5_000, limitMs: 60_000 });
	await world.settle();
	expect(started()).toEqual([ids.first, ids.second, ids.last]);
	expect(world.vm(ids.plain)).toMatchObject({
		desiredPower: "stopped",
		status: { powerState: "stopped", reason: "The host restarted while the VM ran." },
	});
	expect(await world.problems()).toEqual([]);
});

test("killed in the middle of autostart, it goes on where it was and starts nothing twice", async () => {
	await using world = await NodeWorld.open();
	const spec = (order: number) => ({ autostart: { enabled: true, order, delayMs: 20_000 } });
	const first = await running(world, { name: "first", spec: spec(1) });
	const second = await running(world, { name: "second", spec: spec(2) });
	world.powerCut();
	await world.boot();
	await world.settle();
	expect(status(world, first).powerState).toBe("running");
	await world.act("vm.stop", first);
	await world.settle();
	expect(status(world, second).powerState).toBe("stopped");
	await world.boot();
	await world.until(() => status(world, second).powerState === "running", { stepMs: 5_000, limitMs: 60_000 });
	expect(status(world, first).powerState).toBe("stopped");
});

test("autostart is for boots of the host, not for restarts of the daemon", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world, { spec: { autostart: { enabled: true, order: 0, delayMs: 0 } } });
	await world.act("vm.stop", id);
	await world.settle();
	await world.boot();
	await world.settle();
	world.clock.advance(60_000);
	await world.settle();
	expect(status(world, id).powerState).toBe("stopped");
});

test("a definition that is missing or of another generation is made anew at the start", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id: missing } = await world.createVm({ start: false });
	const { id: old } = await world.createVm({ start: false });
	await world.settle();
	world.kill();
	world.hypervisor.lose(missing);
	world.hypervisor.tamper(old, (version) => {
		version.generation = 0;
	});
	await world.boot();
	await world.settle();
	expect((await world.hypervisor.getDomain(missing))?.definedGeneration).toBe(1);
	expect((await world.hypervisor.getDomain(old))?.definedGeneration).toBe(1);
	expect(status(world, missing)).toMatchObject({ powerState: "stopped", differences: [] });
	expect(await world.problems()).toEqual([]);
});

test("what somebody changed: repaired when it is off, reported when it runs", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const on = await running(world);
	const { id: off } = await world.createVm({ start: false });
	await world.settle();
	world.kill();
	for (const id of [on, off])
		world.hypervisor.tamper(id, ({ facts }) => {
			facts.vcpus = 1;
		});
	await world.boot();
	await world.until(() => status(world, on).pendingRestart);
	expect(status(world, on)).toMatchObject({
		powerState: "running",
		differences: [{ field: "cpu.vcpus", wanted: "2", found: "1", repair: "next-start" }],
	});
	await world.settle();
	expect(status(world, off).differences).toEqual([]);
	await world.act("vm.stop", on);
	await world.act("vm.start", on);
	await world.settle();
	expect(status(world, on)).toMatchObject({ pendingRestart: false, differences: [] });
});

test("addresses come from leases and from libvirt; unchanged ones are not written", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const mac = world.vm(id).spec.nics[0]?.mac ?? "";
	world.networks.leaseTable.set(clusterIds.network, [
		{ mac: mac.toUpperCase(), address: "10.20.0.11", hostname: "a", expiresAtMs: null },
		{ mac: "52:00:00:00:00:01", address: "10.20.0.12", hostname: null, expiresAtMs: null },
	]);
	await world.until(() => status(world, id).addresses.length > 0, { stepMs: 2_000, limitMs: 20_000 });
	expect(status(world, id).addresses).toEqual([{ nicId: "nic-0", mac, address: "10.20.0.11" }]);
	await world.settle();
	const index = world.store.appliedIndex;
	for (let round = 0; round < 3; round++) {
		world.clock.advance(10_000);
		await world.settle();
	}
	expect(world.store.appliedIndex).toBe(index);
	world.networks.leaseTable.clear();
	world.hypervisor.addressTable.set(id, [
		{ mac, address: "fe80::1" },
		{ mac, address: "<script>" },
		{ mac: "not a mac", address: "10.0.0.1" },
	]);
	await world.until(() => status(world, id).addresses[0]?.address === "fe80::1", { stepMs: 2_000, limitMs: 20_000 });
	expect(status(world, id).addresses).toHaveLength(1);
	await world.act("vm.stop", id);
	await world.settle();
	expect(status(world, id).addresses).toEqual([]);
	expect(await world.service.networkLeases(clusterIds.network)).toEqual([]);
});
