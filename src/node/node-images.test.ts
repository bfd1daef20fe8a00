/** Images, pools and networks on a node whose surroundings are simulated. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { clusterIds, fixtureId, fixtureNetwork } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { bytes, imageOf, readyImage, remove, secondPool, sha256, streamOf } from "../testing/node/storage-deeds.ts";

test("image: from a path, a URL and a volume", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await readyImage(world);
	expect(imageOf(world, id)).toMatchObject({
		...{ sha256, fileSizeBytes: bytes.length, virtualSizeBytes: bytes.length, receivedBytes: bytes.length },
	});
	world.pool.hostFiles.set("https://images.example/b.raw", bytes);
	const url = await world.createImage({ source: { kind: "url", url: "https://images.example/b.raw" } });
	const volume = await world.createVolume({ format: "raw", sizeBytes: MiB });
	await world.settle();
	const made = await world.createImage({ source: { kind: "volume", volumeId: volume.id } });
	await world.settle();
	expect(imageOf(world, url.id)).toMatchObject({ phase: "ready", sha256 });
	expect(imageOf(world, made.id)).toMatchObject({ phase: "ready", virtualSizeBytes: MiB });
	expect(await world.problems()).toEqual([]);
});

test("image: a wrong checksum, a missing file: an error that leaves nothing in the pool", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	world.pool.hostFiles.set("/images/a.raw", bytes);
	const source = { kind: "path", path: "/images/a.raw" } as const;
	const wrong = await world.createImage({ source, expectedSha256: "0".repeat(64) });
	const missing = await world.createImage({ source: { kind: "path", path: "/nowhere" } });
	await world.settle();
	expect(imageOf(world, wrong.id)).toMatchObject({ phase: "error", error: { code: "invalid" } });
	expect(imageOf(world, missing.id)).toMatchObject({ phase: "error", error: { code: "invalid" } });
	expect(world.pool.uploads.size).toBe(0);
	await remove(world, "image", wrong.id);
	await remove(world, "image", missing.id);
	expect(await world.problems()).toEqual([]);
});

test("image: an upload in parts, over a restart of the daemon", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId } = await world.createImage({ source: { kind: "upload" }, fileSizeBytes: bytes.length });
	await world.until(() => world.taskOf(taskId).message === "Waits for the upload");
	const first = await world.service.writeImageContent(id, 0, streamOf(bytes.slice(0, 1000), bytes.slice(1000, 5000)));
	expect(first).toEqual({ receivedBytes: 5000 });
	expect(imageOf(world, id)).toMatchObject({ phase: "uploading", receivedBytes: 5000 });
	expect(await world.service.imageUploadOffset(id)).toBe(5000);
	await expect(world.service.writeImageContent(id, 4000, streamOf(bytes))).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("5000") },
	});
	await world.boot();
	expect(await world.service.imageUploadOffset(id)).toBe(5000);
	await world.service.writeImageContent(id, 5000, streamOf(bytes.slice(5000)));
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(imageOf(world, id)).toMatchObject({ phase: "ready", sha256 });
	await expect(world.service.writeImageContent(id, 0, streamOf(bytes))).rejects.toMatchObject({ code: "wrong-state" });
});

test("image: an upload that breaks off keeps what came; two at once are refused", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id } = await world.createImage({ source: { kind: "upload" }, fileSizeBytes: bytes.length });
	let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
	const body = new ReadableStream<Uint8Array>({
		start(controller) {
			feed = controller;
		},
	});
	const writing = world.service.writeImageContent(id, 0, body);
	feed?.enqueue(bytes.slice(0, 3000));
	await world.until(() => (world.pool.uploads.get(id)?.content.length ?? 0) === 3000);
	await expect(world.service.writeImageContent(id, 3000, streamOf(bytes))).rejects.toMatchObject({
		...{ code: "wrong-state", message: "Another request is uploading this image right now." },
	});
	feed?.error(new Error("connection reset"));
	await expect(writing).rejects.toThrow("connection reset");
	expect(await world.service.imageUploadOffset(id)).toBe(3000);
	// A sender that says nothing more is not waited for.
	const silent = world.service.writeImageContent(id, 3000, new ReadableStream<Uint8Array>());
	const failed = silent.catch((error: unknown) => error);
	await world.settleLoops();
	world.clock.advance(61_000);
	expect(await failed).toMatchObject({ code: "timeout" });
	// More than was announced.
	await expect(world.service.writeImageContent(id, 3000, streamOf(bytes))).rejects.toMatchObject({ code: "invalid" });
	await world.service.writeImageContent(id, 3000, streamOf(bytes.slice(3000)));
	await world.settle();
	expect(imageOf(world, id)?.phase).toBe("ready");
});

test("image: an upload that nobody goes on with is given up after a day", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId } = await world.createImage({ source: { kind: "upload" }, fileSizeBytes: bytes.length });
	await world.until(() => world.taskOf(taskId).message === "Waits for the upload");
	await world.service.writeImageContent(id, 0, streamOf(bytes.slice(0, 100)));
	await world.settle({ stepMs: 3_600_000, limitMs: 26 * 3_600_000 });
	expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "timeout" } });
	expect(world.pool.uploads.size).toBe(0);
});

test("image: deleting one that is being uploaded ends the upload", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId } = await world.createImage({ source: { kind: "upload" }, fileSizeBytes: bytes.length });
	await world.until(() => world.taskOf(taskId).message === "Waits for the upload");
	await world.service.writeImageContent(id, 0, streamOf(bytes.slice(0, 100)));
	await remove(world, "image", id);
	expect(imageOf(world, id)).toBeNull();
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.pool.uploads.size).toBe(0);
});

test("image: the driver refuses to delete one that is shared; it is ready as before", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await readyImage(world);
	world.driver.failNext("deleteImage", new AppError("in-use", "Volumes are copies of it."));
	const task = await remove(world, "image", id);
	expect(world.taskOf(task)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(imageOf(world, id)).toMatchObject({ phase: "ready", error: null });
	await remove(world, "image", id);
	expect(imageOf(world, id)).toBeNull();
});

test("pool: created, checked, deleted; a folder that cannot be used is an error with the reason", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await secondPool(world);
	expect(world.store.get("pool", id)?.nodes[0]).toMatchObject({
		...{ health: "healthy", reason: null, capabilities: { images: true } },
	});
	const driver = world.drivers.get(id);
	driver?.failNext("check", new AppError("storage", "The disk is gone."));
	await world.until(() => world.store.get("pool", id)?.phase === "error", { stepMs: 5_000, limitMs: 20_000 });
	expect(world.store.get("pool", id)?.nodes[0]).toMatchObject({ health: "error", reason: "The disk is gone." });
	await world.until(() => world.store.get("pool", id)?.phase === "ready", { stepMs: 5_000, limitMs: 20_000 });
	await remove(world, "pool", id);
	expect(world.store.get("pool", id)).toBeNull();
	expect(driver?.calls.slice(-2)).toEqual(["remove", "deactivate"]);
});

test("pool: one whose marks cannot be taken off is deleted all the same", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await secondPool(world);
	world.drivers.get(id)?.failNext("remove", new AppError("storage", "The disk is gone."));
	await remove(world, "pool", id);
	expect(world.store.get("pool", id)).toBeNull();
	expect(world.drivers.get(id)?.calls.slice(-2)).toEqual(["remove", "deactivate"]);
});

test("pool: a check that finds nothing new writes nothing", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	const index = world.store.appliedIndex;
	for (let round = 0; round < 12; round++) {
		world.clock.advance(10_000);
		await world.settleLoops();
	}
	expect(world.driver.calls.filter((call) => call === "check").length).toBeGreaterThan(10);
	expect(world.store.appliedIndex).toBe(index);
	// A little more is used: told after a minute. Much more: at once.
	world.pool.totalBytes = 100 * MiB;
	world.clock.advance(10_000);
	await world.settleLoops();
	const usage = () => world.store.get("pool", clusterIds.pool)?.nodes[0]?.usedBytes;
	const { id } = await world.createVolume();
	await world.settle();
	world.driver.writeContent(id, 0, new Uint8Array(512 * 1024).fill(1));
	world.clock.advance(10_000);
	await world.settleLoops();
	expect(usage()).toBe(0);
	await world.until(() => usage() === 512 * 1024, { stepMs: 10_000, limitMs: 80_000 });
	world.driver.writeContent(id, MiB, new Uint8Array(4 * MiB).fill(1));
	world.clock.advance(10_000);
	await world.settleLoops();
	expect(usage()).toBe(4.5 * MiB);
});

test("network: made at start, created, deleted", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	expect(world.store.get("network", clusterIds.network)?.nodes).toMatchObject([
		{ nodeId: clusterIds.node, health: "healthy", error: null },
	]);
	const config = { kind: "bridge", bridge: "br9" } as const;
	const network = fixtureNetwork({ id: fixtureId(0x44), name: "second", config });
	const task = world.task("network.create", network.id);
	await world.propose({ kind: "networkCreate", network, task });
	await world.settle();
	expect(world.taskOf(task.id)).toMatchObject({ state: "failed", error: { code: "network" } });
	world.networks.bridges.add("br9");
	const { id } = await world.createVm({
		spec: { nics: [{ id: "nic-0", networkId: network.id, mac: "52:54:00:00:00:09", model: "virtio", linkUp: true }] },
	});
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect(world.store.get("network", network.id)?.nodes[0]).toMatchObject({ health: "healthy", bridge: "br9" });
	await expect(remove(world, "network", network.id)).rejects.toMatchObject({ code: "in-use" });
	await world.deleteVm(id);
	await world.settle();
	await remove(world, "network", network.id);
	expect(world.store.get("network", network.id)).toBeNull();
	expect(world.networks.bridges.has("br9")).toBe(true);
	await remove(world, "network", clusterIds.network);
	expect(world.networks.running.size).toBe(0);
});

test("the state does not take writes for a while: work goes on when it does", async () => {
	await using world = await NodeWorld.open();
	let refuse = 3;
	await world.boot(null, {
		proposer: {
			propose: () => Promise.reject(new Error("not used")),
			proposeSystem: (body) => {
				if (refuse > 0) {
					refuse -= 1;
					return Promise.reject(new AppError("unavailable", "There is no leader."));
				}
				return world.propose(body);
			},
		},
	});
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle({ stepMs: 1_000, limitMs: 60_000 });
	expect(refuse).toBe(0);
	expect(world.vm(id).status.powerState).toBe("running");
});
