/** A pool is deleted while its place cannot be reached: what stays is said, remembered, and taken away when that is possible. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { Pool } from "../model/storage.ts";
import { FakePool } from "../storage/fake-pool.ts";
import { fixtureId, fixtureNfs, fixturePool } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { remove } from "../testing/node/storage-deeds.ts";

const poolId = fixtureId(0x33);
const away = new AppError("timeout", "The server does not answer.");
const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const nas: Partial<Pool> = {
	type: "nfs",
	config: { ...fixtureNfs, server: "nas1", exportPath: "/export", folder: "vms" },
};

async function worldWithPool(changes: Partial<Pool> = nas): Promise<{ world: NodeWorld; there: FakePool }> {
	const world = await NodeWorld.open();
	await world.boot();
	const pool = fixturePool({ id: poolId, name: "nas", ...changes });
	const task = world.task("pool.create", poolId);
	await world.propose({ kind: "poolCreate", pool, task, sealedCredentials: "v1.sealed" });
	await world.settle();
	const there = world.pools.get(poolId);
	if (!there) throw new Error("the pool has not been opened");
	return { world, there };
}
/** Since the node's last start. */
const removals = (world: NodeWorld): number => world.life.calls.filter((call) => call === "storage.remove").length;
const record = async (world: NodeWorld): Promise<object> => {
	const file = Bun.file(`${world.dataDir}/pool-remains.json`);
	return (await file.exists()) ? ((await file.json()) as object) : {};
};
/** Lets the node's loops run for so long. */
async function pass(world: NodeWorld, ms: number, stepMs: number): Promise<void> {
	for (let passed = 0; passed < ms; passed += stepMs) {
		world.clock.advance(stepMs);
		await world.settleLoops();
	}
}

test("the task says what stays where, and how to remove it; the node removes it when it can", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	there.removalError = away;
	const task = world.taskOf(await remove(world, "pool", poolId));
	expect(world.store.get("pool", poolId)).toBeNull();
	expect(task).toMatchObject({ state: "succeeded", error: null });
	expect(task?.message).toBe(
		"The pool is deleted, but its place could not be cleared: The server does not answer. nas1:/export/vms is refused to other pools while the file limiquantix-pool.json is in it: remove it there if nothing of the pool is wanted. node-1 goes on trying to remove it, for 30 days.",
	);
	expect(Object.keys(await record(world))).toEqual([poolId]);
	const first = removals(world);
	await pass(world, 60 * minuteMs, 30_000);
	// Less and less often: after 1, 3, 7, 15, 31 minutes.
	expect(removals(world) - first).toBe(5);
	there.removalError = null;
	await pass(world, 40 * minuteMs, 30_000);
	expect(removals(world) - first).toBe(6);
	expect(await record(world)).toEqual({});
	await pass(world, 60 * minuteMs, minuteMs);
	expect(removals(world) - first).toBe(6);
});

test("a restart forgets nothing of it: neither the place nor the credentials", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	there.removalError = away;
	await remove(world, "pool", poolId);
	there.removalError = null;
	const opened: unknown[] = [];
	await world.boot(null, {
		credentials: async (...asked) => {
			opened.push(asked);
			return { cephKey: "AQDsecretsecretsecret==" };
		},
	});
	await world.settle();
	expect(opened).toContainEqual([poolId, "v1.sealed"]);
	expect([removals(world), await record(world)]).toEqual([1, {}]);
});

test("a node that ends when the pool is gone, and its task is not over, says it all the same", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	there.removalError = away;
	const task = world.task("pool.delete", poolId);
	await world.boot(null, {
		proposer: {
			propose: (body) => world.propose(body),
			async proposeSystem(body) {
				const applied = await world.propose(body);
				if (body.kind === "poolGone") world.kill();
				return world.life.around(body.kind, async () => applied);
			},
		},
	});
	await world.propose({ kind: "poolDelete", id: poolId, task });
	await world.until(() => world.life.dead);
	expect([world.store.get("pool", poolId), world.taskOf(task.id)?.state]).toEqual([null, "running"]);
	await world.boot();
	await world.settle();
	expect(world.taskOf(task.id)?.message).toStartWith("The pool is deleted, but its place could not be cleared");
});

test("a pool that is to be in that place is not kept waiting for the next time", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	there.removalError = away;
	await remove(world, "pool", poolId);
	const next = fixtureId(0x34);
	const taken = new FakePool("/nas");
	taken.isTaken = () => there.removalError !== null || removals(world) === before;
	let before = removals(world);
	world.pools.set(next, taken);
	const config = nas.config as Pool["config"];
	const trial = () =>
		world.service.probePool({ ...{ id: next, name: "next", type: "nfs", config, credentials: null } });
	await expect(trial()).rejects.toMatchObject({ code: "in-use" });
	there.removalError = null;
	before = removals(world);
	expect((await trial()).totalBytes).toBe(taken.totalBytes);
	expect(await record(world)).toEqual({});
});

test("what a pool has left in a place that is to be overwritten goes before that", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	there.removalError = away;
	await remove(world, "pool", poolId);
	there.removalError = null;
	const before = world.life.calls.length;
	const next = fixturePool({ id: fixtureId(0x34), name: "next", ...nas });
	const task = world.task("pool.create", next.id, { overwrite: ["LVM2_member of group lqx"] });
	await world.propose({ kind: "poolCreate", pool: next, task });
	await world.settle();
	expect(world.taskOf(task.id)?.state).toBe("succeeded");
	expect(await record(world)).toEqual({});
	const calls = world.life.calls.slice(before).filter((call) => /^storage\.(remove|activate)$/.test(call));
	expect(calls.slice(0, 2)).toEqual(["storage.remove", "storage.activate"]);
});

test("after thirty days it is tried no longer, and in another cluster not at all", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	there.removalError = away;
	await remove(world, "pool", poolId);
	const path = `${world.dataDir}/pool-remains.json`;
	const known = (await record(world)) as Record<string, object>;
	world.kill();
	await Bun.write(path, JSON.stringify({ [poolId]: { ...known[poolId], clusterId: fixtureId(0x999) } }));
	await world.boot();
	await world.settle();
	expect([removals(world), await record(world)]).toEqual([0, {}]);
	world.kill();
	const since = new Date(world.clock.nowMs() - 31 * dayMs).toISOString();
	await Bun.write(path, JSON.stringify({ [poolId]: { ...known[poolId], since } }));
	await world.boot();
	await world.settle();
	expect([removals(world), await record(world)]).toEqual([1, {}]);
});

test("the folder of a local pool is told as well; each node gives its own free", async () => {
	const { world, there } = await worldWithPool({ config: { path: "/second" } });
	await using _world = world;
	there.removalError = away;
	const task = world.taskOf(await remove(world, "pool", poolId));
	expect(task?.message).toContain("/second is refused to other pools while the file limiquantix-pool.json is in it");
	expect(await record(world)).toEqual({});
	there.removalError = null;
	const before = removals(world);
	await pass(world, minuteMs, 30_000);
	expect(removals(world)).toBeGreaterThan(before);
});

test("a pool that overwrites what was deleted is not let go of for its deletion, and stays", async () => {
	const { world, there } = await worldWithPool();
	await using _world = world;
	const before = world.life.calls.length;
	there.removalError = new AppError("in-use", "It is being overwritten.", { context: { isAtWork: true } });
	const task = world.taskOf(await remove(world, "pool", poolId));
	expect(task).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(world.store.get("pool", poolId)).not.toBeNull();
	expect(world.life.calls.slice(before)).not.toContain("storage.deactivate");
	expect(await record(world)).toEqual({});
	there.removalError = null;
	await remove(world, "pool", poolId);
	expect(world.store.get("pool", poolId)).toBeNull();
});
