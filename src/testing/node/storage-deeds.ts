/** What tests of volumes, images and pools do again and again. */
import { expect } from "bun:test";
import { clusterIds, fixtureId, fixturePool } from "../fixtures.ts";
import type { NodeWorld } from "./node-world.ts";

export const bytes = new Uint8Array(256 * 1024).map((_, at) => at % 251);
export const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
export const imageOf = (world: NodeWorld, id: string) => world.store.get("image", id);
export const streamOf = (...chunks: Uint8Array[]): ReadableStream<Uint8Array> =>
	new ReadableStream({
		start(controller) {
			for (const chunk of chunks) controller.enqueue(chunk);
			controller.close();
		},
	});
export async function readyImage(world: NodeWorld, poolId: string = clusterIds.pool): Promise<string> {
	world.pools.get(poolId)?.hostFiles.set("/images/a.raw", bytes);
	const { id } = await world.createImage({ poolId, source: { kind: "path", path: "/images/a.raw" } });
	await world.settle();
	expect(imageOf(world, id)?.phase).toBe("ready");
	return id;
}
export async function secondPool(world: NodeWorld): Promise<string> {
	const pool = fixturePool({ id: fixtureId(0x33), name: "second", config: { path: "/second" } });
	await world.propose({ kind: "poolCreate", pool, task: world.task("pool.create", pool.id) });
	await world.settle();
	expect(world.store.get("pool", pool.id)?.phase).toBe("ready");
	return pool.id;
}
export async function resize(world: NodeWorld, id: string, sizeBytes: number): Promise<string> {
	const task = world.task("volume.resize", id, { sizeBytes });
	await world.propose({ kind: "volumeResize", id, sizeBytes, task });
	await world.settle();
	return task.id;
}
export async function remove(
	world: NodeWorld,
	kind: "volume" | "image" | "pool" | "network",
	id: string,
): Promise<string> {
	const task = world.task(`${kind}.delete`, id);
	const kinds = { volume: "volumeDelete", image: "imageDelete", pool: "poolDelete", network: "networkDelete" } as const;
	await world.propose({ kind: kinds[kind], id, task });
	await world.settle();
	return task.id;
}
