/** Networks on a node whose surroundings are simulated: what is still plugged in, and libvirt that is away. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { NetworkConfig } from "../model/network.ts";
import { bridgeName } from "../network/names.ts";
import { clusterIds, fixtureId, fixtureNetwork } from "../testing/fixtures.ts";
import { macOf, NodeWorld } from "../testing/node/node-world.ts";
import { remove } from "../testing/node/storage-deeds.ts";

const nat: NetworkConfig = {
	...{ kind: "nat" as const, gateway: "10.77.0.1", prefixLength: 24 },
	...{ dhcpStart: "10.77.0.10", dhcpEnd: "10.77.0.99" },
};
const bridgeOf = (world: NodeWorld): string =>
	world.store.get("network", clusterIds.network)?.nodes[0]?.bridge ?? "none";

/** A running VM whose NIC was taken out of its record, while its guest has kept it. */
async function keptNic(world: NodeWorld): Promise<string> {
	const { id } = await world.createVm({ name: "keeper" });
	await world.settle();
	world.hypervisor.setGuest(id, { unplug: "ignore" });
	await world.update(id, (spec) => ({ ...spec, nics: [] }));
	await world.settle();
	expect(world.vm(id).status.pendingRestart).toBe(true);
	return id;
}

test("a network is not removed under a VM whose guest has kept its NIC", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await keptNic(world);
	const refused = await remove(world, "network", clusterIds.network);
	expect(world.taskOf(refused)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(world.taskOf(refused).error?.message).toContain('VM "keeper"');
	expect(world.networks.running.has(clusterIds.network)).toBe(true);
	await world.act("vm.stop", id);
	await world.settle();
	const removed = await remove(world, "network", clusterIds.network);
	expect(world.taskOf(removed).state).toBe("succeeded");
	expect(world.networks.running.size).toBe(0);
	expect(world.store.get("network", clusterIds.network)).toBeNull();
});

test("a NIC that is just being taken out is waited for", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm();
	await world.settle();
	const held = world.hypervisor.faults.hold("applyLive");
	await world.update(id, (spec) => ({ ...spec, nics: [] }));
	await held.reached;
	const task = world.task("network.delete", clusterIds.network);
	await world.propose({ kind: "networkDelete", id: clusterIds.network, task });
	await world.settleLoops();
	expect(world.taskOf(task.id).state).toBe("running");
	held.release();
	await world.settle();
	expect(world.taskOf(task.id).state).toBe("succeeded");
});

test("nor is it removed under a VM that was made elsewhere, or under anything else", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.hypervisor.addForeign({
		...{ id: fixtureId(0x66), name: "theirs", powerState: "running", vcpus: 1, maxVcpus: 1 },
		...{ memoryBytes: 2 ** 28, maxMemoryBytes: 2 ** 28, firmware: "bios", disks: [], obstacles: [] },
		nics: [{ mac: "52:54:00:00:00:01", model: "virtio", bridge: bridgeOf(world), network: null }],
	});
	const first = await remove(world, "network", clusterIds.network);
	expect(world.taskOf(first).error).toMatchObject({ code: "in-use" });
	expect(world.taskOf(first).error?.message).toContain('"theirs"');
	world.hypervisor.lose(fixtureId(0x66));
	world.networks.plugged.add(bridgeOf(world));
	const second = await remove(world, "network", clusterIds.network);
	expect(world.taskOf(second).error).toMatchObject({ code: "in-use" });
	expect(world.networks.running.has(clusterIds.network)).toBe(true);
});

test("the MAC address of a NIC that a guest has kept is nobody else's yet", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const keeper = await keptNic(world);
	const nics = [
		{ id: "nic-0", networkId: clusterIds.network, mac: macOf(keeper), model: "virtio" as const, linkUp: true },
	];
	const heir = await world.createVm({ spec: { nics } });
	await world.settle();
	expect(world.taskOf(heir.taskId)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(world.taskOf(heir.taskId).error?.message).toContain('VM "keeper"');
	const other = await world.createVm({ spec: { nics: [] } });
	await world.settle();
	await world.deleteVm(heir.id);
	await world.settle();
	const plugged = await world.update(other.id, (spec) => ({ ...spec, nics }));
	await world.settle();
	expect(world.taskOf(plugged)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	await world.act("vm.stop", keeper);
	await world.settle();
	const again = await world.update(other.id, (spec) => ({ ...spec, shutdownTimeoutMs: 61_000 }));
	await world.settle();
	expect(world.taskOf(again).state).toBe("succeeded");
	expect(await world.hypervisor.domainXml(other.id)).toContain(macOf(keeper));
});

/** libvirt goes, for the network driver too. */
function away(world: NodeWorld): () => void {
	world.hypervisor.setConnection("disconnected", "no socket");
	const ensure = world.networks.ensure.bind(world.networks);
	world.networks.ensure = () => Promise.reject(new AppError("unavailable", "libvirt is not connected."));
	return () => {
		world.networks.ensure = ensure;
		world.hypervisor.setConnection("connected");
	};
}

for (const comesBack of [true, false])
	test(`a network that is made while libvirt is away waits for it, as VMs do; it ${comesBack ? "comes" : "does not come"} back`, async () => {
		await using world = await NodeWorld.open();
		await world.boot();
		await world.settle();
		const back = away(world);
		const network = fixtureNetwork({ id: fixtureId(0x44), name: "second", config: nat });
		const task = world.task("network.create", network.id);
		await world.propose({ kind: "networkCreate", network, task });
		await world.settleLoops();
		world.clock.advance(2_000);
		await world.settleLoops();
		expect(world.taskOf(task.id)).toMatchObject({
			state: "running",
			message: "Waits for libvirt, which does not answer",
		});
		if (comesBack) back();
		await world.settle({ stepMs: 5_000, limitMs: 70_000 });
		if (comesBack) expect(world.taskOf(task.id).state).toBe("succeeded");
		else
			expect(world.taskOf(task.id)).toMatchObject({
				state: "failed",
				error: { code: "unavailable", message: "libvirt does not answer on this node (no socket)." },
			});
	});

test("networks that are not the cluster's any more go: at the start, and once nothing is plugged into them", async () => {
	await using world = await NodeWorld.open();
	const { networks } = world;
	const config = fixtureNetwork().config;
	if (config.kind !== "nat") throw new Error("the fixture is a NAT network");
	const [former, used] = ["00000000-0000-7000-8000-0000000f0001", "00000000-0000-7000-8000-0000000f0002"];
	networks.running.set(former, { ...config, gateway: "10.77.0.1", dhcpStart: "10.77.0.10", dhcpEnd: "10.77.0.20" });
	// The one that this node had before it joined, with the addresses that the cluster's has; a guest is still in it.
	networks.running.set(used, config);
	networks.plugged.add(bridgeName(used));
	await world.boot();
	await world.settleLoops();
	expect([networks.running.has(former), networks.running.has(used)]).toEqual([false, true]);
	// Which serves as that meanwhile: its VMs go on, and others of the node start beside them.
	expect(world.store.get("network", clusterIds.network)?.nodes[0]).toMatchObject({
		...{ health: "healthy", bridge: bridgeName(used), error: null },
	});
	const { id } = await world.createVm();
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect(await world.hypervisor.domainXml(id)).toContain(bridgeName(used));
	expect([...networks.running.keys()]).toEqual([used]);
	await world.act("vm.stop", id);
	await world.settle();
	networks.plugged.clear();
	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect([...networks.running.keys()]).toEqual([clusterIds.network]);
	expect(await world.hypervisor.domainXml(id)).toContain(bridgeName(clusterIds.network));
});
