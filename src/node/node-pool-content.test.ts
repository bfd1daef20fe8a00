/** What lies in a pool of this node, with the names that the state has for it. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { SparseBytes } from "../storage/fake-content.ts";
import { noSnapshots } from "../storage/fake-pool.ts";
import { clusterIds, fixtureId } from "../testing/fixtures.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { contentIn, otherPool, otherPoolId, vmWithDisk, worldWithTwoPools } from "../testing/node/volume-moving.ts";

const look = (world: NodeWorld, folder: string, poolId = clusterIds.pool) => world.service.poolContent(poolId, folder);

const volumeIn = (pool: NodeWorld["pool"], id: string) =>
	pool.volumes.set(id, {
		...{ format: "raw", content: new SparseBytes(2 * MiB), path: `${pool.folder}/volumes/${id}.raw`, adopted: false },
		...{ backing: [], ...noSnapshots() },
	});

test("what is there bears the names of the state; what has no record, and what others put there, is shown as well", async () => {
	await using world = await worldWithTwoPools();
	const { volumeId } = await vmWithDisk(world, { start: false });
	const stray = fixtureId(0x901);
	volumeIn(world.pool, stray);
	world.pool.strays.set("notes", { kind: "file", nameIsExact: true });
	const top = await look(world, "");
	expect(top).toMatchObject({ nodeId: clusterIds.node, folder: "", truncated: false });
	expect(top.items.map(({ name, belongsTo }) => [name, belongsTo?.kind])).toEqual([
		["images", "pool"],
		["uploads", "pool"],
		["volumes", "pool"],
		["notes", undefined],
	]);
	const { items } = await look(world, "volumes");
	expect(items.map(({ belongsTo }) => belongsTo)).toEqual(
		expect.arrayContaining([
			{ kind: "volume", id: volumeId, volumeId: null, name: world.volume(volumeId).name, recorded: true },
			{ kind: "volume", id: stray, volumeId: null, name: null, recorded: false },
		]),
	);
	await expect(look(world, "../..")).rejects.toMatchObject({ code: "invalid" });
	await expect(look(world, "nothing")).rejects.toMatchObject({ code: "not-found" });
});

test("what is left of a volume in a pool that it has left does not pass for the volume", async () => {
	await using world = await worldWithTwoPools();
	const { volumeId } = await vmWithDisk(world, { start: false });
	await look(world, "", otherPoolId);
	expect(contentIn(otherPool(world), volumeId)).toBeUndefined();
	volumeIn(otherPool(world), volumeId);
	const [left] = (await look(world, "volumes", otherPoolId)).items;
	expect(left?.belongsTo).toMatchObject({ id: volumeId, name: world.volume(volumeId).name, recorded: false });
	const [own] = (await look(world, "volumes")).items;
	expect(own?.belongsTo).toMatchObject({ id: volumeId, recorded: true });
});

test("a pool that cannot be looked into says why", async () => {
	await using world = await worldWithTwoPools();
	world.driver.failNext("listContent", new AppError("timeout", "The server does not answer."));
	await expect(look(world, "")).rejects.toMatchObject({ code: "timeout" });
	await expect(look(world, "", fixtureId(0x999))).rejects.toMatchObject({ code: "not-found" });
});

test("a look that hangs comes to an end, and is called off in the driver", async () => {
	await using world = await worldWithTwoPools();
	const release = world.driver.hold("listContent");
	const looking = look(world, "").catch((error) => error);
	await world.settle();
	await world.clock.advance(95_000);
	expect(await looking).toMatchObject({ code: "timeout" });
	release();
	expect((await look(world, "")).items).toHaveLength(3);
});
