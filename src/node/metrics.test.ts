/** The history of figures: sampled by the node itself, whoever looks. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { NodeWorld } from "../testing/node/node-world.ts";

async function pass(world: NodeWorld, seconds: number, each: () => void = () => {}): Promise<void> {
	for (let second = 0; second < seconds; second += 5) {
		each();
		world.clock.advance(5_000);
		await world.settleLoops();
	}
}

test("an hour of figures of the node and of each VM, every ten seconds, rates over those ten", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	let read = 0;
	// 1000 B/s in one half of each interval, nothing in the other: a sample of five seconds would say 0 or 1000.
	await pass(world, 60, () => {
		if (world.clock.nowMs() % 10_000 === 0) read += 5_000;
		world.hypervisor.statsOverrides.set(id, { diskReadBytes: read });
	});
	const history = world.service.vmMetricsHistory(id, 0);
	expect(history.length).toBeGreaterThanOrEqual(5);
	expect(history.slice(1).map((sample) => sample.diskReadBytesPerSecond)).toEqual(history.slice(1).map(() => 500));
	expect(history[1]).toMatchObject({ cpuUsedRatio: 0.05, netSentBytesPerSecond: 0 });
	const times = history.map(({ sampledAt }) => Date.parse(sampledAt));
	expect(times.slice(1).map((time, at) => time - (times[at] ?? 0))).toEqual(times.slice(1).map(() => 10_000));
	const [later] = history.slice(-1);
	expect(world.service.vmMetricsHistory(id, (times.at(-1) ?? 0) - 1)).toEqual(later ? [later] : []);
	expect(world.service.nodeMetricsHistory(0).at(-1)).toMatchObject({ cpuUsedRatio: 0.5, load1: 0.5, vmsRunning: 1 });

	await pass(world, 3700);
	const full = world.service.nodeMetricsHistory(0);
	expect(full).toHaveLength(360);
	expect(Date.parse(full.at(-1)?.sampledAt ?? "") - Date.parse(full[0]?.sampledAt ?? "")).toBe(3_590_000);
});

test("a VM that stopped keeps what it was; one that is deleted does not", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	await pass(world, 40);
	const before = world.service.vmMetricsHistory(id, 0).length;
	expect(before).toBeGreaterThan(1);
	await world.act("vm.stop", id);
	await world.settle();
	await pass(world, 60);
	expect(world.service.vmMetrics(id)).toBeNull();
	expect(world.service.vmMetricsHistory(id, 0).length).toBeLessThanOrEqual(before + 1);
	expect(world.service.vmMetricsHistory(id, 0).length).toBeGreaterThanOrEqual(before);
	await world.deleteVm(id);
	await world.settle();
	await pass(world, 10);
	expect(world.service.vmMetricsHistory(id, 0)).toEqual([]);
});

test("without an answer of libvirt the node's figures go on; those of its VMs are gone after three rounds, not old", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	await pass(world, 20);
	expect(world.service.vmMetrics(id)).not.toBeNull();
	const history = world.service.vmMetricsHistory(id, 0).length;
	const fail = () => world.hypervisor.faults.fail("stats", new AppError("timeout", "Too many VMs hang."));
	await pass(world, 30, fail);
	expect(world.service.vmMetrics(id)).toBeNull();
	expect(world.service.vmMetricsHistory(id, 0).length).toBeLessThanOrEqual(history + 1);
	const nodeAgeMs = () => world.clock.nowMs() - Date.parse(world.service.nodeMetrics()?.sampledAt ?? "");
	expect(nodeAgeMs()).toBeLessThanOrEqual(5_000);
	world.hypervisor.faults.clear();
	await pass(world, 15);
	expect(world.service.vmMetrics(id)).not.toBeNull();
	// Not even when it never answers.
	world.hypervisor.faults.hold("stats", { times: 10 });
	await pass(world, 60);
	expect(world.service.vmMetrics(id)).toBeNull();
	expect(nodeAgeMs()).toBeLessThanOrEqual(8_000);
});

test("the node's own figures are gone, too, when its host does not give them any more", async () => {
	await using world = await NodeWorld.open();
	let answers = true;
	const cpuTimes = async () => {
		if (!answers) throw new AppError("internal", "The host does not say how busy its CPUs are.");
		return { busy: 0, total: 1 };
	};
	const rest = { bootId: async () => "boot", bootedAtMs: async () => 0, load1: async () => 0 };
	await world.boot(null, { host: { ...rest, cpuTimes, memory: async () => ({ totalBytes: 2, usedBytes: 1 }) } });
	await pass(world, 10);
	expect(world.service.nodeMetrics()).not.toBeNull();
	answers = false;
	await pass(world, 30);
	expect(world.service.nodeMetrics()).toBeNull();
});
