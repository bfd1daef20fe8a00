/** Copies of images into other pools: here, from another node, called off, cut short, refused; the source stays meanwhile. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { fixtureId, fixturePool } from "../testing/fixtures.ts";
import { pair } from "../testing/node/moving.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { bytes, imageOf, readyImage, remove, secondPool, sha256 } from "../testing/node/storage-deeds.ts";

const copyOf = (imageId: string, poolId: string, more: object = {}) => ({
	...{ poolId, format: "raw" as const, source: { kind: "image" as const, imageId } },
	...more,
});

async function worldWithImage() {
	const world = await NodeWorld.open();
	await world.boot();
	const poolId = await secondPool(world);
	const imageId = await readyImage(world);
	const there = world.pools.get(poolId);
	if (!there) throw new Error("the second pool has not been opened");
	return { world, poolId, imageId, there };
}

test("it is the same file, under the checksum of its source, and an image of its own", async () => {
	const { world, poolId, imageId, there } = await worldWithImage();
	await using _world = world;
	const { id, taskId } = await world.createImage(copyOf(imageId, poolId, { expectedSha256: sha256 }));
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(imageOf(world, id)).toMatchObject({ phase: "ready", poolId, sha256, fileSizeBytes: bytes.length });
	expect(there.images.get(id)?.content.sha256()).toBe(sha256);
	expect(there.uploads.size).toBe(0);
	await remove(world, "image", imageId);
	const volume = await world.createVolume({
		poolId,
		sizeBytes: MiB,
		source: { kind: "image", imageId: id, fullCopy: false },
	});
	await world.settle();
	expect(world.volume(volume.id).phase).toBe("ready");
	expect(await world.problems()).toEqual([]);
});

test("one that is another file than its record says, or that arrives otherwise than it was read, is refused and leaves nothing", async () => {
	const { world, poolId, imageId, there } = await worldWithImage();
	await using _world = world;
	world.pool.images.get(imageId)?.content.write(0, new Uint8Array([7, 7, 7]));
	const rotten = await world.createImage(copyOf(imageId, poolId, { expectedSha256: sha256 }));
	await world.settle();
	expect(imageOf(world, rotten.id)).toMatchObject({ phase: "error", error: { code: "invalid" } });
	// Where the record says nothing of the bytes that are stored, what was read is what has to arrive.
	const other = world.drivers.get(poolId);
	const open = other?.openUpload.bind(other);
	if (!other || !open) throw new Error("the second pool has not been opened");
	other.openUpload = async (...args) => {
		const file = await open(...args);
		return { receivedBytes: 0, close: () => file.close(), write: (part) => file.write(part.map((byte) => byte ^ 1)) };
	};
	const broken = await world.createImage(copyOf(imageId, poolId));
	await world.settle();
	expect(imageOf(world, broken.id)).toMatchObject({ phase: "error", error: { code: "invalid" } });
	expect([there.images.size, there.uploads.size]).toEqual([0, 0]);
});

test("its source cannot be deleted while it is made, and can afterwards", async () => {
	const { world, poolId, imageId } = await worldWithImage();
	await using _world = world;
	const release = world.drivers.get(poolId)?.hold("finishImage");
	const { id } = await world.createImage(copyOf(imageId, poolId));
	await world.until(() => imageOf(world, id)?.phase === "importing" && world.driver.calls.includes("openImage"));
	const task = world.task("image.delete", imageId);
	await expect(world.propose({ kind: "imageDelete", id: imageId, task })).rejects.toMatchObject({ code: "in-use" });
	release?.();
	await world.settle();
	expect(imageOf(world, id)?.phase).toBe("ready");
	await remove(world, "image", imageId);
	expect(imageOf(world, imageId)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("one that is on its way out is not copied any more", async () => {
	const { world, poolId, imageId } = await worldWithImage();
	await using _world = world;
	const release = world.driver.hold("deleteImage");
	const task = world.task("image.delete", imageId);
	await world.propose({ kind: "imageDelete", id: imageId, task });
	await expect(world.createImage(copyOf(imageId, poolId))).rejects.toMatchObject({ code: "wrong-state" });
	release();
	await world.settle();
});

test("called off, and without room, it leaves nothing; cut short, it is made at the next start", async () => {
	const { world, poolId, imageId, there } = await worldWithImage();
	await using _world = world;
	const release = world.drivers.get(poolId)?.hold("finishImage");
	const canceled = await world.createImage(copyOf(imageId, poolId));
	await world.until(() => there.uploads.get(canceled.id)?.content.length === bytes.length);
	expect(world.taskOf(canceled.taskId)).toMatchObject({ state: "running", cancelable: true });
	await world.propose({ kind: "taskCancel", id: canceled.taskId });
	await world.settle();
	release?.();
	expect(world.taskOf(canceled.taskId).state).toBe("canceled");
	expect([there.images.size, there.uploads.size]).toEqual([0, 0]);

	there.totalBytes = 1000;
	const refused = await world.createImage(copyOf(imageId, poolId));
	await world.settle();
	expect(imageOf(world, refused.id)).toMatchObject({ phase: "error", error: { code: "no-space" } });
	there.totalBytes = 64 * MiB;

	world.drivers.get(poolId)?.hold("finishImage");
	const cut = await world.createImage(copyOf(imageId, poolId));
	await world.until(() => there.uploads.get(cut.id)?.content.length === bytes.length);
	world.kill();
	await world.boot();
	await world.settle();
	expect(imageOf(world, cut.id)).toMatchObject({ phase: "ready", sha256 });
	expect([there.images.size, there.uploads.size]).toEqual([1, 0]);
	expect(await world.problems()).toEqual([]);
});

test("it comes from the node that has it, which gives it for this alone", async () => {
	await using both = await pair();
	const { first, second } = both;
	const pool = fixturePool({
		...{ id: fixtureId(0x77), name: "far", config: { path: "/far" }, nodeIds: [second.nodeId] },
	});
	await second.propose({ kind: "poolCreate", pool, task: second.task("pool.create", pool.id) });
	await first.settle();
	const own = fixturePool({ id: fixtureId(0x78), name: "own", config: { path: "/own" }, nodeIds: [first.nodeId] });
	await first.propose({ kind: "poolCreate", pool: own, task: first.task("pool.create", own.id) });
	await first.settle();
	const imageId = await readyImage(first, own.id);
	const ask = () => first.node?.sources.image(second.nodeId, imageId) ?? Promise.reject(new Error("no node"));
	await expect(ask()).rejects.toMatchObject({ code: "forbidden" });
	const there = { nodeId: second.nodeId, expectedSha256: sha256 };
	const { id, taskId } = await second.createImage(copyOf(imageId, pool.id, there));
	await first.settle();
	expect(first.taskOf(taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(imageOf(first, id)).toMatchObject({ phase: "ready", nodeId: second.nodeId, sha256 });
	expect(second.pools.get(pool.id)?.images.get(id)?.sha256).toBe(sha256);
	await expect(ask()).rejects.toBeInstanceOf(AppError);
});
