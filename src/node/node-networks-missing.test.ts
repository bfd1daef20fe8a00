/** VMs whose network is not there yet on their node: the start waits for it, and goes on by itself. */
import { expect, test } from "bun:test";
import type { Network } from "../model/network.ts";
import { bridgeName } from "../network/names.ts";
import { clusterIds, fixtureId, fixtureNetwork } from "../testing/fixtures.ts";
import { macOf, NodeWorld } from "../testing/node/node-world.ts";
import { joinSecond } from "../testing/node/second-node.ts";
import { limits } from "./limits.ts";

const office = fixtureNetwork({ id: fixtureId(0x44), name: "office", config: { kind: "bridge", bridge: "br7" } });
const nic = (id: string, networkId = office.id) => ({
	nics: [{ id: "nic-0", networkId, mac: macOf(id), model: "virtio" as const, linkUp: true }],
});
const natConfig = {
	...{ kind: "nat" as const, gateway: "10.78.0.1", prefixLength: 24 },
	...{ dhcpStart: "10.78.0.10", dhcpEnd: "10.78.0.99" },
};
const missing = 'Waits for the network "office" on this node: This node has no bridge named br7.';

/** Its network "office" is on a bridge that the host does not have. */
async function openWorld(): Promise<NodeWorld> {
	const world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	await makeNetwork(world, office);
	return world;
}

async function makeNetwork(world: NodeWorld, network: Network) {
	await world.propose({ kind: "networkCreate", network, task: world.task("network.create", network.id) });
	await world.settle();
}

const waits = (world: NodeWorld, taskId: string) => () => world.taskOf(taskId).message === missing;
const partOf = (world: NodeWorld, networkId: string, nodeId = world.nodeId) =>
	world.store.get("network", networkId)?.nodes.find((node) => node.nodeId === nodeId) ?? null;

/** A new VM that waits, or one that is there and is started. */
async function waiting(world: NodeWorld, kind: "vm.create" | "vm.start"): Promise<{ id: string; taskId: string }> {
	const id = world.ids.newId();
	world.networks.bridges.add("br7");
	if (kind === "vm.start") {
		await world.createVm({ id, spec: nic(id), start: false });
		await world.settle();
	}
	world.networks.bridges.delete("br7");
	const taskId = kind === "vm.start" ? await world.act(kind, id) : (await world.createVm({ id, spec: nic(id) })).taskId;
	await world.until(waits(world, taskId), { stepMs: 1_000, limitMs: 10_000 });
	return { id, taskId };
}

for (const kind of ["vm.create", "vm.start"] as const) {
	test(`${kind}: waits for a network that cannot be used here yet, says why, and goes on when it can`, async () => {
		await using world = await openWorld();
		const { id, taskId } = await waiting(world, kind);
		expect(world.taskOf(taskId)).toMatchObject({ state: "running", cancelable: true });
		world.networks.bridges.add("br7");
		await world.settle({ stepMs: 1_000, limitMs: 10_000 });
		expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", cancelable: false });
		expect(world.vm(id).status.powerState).toBe("running");
		expect(partOf(world, office.id)).toMatchObject({ health: "healthy", bridge: "br7", error: null });
	});

	test(`${kind}: fails with the reason when the network does not come`, async () => {
		await using world = await openWorld();
		const { id, taskId } = await waiting(world, kind);
		await world.settle({ stepMs: 5_000, limitMs: limits.networkWaitMs + 10_000 });
		const error = { code: "network", message: "This node has no bridge named br7." };
		expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error });
		expect(world.vm(id).status).toMatchObject({ powerState: "failed", taskId: null, error });
		// What it was is known: the next start does it.
		world.networks.bridges.add("br7");
		const again = await world.act("vm.start", id);
		await world.settle();
		expect(world.taskOf(again).state).toBe("succeeded");
	});

	test(`${kind}: is overtaken by a stop while it waits`, async () => {
		await using world = await openWorld();
		const { id, taskId } = await waiting(world, kind);
		const stop = await world.act("vm.stop", id);
		await world.settle();
		expect([world.taskOf(taskId).state, world.taskOf(stop).state]).toEqual(["canceled", "succeeded"]);
		expect(world.vm(id).status.powerState).toBe("stopped");
	});
}

test("the NIC may be moved to another network meanwhile", async () => {
	await using world = await openWorld();
	const { id, taskId } = await waiting(world, "vm.create");
	await world.update(id, (spec) => ({ ...spec, ...nic(id, clusterIds.network) }));
	await world.settle({ stepMs: 1_000, limitMs: 10_000 });
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.vm(id).status.powerState).toBe("running");
});

test("a daemon that ends meanwhile goes on waiting", async () => {
	await using world = await openWorld();
	const { taskId } = await waiting(world, "vm.start");
	world.kill();
	await world.boot();
	await world.settleLoops();
	expect(world.taskOf(taskId).state).toBe("running");
	world.networks.bridges.add("br7");
	await world.settle({ stepMs: 1_000, limitMs: 10_000 });
	expect(world.taskOf(taskId).state).toBe("succeeded");
});

test("a network that could not be used is tried again by itself, without a VM", async () => {
	await using world = await openWorld();
	expect(partOf(world, office.id)).toMatchObject({ health: "error", error: { code: "network" } });
	world.networks.bridges.add("br7");
	await world.until(() => partOf(world, office.id)?.health === "healthy", { stepMs: 5_000, limitMs: 60_000 });
	expect(partOf(world, office.id)).toMatchObject({ bridge: "br7", error: null });
});

test("a network that is made on one node is made on all of them, before a VM needs it", async () => {
	await using first = await NodeWorld.open();
	await first.boot();
	await first.settle();
	await using second = await joinSecond(first);
	await second.boot();
	await first.settle();
	const network = fixtureNetwork({ id: fixtureId(0x45), name: "second", config: natConfig });
	await makeNetwork(first, network);
	for (const world of [first, second]) {
		expect(partOf(first, network.id, world.nodeId)).toMatchObject({ health: "healthy" });
		expect(world.networks.running.has(network.id)).toBe(true);
	}
});

test("a network that is deleted while it is about to be tried again is not made", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	// Something of the host is in its way.
	world.networks.running.set(fixtureId(0x46), { ...natConfig, dhcpEnd: "10.78.0.98" });
	world.networks.plugged.add(bridgeName(fixtureId(0x46)));
	await makeNetwork(world, fixtureNetwork({ id: fixtureId(0x45), name: "second", config: natConfig }));
	expect(partOf(world, fixtureId(0x45))?.health).toBe("error");
	const held = world.networks.faults.hold("removeOthers");
	world.clock.advance(60_000);
	await held.reached;
	const task = world.task("network.delete", fixtureId(0x45));
	await world.propose({ kind: "networkDelete", id: fixtureId(0x45), task });
	await world.settle();
	expect(world.store.get("network", fixtureId(0x45))).toBeNull();
	world.networks.plugged.clear();
	held.release();
	await world.settleLoops();
	expect([...world.networks.running.keys()]).toEqual([clusterIds.network]);
	expect(await world.problems()).toEqual([]);
});
