/** A pool's check looks at its volumes: what says `ready` has its file. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { intervals } from "./limits.ts";

async function nextCheck(world: NodeWorld): Promise<void> {
	world.clock.advance(intervals.poolCheckMs + 1);
	await world.settleLoops();
}

test("a file that goes makes its volume an error; back, the volume is ready and its VM starts", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const vm = await world.createVm({ volumes: [{}, {}], start: false });
	await world.settle();
	const [lost = "", kept = ""] = vm.volumeIds;
	const file = world.pool.volumes.get(lost);
	if (!file) throw new Error("the volume was made");
	world.pool.volumes.delete(lost);
	await nextCheck(world);
	expect(world.volume(lost)).toMatchObject({ phase: "error", error: { code: "storage" } });
	expect(world.volume(kept)).toMatchObject({ phase: "ready", error: null });
	const { appliedIndex } = world.store;
	await nextCheck(world);
	expect(world.store.appliedIndex).toBe(appliedIndex);
	const failed = await world.act("vm.start", vm.id);
	await world.settle();
	expect(world.taskOf(failed).state).toBe("failed");
	expect(world.pool.volumes.has(lost)).toBe(false);
	world.pool.volumes.set(lost, file);
	await nextCheck(world);
	expect(world.volume(lost)).toMatchObject({ phase: "ready", error: null });
	const started = await world.act("vm.start", vm.id);
	await world.settle();
	expect(world.taskOf(started).state).toBe("succeeded");
	expect(await world.problems()).toEqual([]);
});

test("found at the start of the node as well", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVolume();
	await world.settle();
	world.kill();
	world.pool.volumes.delete(id);
	await world.boot();
	await world.settleLoops();
	expect(world.volume(id).phase).toBe("error");
});

test("says nothing of volumes of a pool that is away, or that were never made", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createVolume();
	await world.settle();
	world.driver.failNext("createVolume", new AppError("storage", "no"));
	const { id: unmade } = await world.createVolume();
	await world.settle();
	world.pool.volumes.delete(id);
	world.driver.failNext("check", new AppError("storage", "The disk is not mounted."));
	await nextCheck(world);
	expect(world.store.all("pool")[0]?.phase).toBe("error");
	expect(world.volume(id).phase).toBe("ready");
	await nextCheck(world);
	expect(world.store.all("pool")[0]?.phase).toBe("ready");
	expect(world.volume(id).phase).toBe("error");
	expect(world.volume(unmade)).toMatchObject({ phase: "error", error: { message: "no" } });
});
