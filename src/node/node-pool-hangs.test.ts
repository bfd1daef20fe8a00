/** A pool that hangs is the trouble of that pool alone: the others are looked at, and used, as if it were not there. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { FakeStorageDriver } from "../storage/fake.ts";
import { clusterIds, fixtureId, fixtureNfs, fixturePool } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { limits } from "./limits.ts";

const poolId = fixtureId(0x44);
const ticks = { stepMs: 1000, limitMs: 900_000 };
const part = (world: NodeWorld, id = poolId) => world.store.get("pool", id)?.nodes[0];

async function sharedPool(world: NodeWorld): Promise<FakeStorageDriver> {
	await world.boot();
	const pool = fixturePool({ id: poolId, name: "shared", type: "nfs", config: fixtureNfs, nodeIds: [world.nodeId] });
	await world.propose({ kind: "poolCreate", pool, task: world.task("pool.create", poolId) });
	await world.settle();
	expect(part(world)?.health).toBe("healthy");
	return world.drivers.get(poolId) as FakeStorageDriver;
}

/** Its look fails, and making it ready again does not end. Returns what lets it. */
async function hang(world: NodeWorld, driver: FakeStorageDriver): Promise<() => void> {
	driver.failNext("check", new AppError("timeout", "The server does not answer."));
	const release = driver.hold("activate");
	const before = activations(driver);
	await world.until(() => activations(driver) > before, ticks);
	return release;
}
const activations = (driver: FakeStorageDriver) => driver.calls.filter((call) => call === "activate").length;

/** The daemon starts, and the shared pool hangs from the beginning. Returns what lets it go on. */
async function bootHanging(world: NodeWorld, settleLimitMs = 60_000): Promise<() => void> {
	const releases: (() => void)[] = [];
	const open = ({ id }: { id: string }): StorageDriver => {
		const driver = new FakeStorageDriver(world.pools.get(id));
		world.drivers.set(id, driver);
		if (id !== poolId) return driver;
		driver.settleLimitMs = settleLimitMs;
		releases.push(driver.hold("activate"));
		return driver;
	};
	const discover = async () => ({ exports: [], cephPools: [], targets: [], luns: [] });
	await world.boot(null, { storage: { open, discover } });
	return () => {
		for (const release of releases) release();
	};
}

/** How much time passes until it is so. */
async function msUntil(world: NodeWorld, until: () => boolean): Promise<number> {
	const sinceMs = world.clock.monotonicMs();
	await world.until(until, ticks);
	return world.clock.monotonicMs() - sinceMs;
}

test("while one is made ready again without end, the loss of another is seen within 10 s", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	shared.settleLimitMs = 600_000;
	await hang(world, shared);
	const checks = world.driver.calls.filter((call) => call === "check").length;
	for (let round = 0; round < 50; round++) world.driver.failNext("check", new AppError("storage", "The disk is gone."));
	expect(await msUntil(world, () => part(world, clusterIds.pool)?.health === "error")).toBeLessThanOrEqual(10_000);
	world.driver.forgetFailures("check");
	expect(await msUntil(world, () => part(world, clusterIds.pool)?.health === "healthy")).toBeLessThanOrEqual(10_000);
	expect(world.driver.calls.filter((call) => call === "check").length).toBeGreaterThan(checks + 1);
	expect(activations(shared)).toBe(2);
	expect(part(world)?.reason).toBe("The server does not answer.");
});

test("a look at the volumes of a pool that does not end keeps the pool from no look", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	await world.createVolume({ poolId, nodeId: null });
	await world.settle();
	shared.hold("damagedVolumes");
	const looks = () => shared.calls.filter((call) => call === "damagedVolumes").length;
	const before = looks();
	await world.until(() => looks() > before, ticks);
	shared.hold("check");
	expect(await msUntil(world, () => part(world)?.health === "error")).toBeLessThanOrEqual(10_000);
});

test("one that hangs when the daemon starts is shown at once as what it is, and is well when it answers", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	world.kill();
	const release = await bootHanging(world, 600_000);
	expect(await msUntil(world, () => part(world)?.health === "error")).toBeLessThanOrEqual(10_000);
	expect(part(world)?.reason).toBe(
		"It is being made ready on this node, which takes more than 5 s: its storage does not answer yet, or is slow.",
	);
	release();
	expect(await msUntil(world, () => part(world)?.health === "healthy")).toBeLessThanOrEqual(10_000);
	expect(activations(world.drivers.get(poolId) as FakeStorageDriver)).toBe(1);
});

for (const settleLimitMs of [60_000, 600_000])
	test(`a VM on another pool starts by itself while one hangs for up to ${settleLimitMs / 1000} s`, async () => {
		await using world = await NodeWorld.open();
		await sharedPool(world);
		const autostart = (order: number) => ({ autostart: { enabled: true, order, delayMs: 0 } });
		const first = await world.createVm({
			...{ name: "first", start: false, volumes: [{ poolId, nodeId: null }], spec: autostart(1) },
		});
		const second = await world.createVm({ name: "second", start: false, volumes: [{}], spec: autostart(2) });
		await world.settle();
		world.powerCut();
		const release = await bootHanging(world, settleLimitMs);
		const runs = (id: string) => world.vm(id).status.powerState === "running";
		expect(await msUntil(world, () => runs(second.id))).toBeLessThanOrEqual(10_000);
		await world.until(() => world.vm(first.id).status.reason !== null, ticks);
		expect(world.vm(first.id).status).toMatchObject({
			powerState: "stopped",
			reason: 'It starts by itself as soon as storage pool "shared" works on this node.',
		});
		release();
		expect(await msUntil(world, () => runs(first.id))).toBeLessThanOrEqual(10_000);
		expect(world.vm(first.id).status.reason).toBeNull();
	});

test("what a person does with a VM that waits for its pool counts more than its start by itself", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const spec = { autostart: { enabled: true, order: 1, delayMs: 0 } };
	const { id } = await world.createVm({ start: false, volumes: [{ poolId, nodeId: null }], spec });
	await world.settle();
	world.powerCut();
	const release = await bootHanging(world);
	await world.until(() => world.vm(id).status.reason !== null, ticks);
	for (const kind of ["vm.start", "vm.stop"] as const) await world.act(kind, id);
	await world.settle(ticks);
	release();
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(await msUntil(world, () => world.clock.monotonicMs() > 100_000)).toBeGreaterThan(10_000);
	expect(world.vm(id).status.powerState).toBe("stopped");
});

test("libvirt has the keys of the other pools again at once, and that of one that hung when it is back", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	shared.settleLimitMs = 600_000;
	const secret = (number: number) => ({
		...{ id: fixtureId(number), kind: "ceph" as const, name: `key-${number}`, value: new Uint8Array([number]) },
	});
	world.driver.hostSecrets = [secret(5)];
	shared.hostSecrets = [secret(6)];
	const release = await hang(world, shared);
	const { secrets } = world.hypervisor;
	const has = (number: number) => secrets.has(fixtureId(number));
	secrets.clear();
	world.hypervisor.setConnection("disconnected", "restarted");
	world.hypervisor.setConnection("connected");
	expect(await msUntil(world, () => has(5))).toBe(0);
	expect(has(6)).toBe(false);
	release();
	expect(await msUntil(world, () => has(6))).toBeLessThanOrEqual(10_000);
});

for (const count of [8, 24])
	test(`${count} VMs on a pool that hangs when the daemon starts keep no other VM waiting, and can be stopped`, async () => {
		await using world = await NodeWorld.open();
		await sharedPool(world);
		const ids: string[] = [];
		for (let number = 0; number < count; number++)
			ids.push((await world.createVm({ name: `vm-${number}`, volumes: [{ poolId, nodeId: null }] })).id);
		const { id } = await world.createVm({ name: "local", start: false, volumes: [{}] });
		await world.settle();
		world.kill();
		const release = await bootHanging(world, 600_000);
		for (const [kind, of] of [
			["vm.start", id],
			["vm.stop", id],
			["vm.stop", ids[0] ?? ""],
			["vm.start", id],
		] as const) {
			const task = await world.act(kind, of);
			expect(await msUntil(world, () => world.taskOf(task).state === "succeeded")).toBe(0);
			await msUntil(world, () => world.clock.monotonicMs() % 7 === 0);
		}
		// What needs the pool waits for it, says so, and gives way to a stop.
		const [first = "", second = ""] = ids;
		await world.act("vm.stop", second);
		await world.settle();
		const starts = [await world.act("vm.start", first), await world.act("vm.start", second)] as const;
		await world.settleLoops();
		const waits = 'Waits for storage pool "shared" to become ready on this node';
		expect(starts.map((task) => world.taskOf(task).message)).toEqual([waits, waits]);
		const stop = await world.act("vm.stop", first);
		await world.until(() => world.taskOf(stop).state === "succeeded");
		expect(starts.map((task) => world.taskOf(task).state)).toEqual(["canceled", "running"]);
		// Nothing was compared with what it cannot know, and all is when the pool is there.
		expect(world.hypervisor.calls.filter((call) => call === `compare ${ids[3]}`)).toHaveLength(0);
		release();
		await world.settle(ticks);
		expect(world.taskOf(starts[1]).state).toBe("succeeded");
		await world.until(() => world.hypervisor.calls.includes(`compare ${ids[3]}`), ticks);
		expect(await world.problems()).toEqual([]);
	});

async function stoppedVm(world: NodeWorld): Promise<string> {
	const { id } = await world.createVm({ start: false, volumes: [{ poolId, nodeId: null }] });
	await world.settle();
	return id;
}

test("VMs that start while their pool begins to hang hold up no other VM", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	const ids: string[] = [];
	for (let number = 0; number < 9; number++) ids.push(await stoppedVm(world));
	const { id } = await world.createVm({ start: false, volumes: [{}] });
	await world.settle();
	for (const call of ["openVolume", "attachInfo"] as const) {
		const before = shared.calls.filter((one) => one === call).length;
		const release = shared.hold(call);
		for (const vmId of ids) await world.act("vm.start", vmId);
		await world.settleLoops();
		// Questions to one pool are bounded.
		const asked = shared.calls.filter((one) => one === call).length - before;
		expect(asked).toBe(call === "attachInfo" ? 8 : 9);
		for (const kind of ["vm.start", "vm.stop"] as const) {
			const task = await world.act(kind, id);
			expect(await msUntil(world, () => world.taskOf(task).state === "succeeded")).toBe(0);
		}
		release();
		await world.settle();
		for (const vmId of ids) await world.act("vm.stop", vmId);
		await world.settle();
	}
});

test("who needs a pool that is known not to answer is told so at once", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	shared.settleLimitMs = 600_000;
	const id = await stoppedVm(world);
	const release = await hang(world, shared);
	const start = await world.act("vm.start", id);
	expect(await msUntil(world, () => world.taskOf(start).state === "failed")).toBe(0);
	expect(world.vm(id).status.reason).toBe("The server does not answer.");
	release();
	await world.until(() => part(world)?.health === "healthy", ticks);
	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
});

test("one that fails at once is tried by who needs it, for as long as an answer takes", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	const id = await stoppedVm(world);
	shared.failNext("check", new AppError("storage", "The disk is gone."));
	await world.until(() => part(world)?.health === "error", ticks);
	const release = shared.hold("activate");
	const start = await world.act("vm.start", id);
	expect(await msUntil(world, () => world.taskOf(start).state === "failed")).toBeLessThanOrEqual(5_000);
	expect(world.taskOf(start).error?.message).toBe("The disk is gone.");
	release();
	const again = await world.act("vm.start", id);
	expect(await msUntil(world, () => world.taskOf(again).state === "succeeded")).toBe(0);
});

test("a VM that its pool has paused goes on while another pool hangs", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	shared.settleLimitMs = 600_000;
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	await hang(world, shared);
	world.hypervisor.ioError(id, "disk-0", "io-error");
	await world.until(() => world.vm(id).status.powerState === "paused", ticks);
	expect(await msUntil(world, () => world.vm(id).status.powerState === "running")).toBeLessThanOrEqual(10_000);
});

test("a task of before that waits for a pool that hangs keeps no other VM from starting by itself", async () => {
	await using world = await NodeWorld.open();
	const shared = await sharedPool(world);
	const cutOff = await stoppedVm(world);
	const spec = { autostart: { enabled: true, order: 1, delayMs: 0 } };
	const { id } = await world.createVm({ start: false, volumes: [{}], spec });
	await world.settle();
	shared.hold("openVolume");
	const start = await world.act("vm.start", cutOff);
	await world.until(() => shared.calls.includes("openVolume"));
	world.powerCut();
	await bootHanging(world);
	expect(await msUntil(world, () => world.vm(id).status.powerState === "running")).toBeLessThanOrEqual(10_000);
	expect(world.taskOf(start).state).toBe("running");
});

test("a new pool that takes its time is no pool in error", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const releases: (() => void)[] = [];
	const set = world.drivers.set.bind(world.drivers);
	world.drivers.set = (id, driver) => {
		if (id === poolId) releases.push(driver.hold("activate"));
		return set(id, driver);
	};
	const pool = fixturePool({ id: poolId, name: "shared", type: "nfs", config: fixtureNfs, nodeIds: [world.nodeId] });
	await world.propose({ kind: "poolCreate", pool, task: world.task("pool.create", poolId) });
	await world.until(() => world.clock.monotonicMs() > 30_000, ticks);
	expect(world.store.get("pool", poolId)).toMatchObject({ phase: "pending", nodes: [] });
	for (const release of releases) release();
	await world.settle(ticks);
	expect(world.store.get("pool", poolId)?.phase).toBe("ready");
});

test("the node's service ends in time although a pool's driver does not", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const { promise, resolve } = Promise.withResolvers<void>();
	Object.assign(world.driver, { end: () => promise });
	let isOver = false;
	void world.node?.stop().then(() => {
		isOver = true;
	});
	await world.until(() => isOver, { stepMs: 1_000, limitMs: limits.stopMs + limits.endPoolsMs });
	resolve();
});
