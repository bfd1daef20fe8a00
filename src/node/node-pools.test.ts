/** A pool with parts on several nodes is deleted: each node gives its own folder free. */
import { expect, test } from "bun:test";
import { MiB } from "../lib/units.ts";
import { FakePool } from "../storage/fake-pool.ts";
import { fixtureId, fixturePool } from "../testing/fixtures.ts";
import { type Pair, pair } from "../testing/node/moving.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { readyImage, remove } from "../testing/node/storage-deeds.ts";
import type { NodeService } from "./service.ts";

const poolId = fixtureId(0x33);
const removals = (world: NodeWorld): number =>
	world.drivers.get(poolId)?.calls.filter((call) => call === "remove").length ?? 0;

async function poolOnBoth({ first, second }: Pair): Promise<void> {
	const nodeIds = [first.nodeId, second.nodeId];
	const pool = fixturePool({ id: poolId, name: "both", config: { path: "/both" }, nodeIds });
	await first.propose({ kind: "poolCreate", pool, task: first.task("pool.create", poolId) });
	await first.until(() => first.store.get("pool", poolId)?.nodes.length === 2, { stepMs: 1000, limitMs: 60_000 });
	await first.settle();
}

test("the other node takes its marks away, too", async () => {
	await using both = await pair();
	await poolOnBoth(both);
	await remove(both.first, "pool", poolId);
	await both.second.settleLoops();
	expect(both.first.store.get("pool", poolId)).toBeNull();
	expect([removals(both.first) > 0, removals(both.second) > 0]).toEqual([true, true]);
});

test("one that is away then does it when it is back, and once", async () => {
	await using both = await pair();
	const { first, second } = both;
	await poolOnBoth(both);
	second.kill();
	await remove(first, "pool", poolId);
	await second.boot();
	await second.settle();
	expect(removals(second)).toBe(1);
	await second.boot();
	await second.settle();
	expect(removals(second)).toBe(0);
});

test("a pool can be where one was that has just been deleted, before this node has left that one", async () => {
	await using both = await pair();
	const { first, second } = both;
	await poolOnBoth(both);
	const release = second.drivers.get(poolId)?.hold("remove") as () => void;
	let isTaken = true;
	await remove(first, "pool", poolId);
	const next = fixtureId(0x34);
	const pool = new FakePool("/both");
	pool.isTaken = () => isTaken;
	second.pools.set(next, pool);
	const service = second.node?.service as NodeService;
	const trial = service.probePool({
		...{ id: next, name: "next", type: "local", config: { path: "/both" }, credentials: null },
	});
	await second.until(() => second.drivers.get(next)?.calls.includes("probe") === true);
	isTaken = false;
	release();
	expect((await trial).totalBytes).toBe(pool.totalBytes);
	expect(removals(second)).toBe(1);
});

test("what the state does not know of another life of the node is left alone", async () => {
	await using both = await pair();
	const { first, second } = both;
	await poolOnBoth(both);
	second.kill();
	await remove(first, "pool", poolId);
	const path = `${second.dataDir}/pool-places.json`;
	const known = (await Bun.file(path).json()) as Record<string, object>;
	await Bun.write(path, JSON.stringify({ [poolId]: { ...known[poolId], clusterId: fixtureId(0x999) } }));
	await second.boot();
	await second.settle();
	expect(removals(second)).toBe(0);
});

test("a copy of an image that is deleted just before goes with it", async () => {
	await using both = await pair();
	const { first, second } = both;
	await poolOnBoth(both);
	const imageId = await readyImage(first, poolId);
	const source = { kind: "image", imageId, fullCopy: true } as const;
	const { id } = await second.createVolume({ poolId, source, sizeBytes: MiB, nodeId: second.nodeId });
	await first.settle();
	expect(second.pools.get(poolId)?.images.size).toBe(1);
	await remove(second, "volume", id);
	second.kill();
	await remove(first, "image", imageId);
	await remove(first, "pool", poolId);
	await second.boot();
	await second.settle();
	expect(second.pools.get(poolId)?.images.size).toBe(0);
	expect(removals(second)).toBe(1);
});
