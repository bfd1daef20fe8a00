/** Networks on a node whose surroundings are simulated: what is still plugged in, and libvirt that is away. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { NetworkConfig } from "../model/network.ts";
import { bridgeName } from "../network/names.ts";
import { clusterIds, fixtureId, fixtureNetwork } from "../testing/fixtures.ts";
import { macOf, NodeWorld } from "../testing/node/node-world.ts";
import { joinSecond } from "../testing/node/second-node.ts";
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

/** The network that this node had before it joined, with the addresses of the cluster's; a guest is in it. */
async function openWithFormer(): Promise<{ world: NodeWorld; former: string }> {
	const world = await NodeWorld.open();
	const { config } = fixtureNetwork();
	if (config.kind !== "nat") throw new Error("the fixture is a NAT network");
	const former = fixtureId(0xf1);
	world.networks.running.set(former, config);
	world.networks.plugged.add(bridgeName(former));
	await world.boot();
	await world.settleLoops();
	return { world, former };
}

for (const step of ["define", "start"] as const)
	test(`the network of before stays while a VM is on its way into it (${step}), and goes when that is over`, async () => {
		const { world, former } = await openWithFormer();
		await using _ = world;
		const held = world.hypervisor.faults.hold(step);
		const slow = await world.createVm();
		await held.reached;
		// Its last guest ends, and everybody who comes now looks whether it can go.
		world.networks.plugged.clear();
		const beside = await world.createVm();
		await world.until(() => world.taskOf(beside.taskId).state === "succeeded");
		expect(world.networks.running.has(former)).toBe(true);
		held.release();
		await world.settle();
		for (const { id } of [slow, beside]) expect(await world.hypervisor.domainXml(id)).toContain(bridgeName(former));
		const later = await world.createVm();
		await world.settle();
		expect([...world.networks.running.keys()]).toEqual([clusterIds.network]);
		expect(await world.hypervisor.domainXml(later.id)).toContain(bridgeName(clusterIds.network));
	});

test("a start that fails does not keep the network of before", async () => {
	const { world } = await openWithFormer();
	await using _ = world;
	world.hypervisor.faults.fail("start", new AppError("hypervisor", "QEMU says no."));
	const { taskId } = await world.createVm();
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("failed");
	world.networks.plugged.clear();
	await world.createVm();
	await world.settle();
	expect([...world.networks.running.keys()]).toEqual([clusterIds.network]);
});

test("the cluster's network takes over from that of before by itself, once nothing is plugged into it", async () => {
	const { world, former } = await openWithFormer();
	await using _ = world;
	const own = () => bridgeOf(world) === bridgeName(clusterIds.network);
	await expect(world.until(own, { stepMs: 5_000, limitMs: 90_000 })).rejects.toThrow("did not come to pass");
	expect([bridgeOf(world), [...world.networks.running.keys()]]).toEqual([bridgeName(former), [former]]);
	world.networks.plugged.clear();
	await world.until(own, { stepMs: 5_000, limitMs: 60_000 });
	expect([...world.networks.running.keys()]).toEqual([clusterIds.network]);
});

test("a network that is made right after one with its addresses was deleted is not served by what is just going", async () => {
	await using first = await NodeWorld.open();
	await first.boot();
	await first.settle();
	await using second = await joinSecond(first);
	await second.boot();
	await first.settle();
	const made = async (id: string, name: string) => {
		const network = fixtureNetwork({ id, name, config: nat });
		await first.propose({ kind: "networkCreate", network, task: first.task("network.create", id) });
		await first.until(() => first.unfinished().length === 0);
		return network;
	};
	const before = await made(fixtureId(0x51), "before");
	await first.settle();
	// The second node is slow with what the first one did.
	const held = second.networks.faults.hold("removeOthers");
	await remove(first, "network", before.id);
	await held.reached;
	expect(first.store.get("network", before.id)).toBeNull();
	const { id } = await made(fixtureId(0x52), "after");
	held.release();
	await first.settle();
	for (const world of [first, second]) {
		const part = first.store.get("network", id)?.nodes.find(({ nodeId }) => nodeId === world.nodeId);
		expect(part).toMatchObject({ health: "healthy", bridge: bridgeName(id) });
		expect([world.networks.running.has(id), world.networks.running.has(before.id)]).toEqual([true, false]);
	}
});

test("a network that hangs in libvirt keeps nobody from starting in another one", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const id = fixtureId(0x52);
	const network = fixtureNetwork({ id, name: "hangs", config: nat });
	const held = world.networks.faults.hold("ensure", { id });
	await world.propose({ kind: "networkCreate", network, task: world.task("network.create", id) });
	await held.reached;
	const { id: vmId } = await world.createVm();
	await world.until(() => world.vm(vmId).status.powerState === "running");
	expect(world.unfinished().length).toBe(1);
	held.release();
	await world.settle();
	expect(world.networks.running.has(id)).toBe(true);
});

test("of two networks of a VM one fails before the other is there: nothing is held afterwards", async () => {
	const { world, former } = await openWithFormer();
	await using _ = world;
	const id = fixtureId(0x53);
	const config = { ...nat, gateway: "10.78.0.1", dhcpStart: "10.78.0.10", dhcpEnd: "10.78.0.99" };
	const network = fixtureNetwork({ id, name: "fails", config });
	await world.propose({ kind: "networkCreate", network, task: world.task("network.create", id) });
	await world.settle();
	world.networks.faults.fail("ensure", new AppError("hypervisor", "libvirt says no."), { id });
	const held = world.networks.faults.hold("ensure", { id: clusterIds.network });
	const nic = { model: "virtio" as const, linkUp: true };
	const nics = [
		{ id: "nic-0", networkId: clusterIds.network, mac: "52:54:00:00:00:01", ...nic },
		{ id: "nic-1", networkId: id, mac: "52:54:00:00:00:02", ...nic },
	];
	const { taskId } = await world.createVm({ spec: { nics } });
	await held.reached;
	await world.settleLoops(() => world.taskOf(taskId).state === "failed");
	held.release();
	await world.until(() => world.taskOf(taskId).state === "failed");
	world.networks.plugged.clear();
	await world.until(() => !world.networks.running.has(former), { stepMs: 5_000, limitMs: 90_000 });
});
