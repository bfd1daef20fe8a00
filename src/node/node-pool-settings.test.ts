/** A pool whose settings change is reached in the new way, once nothing uses it; one that nodes share is let go of by each. */
import { expect, mock, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { FakeStorageDriver } from "../storage/fake.ts";
import { fixtureId, fixtureNfs, fixturePool } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { remove } from "../testing/node/storage-deeds.ts";

const poolId = fixtureId(0x44);
const ticks = { stepMs: 1000, limitMs: 600_000 };
const part = (world: NodeWorld) => world.store.get("pool", poolId)?.nodes[0];
const driver = (world: NodeWorld) => {
	const found = world.drivers.get(poolId);
	if (!found) throw new Error("the pool was not opened");
	return found;
};

async function sharedPool(world: NodeWorld): Promise<void> {
	await world.boot();
	const pool = fixturePool({ id: poolId, name: "shared", type: "nfs", config: fixtureNfs, nodeIds: [world.nodeId] });
	await world.propose({ kind: "poolCreate", pool, task: world.task("pool.create", poolId) });
	await world.settle();
	expect(part(world)?.health).toBe("healthy");
}
test("it works after a restart, too, and is let go of when it is deleted then", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	world.kill();
	await world.boot();
	await world.until(() => world.drivers.get(poolId)?.calls.includes("check") === true, ticks);
	let ended = 0;
	Object.assign(driver(world), {
		end: async () => {
			ended += 1;
		},
	});
	await remove(world, "pool", poolId);
	await world.until(() => world.store.get("pool", poolId) === null, ticks);
	await world.settleLoops();
	expect(ended).toBeGreaterThan(0);
	expect(driver(world).calls).toContain("deactivate");
});

const pass = async (world: NodeWorld, forMs: number) => {
	const sinceMs = world.clock.monotonicMs();
	await world.until(() => world.clock.monotonicMs() - sinceMs >= forMs, ticks);
};
const change = (world: NodeWorld, server: string) =>
	world.propose({ kind: "poolUpdate", id: poolId, config: { ...fixtureNfs, server } });

test("the old way is left before the new one is tried", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	let ended = 0;
	Object.assign(before, {
		end: async () => {
			ended += 1;
		},
	});
	await change(world, "10.0.0.2");
	await world.until(() => driver(world) !== before, ticks);
	await world.settleLoops();
	expect(ended).toBe(1);
	expect(before.calls.at(-1)).toBe("deactivate");
	expect(driver(world).calls).toContain("activate");
	expect(part(world)).toMatchObject({ health: "healthy", reason: null });
});

test("while something uses it the pool goes on as it was, and says so", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	let inUse = true;
	const deactivate = before.deactivate.bind(before);
	before.deactivate = async () => {
		if (inUse) throw new AppError("in-use", "VM web-1 runs from it.");
		return deactivate();
	};
	await change(world, "10.0.0.2");
	await world.until(() => part(world)?.health === "degraded", ticks);
	expect(part(world)?.reason).toContain("VM web-1 runs from it.");
	expect(driver(world)).toBe(before);
	const { id } = await world.createVolume({ poolId, nodeId: null });
	await world.settle();
	expect(world.volume(id).phase).toBe("ready");
	inUse = false;
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(driver(world)).not.toBe(before);
	expect(part(world)?.reason).toBeNull();
});

test("a pool that works and has lost something says so, and that it has it again", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const check = driver(world).check.bind(driver(world));
	let warning: string | undefined = "1 of 2 portals do not answer.";
	driver(world).check = async () => ({ ...(await check()), ...(warning === undefined ? {} : { warning }) });
	await world.until(() => part(world)?.health === "degraded", ticks);
	expect(part(world)?.reason).toBe("1 of 2 portals do not answer.");
	warning = undefined;
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(part(world)?.reason).toBeNull();
});

test("what of the new way cannot be had leaves the old one as it is, and a driver that was ended is not used again", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	let [isSealed, isBroken, opened] = [false, false, 0];
	await world.boot(null, {
		credentials: async () => {
			if (isSealed) throw new AppError("internal", "The key of the cluster cannot be read.");
			return null;
		},
		storage: {
			open: ({ id }) => {
				if (id === poolId && isBroken) throw new AppError("invalid", "The server has no address.");
				const made = new FakeStorageDriver(world.pools.get(id));
				world.drivers.set(id, made);
				if (id === poolId) opened += 1;
				return made;
			},
			discover: async () => ({ exports: [], cephPools: [], targets: [], luns: [] }),
		},
	});
	await world.until(() => world.drivers.get(poolId)?.calls.includes("check") === true, ticks);
	const before = driver(world);
	const ended = mock(async () => {});
	Object.assign(before, { end: ended });
	isSealed = true;
	await change(world, "10.0.0.2");
	await world.until(() => part(world)?.health === "degraded", ticks);
	expect(part(world)?.reason).toContain("The key of the cluster cannot be read.");
	expect(before.calls).not.toContain("deactivate");
	const { id } = await world.createVolume({ poolId, nodeId: null });
	await world.settle();
	expect(world.volume(id).phase).toBe("ready");

	[isSealed, isBroken] = [false, true];
	await world.until(() => part(world)?.health === "error", ticks);
	expect(part(world)?.reason).toBe("The server has no address.");
	const checks = before.calls.length;
	await pass(world, 20_000);
	expect([ended.mock.calls.length, before.calls.length - checks, opened]).toEqual([1, 0, 1]);
	isBroken = false;
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(opened).toBe(2);
});

/** A VM is being started, and has not its disk of the pool open yet; resolves with what lets it go on. */
async function starting(world: NodeWorld): Promise<() => void> {
	const { id } = await world.createVm({ name: "web", volumes: [{ poolId, nodeId: null }], start: false });
	await world.settle();
	const startVm = world.hypervisor.start.bind(world.hypervisor);
	const mayStart = Promise.withResolvers<void>();
	world.hypervisor.start = async (...args) => {
		await mayStart.promise;
		return startVm(...args);
	};
	await world.act("vm.start", id);
	await world.until(() => driver(world).calls.includes("openVolume"));
	return mayStart.resolve;
}

test("while a VM is about to open a disk of it the pool is not let go of", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	const goOn = await starting(world);
	await change(world, "10.0.0.2");
	await world.until(() => part(world)?.health === "degraded", ticks);
	expect(part(world)?.reason).toContain('VM "web" is about to use it.');
	expect(before.calls).not.toContain("deactivate");
	goOn();
	await world.settle(ticks);
	// By then its driver says whether a process has something of it open: this one has no such thing.
	await world.until(() => driver(world) !== before, ticks);
});

test("nor is it in a moment in which the pool does not work", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	const goOn = await starting(world);
	const away = () => new AppError("storage", "The target does not answer.", { context: { health: "unmounted" } });
	for (let round = 0; round < 20; round++) {
		before.failNext("check", away());
		before.failNext("activate", away());
	}
	await world.until(() => part(world)?.health === "unmounted", ticks);
	await change(world, "10.0.0.2");
	await pass(world, 40_000);
	expect([driver(world) === before, before.calls.includes("deactivate")]).toEqual([true, false]);
	goOn();
	await world.settle(ticks);
	await world.until(() => driver(world) !== before, ticks);
});

test("settings that do not work are left although nothing can be let go of any more", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	for (let round = 0; round < 50; round++) {
		before.failNext(
			"check",
			new AppError("timeout", "The server does not answer.", { context: { health: "unmounted" } }),
		);
		before.failNext("activate", new AppError("timeout", "The server does not answer."));
		before.failNext("deactivate", new AppError("timeout", "The server does not answer."));
	}
	await world.until(() => part(world)?.health === "unmounted", ticks);
	await change(world, "10.0.0.2");
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(driver(world)).not.toBe(before);
});

test("a shared pool that is deleted, or taken from the node, is let go of here; nothing is removed from it for that", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	await world.propose({ kind: "poolUpdate", id: poolId, nodeIds: [] });
	await world.until(() => before.calls.includes("deactivate"), ticks);
	expect(before.calls).not.toContain("remove");
	await world.propose({ kind: "poolUpdate", id: poolId, nodeIds: [world.nodeId] });
	await world.until(() => part(world)?.health === "healthy", ticks);
	const again = driver(world);
	expect(again).not.toBe(before);
	await remove(world, "pool", poolId);
	await world.settleLoops();
	expect(again.calls.filter((call) => call === "remove" || call === "deactivate").slice(0, 2)).toEqual([
		"remove",
		"deactivate",
	]);
});

test("volumes of a shared pool belong to no node", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const { id } = await world.createVolume({ poolId, nodeId: null });
	await world.settle();
	expect(world.volume(id)).toMatchObject({ phase: "ready", nodeId: null });
	await remove(world, "volume", id);
	expect(world.pools.get(poolId)?.volumes.size).toBe(0);
});

test("one that takes long to become usable is waited for as long as its driver says", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const slow = driver(world);
	slow.settleLimitMs = 300_000;
	const release = slow.hold("activate");
	slow.failNext("check", new AppError("storage", "The session is gone."));
	const activations = () => slow.calls.filter((call) => call === "activate").length;
	const before = activations();
	await world.until(() => activations() > before, ticks);
	const sinceMs = world.clock.monotonicMs();
	await world.until(() => world.clock.monotonicMs() - sinceMs > 200_000, ticks);
	expect(part(world)?.reason).toBe("The session is gone.");
	release();
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(activations()).toBe(before + 1);
});

test("who uses the pool is not disturbed by every look at it, and settings that are taken back need nothing any more", async () => {
	await using world = await NodeWorld.open();
	await sharedPool(world);
	const before = driver(world);
	const asked = () => before.calls.filter((call) => call === "deactivate").length;
	const refuse = () => before.failNext("deactivate", new AppError("in-use", "Files of it are open."));
	for (let round = 0; round < 20; round++) refuse();
	await change(world, "10.0.0.2");
	await world.until(() => part(world)?.health === "degraded", ticks);
	const sinceMs = world.clock.monotonicMs();
	await world.until(() => world.clock.monotonicMs() - sinceMs > 60_000, ticks);
	expect(asked()).toBe(3);
	// Others are tried at once.
	await change(world, "10.0.0.3");
	await world.until(() => asked() === 4, { stepMs: 1000, limitMs: 5_000 });
	await change(world, fixtureNfs.server);
	await world.until(() => part(world)?.health === "healthy", ticks);
	expect(part(world)?.reason).toBeNull();
	expect(driver(world)).toBe(before);
	expect(asked()).toBe(4);
});
