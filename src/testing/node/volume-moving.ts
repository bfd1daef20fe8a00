/** For tests of volumes that move between pools: a node with two pools, and where everything of a volume has to be. */
import { expect } from "bun:test";
import { MiB } from "../../lib/units.ts";
import type { Volume } from "../../model/storage.ts";
import type { FakePool } from "../../storage/fake.ts";
import { clusterIds, fixtureId, fixturePool, fixtureTask } from "../fixtures.ts";
import { NodeWorld } from "./node-world.ts";
import { bytes } from "./storage-deeds.ts";

export const otherPoolId = fixtureId(0x31);

export async function worldWithTwoPools(): Promise<NodeWorld> {
	const world = await NodeWorld.open();
	const pool = fixturePool({ id: otherPoolId, name: "other", config: { path: "/other" }, nodeIds: [clusterIds.node] });
	const task = fixtureTask("pool.create", { kind: "pool", id: pool.id }, { id: world.ids.newId() });
	await world.propose({ kind: "poolCreate", pool, task });
	await world.boot();
	await world.settle();
	return world;
}

export const otherPool = (world: NodeWorld): FakePool => {
	const pool = world.pools.get(otherPoolId);
	if (!pool) throw new Error("the other pool has not been opened");
	return pool;
};

/** With something on its disk. */
export async function vmWithDisk(world: NodeWorld, options: { start: boolean; format?: Volume["format"] }) {
	const { format = "raw", start } = options;
	const { id, volumeIds } = await world.createVm({ volumes: [{ format, sizeBytes: 2 * MiB }], start });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	world.driver.writeContent(volumeId, 4096, bytes);
	return { id, volumeId };
}

export async function askToMoveVolume(world: NodeWorld, volumeId: string, format: Volume["format"] = "raw") {
	const task = world.task("volume.move", volumeId);
	const to = { poolId: otherPoolId, nodeId: clusterIds.node, format };
	await world.propose({ kind: "volumeMove", id: volumeId, ...to, task });
	return task.id;
}

export const contentIn = (pool: FakePool, volumeId: string) => pool.volumes.get(volumeId)?.content.sha256();

/** In one of the pools whole, in the other one nothing of it; as the state says, and as QEMU has it. */
export async function expectIn(
	world: NodeWorld,
	where: "first" | "other",
	volumeId: string,
	content: string | undefined,
) {
	const [here, gone] = where === "first" ? [world.pool, otherPool(world)] : [otherPool(world), world.pool];
	const poolId = where === "first" ? clusterIds.pool : otherPoolId;
	expect(world.volume(volumeId)).toMatchObject({ poolId, phase: "ready" });
	expect(contentIn(here, volumeId)).toBe(content);
	expect([...gone.volumes.keys(), ...gone.uploads.keys(), ...gone.images.keys()]).toEqual([]);
	expect(world.unfinished()).toEqual([]);
	const vmId = world.volume(volumeId).vmId;
	const domain = vmId === null ? null : await world.hypervisor.getDomain(vmId);
	const runs = domain?.powerState === "running";
	expect([...here.open]).toEqual(runs ? [volumeId] : []);
	expect([...gone.open]).toEqual([]);
	if (!runs || vmId === null) return;
	expect(await world.hypervisor.blockJobs(vmId)).toEqual([]);
	const [disk] = await world.hypervisor.diskLayers(vmId);
	expect(disk?.layers).toEqual([here.volumes.get(volumeId)?.path ?? "none"]);
}
