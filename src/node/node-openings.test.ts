/** Disks are open on a node while a VM of it runs with them, and only then; VMs that a pool has paused go on. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { FakeStorageDriver } from "../storage/fake.ts";
import { clusterIds, fixtureId } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import type { NodeContext } from "./context.ts";
import { KeyedMutex } from "./gates.ts";
import { Openings } from "./openings.ts";

async function runningVm(world: NodeWorld) {
	if (!world.node) await world.boot();
	const made = await world.createVm({ volumes: [{}] });
	await world.settle();
	expect(world.vm(made.id).status.powerState).toBe("running");
	return made;
}
/** Time goes on, as the loops of the node need it. */
const ticks = { stepMs: 1000, limitMs: 600_000 };
const order = (world: NodeWorld) =>
	world.driver.calls.filter((call) => call === "openVolume" || call === "closeVolume" || call === "attachInfo");

test("a disk is opened before its VM starts, and closed when it has stopped, be it by itself", async () => {
	await using world = await NodeWorld.open();
	const { id, volumeIds } = await runningVm(world);
	expect([...world.pool.open]).toEqual(volumeIds);
	expect(order(world)).toContain("openVolume");
	world.hypervisor.guestPowersOff(id);
	await world.until(() => world.pool.open.size === 0);
	await world.act("vm.start", id);
	await world.settle();
	expect([...world.pool.open]).toEqual(volumeIds);
	await world.act("vm.stop", id);
	await world.settle();
	await world.until(() => world.pool.open.size === 0);
});

test("a disk that another node has open keeps the VM from starting, with the reason", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.driver.failNext("openVolume", new AppError("in-use", "node-2 has it open."));
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	expect(world.vm(id).status).toMatchObject({ powerState: "failed", reason: "node-2 has it open." });
	expect(await world.hypervisor.getDomain(id)).toMatchObject({ powerState: "stopped" });
});

test("what a daemon before this one left open is closed, unless its VM runs", async () => {
	await using world = await NodeWorld.open();
	const { volumeIds } = await runningVm(world);
	const stopped = await runningVm(world);
	await world.act("vm.stop", stopped.id);
	await world.settle();
	const { id: nobodys } = await world.createVolume();
	await world.settle();
	world.kill();
	for (const id of [...stopped.volumeIds, nobodys, fixtureId(0x777)]) world.pool.open.add(id);
	await world.boot();
	await world.until(() => world.pool.open.size === 1, ticks);
	expect([...world.pool.open]).toEqual(volumeIds);
});

test("libvirt has a pool's key before a VM starts, and again after it was restarted", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const secret = { id: fixtureId(0x778), kind: "ceph" as const, name: "pool", value: new Uint8Array([1, 2]) };
	world.driver.hostSecrets = [secret];
	await world.createVm({ volumes: [{}] });
	await world.settle();
	expect([...world.hypervisor.secrets.values()]).toEqual([secret]);
	world.hypervisor.secrets.clear();
	world.hypervisor.setConnection("disconnected", "restarted");
	world.hypervisor.setConnection("connected");
	await world.until(() => world.hypervisor.secrets.size === 1);
});

test("a VM that a pool has paused goes on when the pool works; one that a person paused does not", async () => {
	await using world = await NodeWorld.open();
	const { id } = await runningVm(world);
	const byPerson = await runningVm(world);
	await world.act("vm.pause", byPerson.id);
	await world.settle();
	const health = () => world.store.get("pool", clusterIds.pool)?.nodes[0]?.health;
	const fail = () => world.driver.failNext("check", new AppError("timeout", "The server does not answer."));
	fail();
	await world.until(() => health() === "error", ticks);
	for (let round = 0; round < 200; round++) fail();
	world.hypervisor.ioError(id, "disk-0", "io-error");
	await world.until(() => world.vm(id).status.powerState === "paused");
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("paused");
	expect(world.driver.forgetFailures("check")).toBeGreaterThan(0);
	await world.until(() => world.vm(id).status.powerState === "running", ticks);
	expect(health()).toBe("healthy");
	expect(world.vm(byPerson.id).status.powerState).toBe("paused");
	// It pauses again at once: it is tried again, after longer and longer.
	const resumes = () => world.hypervisor.calls.filter((call) => call === `resume ${id}`).length;
	const before = resumes();
	world.hypervisor.ioError(id, "disk-0", "io-error");
	await world.until(() => resumes() > before, ticks);
	expect(world.vm(byPerson.id).status.powerState).toBe("paused");
});

test("what was opened in a pool that was let go of just then is opened in the one that is there now", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	const [before, now] = [new FakeStorageDriver(world.pool), new FakeStorageDriver(world.pool)];
	const pools = {
		driver: async () => (before.calls.length === 0 ? before : now),
		activeDrivers: () => [],
	};
	const { store, clock, hypervisor } = world;
	const context = { store, clock, hypervisor, locks: new KeyedMutex(), stopping: new AbortController().signal };
	const openings = new Openings(context as unknown as NodeContext, pools);
	await openings.openOf(world.vm(id));
	expect([before.calls, now.calls]).toEqual([["openVolume"], ["openVolume"]]);
	expect([...world.pool.open]).toEqual(volumeIds);
	expect(openings.userOf(clusterIds.pool, (vmId) => vmId === id)).toBe(world.vm(id).name);
	expect(openings.userOf(clusterIds.pool, () => false)).toBeNull();
	expect(openings.userOf(fixtureId(0x777), () => true)).toBeNull();
});
