/** What volumes take up follows what their guests write and trim. */
import { expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { intervals } from "./limits.ts";

const lists = (world: NodeWorld) =>
	present(world.drivers.get(clusterIds.pool), "the driver").calls.filter((call) => call === "listVolumes").length;

async function pass(world: NodeWorld, ms: number): Promise<void> {
	for (let passedMs = 0; passedMs <= ms; passedMs += intervals.poolCheckMs) {
		world.clock.advance(intervals.poolCheckMs);
		await world.settleLoops();
	}
}

async function running(
	world: NodeWorld,
): Promise<{ vmId: string; volumeId: string; write(from: number, to: number, byte?: number): void }> {
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}] });
	await world.settle();
	const volumeId = present(volumeIds[0], "a volume");
	const { content } = present(world.pool.volumes.get(volumeId), "its file");
	const write = (from: number, to: number, byte = 1) => content.write(from, new Uint8Array(to - from).fill(byte));
	return { vmId: id, volumeId, write };
}

test("of a VM that runs, after a while; a little is no news", async () => {
	await using world = await NodeWorld.open();
	const { volumeId, write } = await running(world);
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId).allocatedBytes).toBe(0);
	write(0, 20 * MiB);
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId).allocatedBytes).toBe(20 * MiB);
	const { generation } = world.volume(volumeId);
	write(20 * MiB, 20 * MiB + 8192);
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId)).toMatchObject({ allocatedBytes: 20 * MiB, generation });
});

test("what it wrote last is told when it is off, and then nobody asks any more", async () => {
	await using world = await NodeWorld.open();
	const { vmId, volumeId, write } = await running(world);
	await pass(world, intervals.volumeUsageMs);
	write(0, 8 * MiB);
	await world.act("vm.stop", vmId);
	await world.settle();
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId).allocatedBytes).toBe(8 * MiB);
	const before = lists(world);
	await pass(world, 3 * intervals.volumeUsageMs);
	expect(lists(world)).toBe(before);
});

test("a pool that cannot be listed is asked again later", async () => {
	await using world = await NodeWorld.open();
	const { volumeId, write } = await running(world);
	await pass(world, intervals.volumeUsageMs);
	write(0, 4 * MiB);
	const driver = present(world.drivers.get(clusterIds.pool), "the driver");
	driver.failNext("listVolumes", new AppError("storage", "Not now."));
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId)).toMatchObject({ allocatedBytes: 0, phase: "ready" });
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId).allocatedBytes).toBe(4 * MiB);
});

test("members that do not know it are not told", async () => {
	await using world = await NodeWorld.open();
	world.unknownToSome.add("volume-usage-1");
	const { volumeId, write } = await running(world);
	write(0, 4 * MiB);
	await pass(world, 2 * intervals.volumeUsageMs);
	expect(world.volume(volumeId).allocatedBytes).toBe(0);
	world.unknownToSome.delete("volume-usage-1");
	await pass(world, intervals.volumeUsageMs);
	expect(world.volume(volumeId).allocatedBytes).toBe(4 * MiB);
});
