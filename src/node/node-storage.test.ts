/** Volumes, images, pools and networks on a node whose surroundings are simulated. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { clusterIds, fixtureId, fixtureNetwork, fixturePool } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";

const bytes = new Uint8Array(256 * 1024).map((_, at) => at % 251);
const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const image = (world: NodeWorld, id: string) => world.store.get("image", id);
const streamOf = (...chunks: Uint8Array[]): ReadableStream<Uint8Array> =>
	new ReadableStream({
		start(controller) {
			for (const chunk of chunks) controller.enqueue(chunk);
			controller.close();
		},
	});
async function ready(world: NodeWorld): Promise<string> {
	world.pool.hostFiles.set("/images/a.raw", bytes);
	const { id } = await world.createImage({ source: { kind: "path", path: "/images/a.raw" } });
	await world.settle();
	expect(image(world, id)?.phase).toBe("ready");
	return id;
}
async function secondPool(world: NodeWorld): Promise<string> {
	const pool = fixturePool({ id: fixtureId(0x33), name: "second", config: { path: "/second" } });
	await world.propose({ kind: "poolCreate", pool, task: world.task("pool.create", pool.id) });
	await world.settle();
	expect(world.store.get("pool", pool.id)?.phase).toBe("ready");
	return pool.id;
}
async function resize(world: NodeWorld, id: string, sizeBytes: number): Promise<string> {
	const task = world.task("volume.resize", id, { sizeBytes });
	await world.propose({ kind: "volumeResize", id, sizeBytes, task });
	await world.settle();
	return task.id;
}
async function remove(world: NodeWorld, kind: "volume" | "image" | "pool" | "network", id: string): Promise<string> {
	const task = world.task(`${kind}.delete`, id);
	const kinds = { volume: "volumeDelete", image: "imageDelete", pool: "poolDelete", network: "networkDelete" } as const;
	await world.propose({ kind: kinds[kind], id, task });
	await world.settle();
	return task.id;
}

test("volume: create, resize, delete", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, taskId } = await world.createVolume();
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: 64 * MiB, allocatedBytes: 0 });
	await resize(world, id, 100 * MiB);
	expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: 100 * MiB });
	await remove(world, "volume", id);
	expect(world.store.get("volume", id)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("volume: a failed create is an error that can be deleted; a failed resize leaves it as it was", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.driver.failNext("createVolume", new AppError("storage", "No."));
	const failed = await world.createVolume();
	await world.settle();
	expect(world.volume(failed.id)).toMatchObject({ phase: "error", error: { code: "storage", message: "No." } });
	expect(world.taskOf(failed.taskId).state).toBe("failed");
	await remove(world, "volume", failed.id);
	expect(world.store.count("volume")).toBe(0);

	const { id } = await world.createVolume();
	await world.settle();
	world.driver.failNext("resizeVolume", new AppError("no-space", "Full."));
	const task = await resize(world, id, 128 * MiB);
	expect(world.taskOf(task)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect(world.volume(id)).toMatchObject({ phase: "ready", sizeBytes: 64 * MiB });
	expect(await world.problems()).toEqual([]);
});

test("volume: the disk of a running VM grows through QEMU", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}] });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	// What QEMU does to the file.
	const grow = world.hypervisor.resizeDisk.bind(world.hypervisor);
	world.hypervisor.resizeDisk = async (vmId, diskId, sizeBytes) => {
		await grow(vmId, diskId, sizeBytes);
		world.pool.volumes.get(volumeId)?.content.grow(sizeBytes);
	};
	const task = await resize(world, volumeId, 256 * MiB);
	expect(world.taskOf(task).state).toBe("succeeded");
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(256 * MiB);
	expect(world.driver.calls).not.toContain("resizeVolume");
	expect(world.volume(volumeId)).toMatchObject({ phase: "ready", sizeBytes: 256 * MiB });
});

test("volume: a resize waits for what happens to the VM", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	const held = world.hypervisor.faults.hold("start");
	await world.act("vm.start", id);
	await held.reached;
	const volumeId = volumeIds[0] ?? "";
	const task = world.task("volume.resize", volumeId, { sizeBytes: 128 * MiB });
	await world.propose({ kind: "volumeResize", id: volumeId, sizeBytes: 128 * MiB, task });
	await world.settleLoops();
	expect(world.hypervisor.calls.some((call) => call.startsWith("resizeDisk"))).toBe(false);
	held.release();
	await world.settle();
	expect(world.hypervisor.diskSize(id, "disk-0")).toBe(128 * MiB);
});

test("volume: copies of images and volumes, whole and copy-on-write", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await ready(world);
	const cow = await world.createVolume({ source: { kind: "image", imageId, fullCopy: false } });
	const full = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.settle();
	const clone = await world.createVolume({ source: { kind: "clone", volumeId: full.id, fullCopy: true } });
	await world.settle();
	for (const { id } of [cow, full, clone]) expect(world.volume(id).phase).toBe("ready");
	expect(world.pool.volumes.get(cow.id)?.backing).toHaveLength(1);
	expect(world.pool.volumes.get(clone.id)?.content.read(0, 4)).toEqual(bytes.slice(0, 4));
});

test("volume: a copy of an image that is still being imported waits for it", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	await world.settle();
	world.pool.hostFiles.set("/images/a.raw", bytes);
	const release = world.driver.hold("importFile");
	const made = await world.createImage({ source: { kind: "path", path: "/images/a.raw" } });
	const { id, taskId } = await world.createVolume({ source: { kind: "image", imageId: made.id, fullCopy: false } });
	await world.until(() => world.taskOf(taskId).message?.startsWith("Waits for image") ?? false);
	release();
	await world.settle();
	expect(world.volume(id).phase).toBe("ready");
});

test("volume: a disk in use is not copied; a stopped VM is kept still while it is", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	const volumeId = volumeIds[0] ?? "";
	const release = world.driver.hold("createVolume");
	const copy = await world.createVolume({ source: { kind: "clone", volumeId, fullCopy: true } });
	await world.until(() => world.driver.calls.filter((call) => call === "createVolume").length === 2);
	const start = await world.act("vm.start", id);
	await world.settleLoops();
	expect(world.taskOf(start).state).toBe("pending");
	expect(world.taskOf(copy.taskId).cancelable).toBe(true);
	release();
	await world.settle();
	expect(world.volume(copy.id).phase).toBe("ready");
	expect(world.vm(id).status.powerState).toBe("running");
	await expect(world.createVolume({ source: { kind: "clone", volumeId, fullCopy: true } })).rejects.toMatchObject({
		code: "wrong-state",
	});
});

test("volume: a copy is canceled; the record says so and can be deleted", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await ready(world);
	world.driver.hold("createVolume");
	const { id, taskId } = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.propose({ kind: "taskCancel", id: taskId });
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.volume(id)).toMatchObject({ phase: "error", error: { code: "canceled" } });
	expect(await world.problems()).toEqual([]);
	await remove(world, "volume", id);
	expect(world.store.get("volume", id)).toBeNull();
});

test("volume: deleting one that is being made ends the making", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await ready(world);
	world.driver.hold("createVolume");
	const { id, taskId } = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.until(() => world.driver.calls.includes("createVolume"));
	const task = await remove(world, "volume", id);
	expect(world.taskOf(task).state).toBe("succeeded");
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.store.get("volume", id)).toBeNull();
	expect(await world.problems()).toEqual([]);
});

test("volume: at most two copies at once", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await ready(world);
	const release = world.driver.hold("createVolume");
	const before = world.driver.calls.filter((call) => call === "createVolume").length;
	for (let count = 0; count < 5; count++)
		await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	const light = await world.createVolume();
	await world.settleLoops();
	// Two copies, and the empty volume, which needs no turn.
	expect(world.driver.calls.filter((call) => call === "createVolume").length - before).toBe(3);
	release();
	await world.settle();
	expect(world.volume(light.id).phase).toBe("ready");
	expect(world.store.count("volume", { phase: "ready" })).toBe(6);
});

test("volume: a copy without progress is given up", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const imageId = await ready(world);
	world.driver.hold("createVolume");
	const { taskId } = await world.createVolume({ source: { kind: "image", imageId, fullCopy: true } });
	await world.until(() => world.driver.calls.includes("createVolume"));
	await world.settle({ stepMs: 60_000, limitMs: 1_200_000 });
	expect(world.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "timeout" } });
});

test("volume: content that is lost is not replaced by an empty disk", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { id, volumeIds } = await world.createVm({ volumes: [{}], start: false });
	await world.settle();
	world.pool.volumes.delete(volumeIds[0] ?? "");
	const start = await world.act("vm.start", id);
	await world.settle();
	expect(world.taskOf(start).state).toBe("failed");
	await world.propose({ kind: "volumeStatus", id: volumeIds[0] ?? "", phase: "error" });
	const again = await world.act("vm.start", id);
	await world.settle();
	expect(world.taskOf(again)).toMatchObject({ state: "failed", error: { code: "storage" } });
	expect(world.pool.volumes.size).toBe(0);
});

test("volume: a whole copy into another pool; nothing else is left there", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const poolId = await secondPool(world);
	const imageId = await ready(world);
	const first = await world.createVolume({ poolId, format: "raw", source: { kind: "image", imageId, fullCopy: true } });
	await world.settle();
	expect(world.taskOf(first.taskId)).toMatchObject({ state: "succeeded", error: null });
	const back = await world.createVolume({
		format: "raw",
		source: { kind: "clone", volumeId: first.id, fullCopy: true },
	});
	await world.settle();
	expect(world.taskOf(back.taskId)).toMatchObject({ state: "succeeded", error: null });
	expect(world.pools.get(poolId)?.volumes.get(first.id)?.content.read(0, 8)).toEqual(bytes.slice(0, 8));
	expect(world.pool.volumes.get(back.id)?.content.read(0, 8)).toEqual(bytes.slice(0, 8));
	expect(world.pools.get(poolId)?.images.size).toBe(0);
	expect(await world.problems()).toEqual([]);
});

test("image: from a path, a URL and a volume", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await ready(world);
	expect(image(world, id)).toMatchObject({
		...{ sha256, fileSizeBytes: bytes.length, virtualSizeBytes: bytes.length, receivedBytes: bytes.length },
	});
	world.pool.hostFiles.set("https://images.example/b.raw", bytes);
	const url = await world.createImage({ source: { kind: "url", url: "https://images.example/b.raw" } });
	const volume = await world.createVolume({ format: "raw", sizeBytes: MiB });
	await world.settle();
	const made = await world.createImage({ source: { kind: "volume", volumeId: volume.id } });
	await world.settle();
	expect(image(world, url.id)).toMatchObject({ phase: "ready", sha256 });
	expect(image(world, made.id)).toMatchObject({ phase: "ready", virtualSizeBytes: MiB });
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
	expect(image(world, wrong.id)).toMatchObject({ phase: "error", error: { code: "invalid" } });
	expect(image(world, missing.id)).toMatchObject({ phase: "error", error: { code: "invalid" } });
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
	expect(image(world, id)).toMatchObject({ phase: "uploading", receivedBytes: 5000 });
	expect(await world.service.imageUploadOffset(id)).toBe(5000);
	await expect(world.service.writeImageContent(id, 4000, streamOf(bytes))).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("5000") },
	});
	await world.boot();
	expect(await world.service.imageUploadOffset(id)).toBe(5000);
	await world.service.writeImageContent(id, 5000, streamOf(bytes.slice(5000)));
	await world.settle();
	expect(world.taskOf(taskId).state).toBe("succeeded");
	expect(image(world, id)).toMatchObject({ phase: "ready", sha256 });
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
	expect(image(world, id)?.phase).toBe("ready");
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
	expect(image(world, id)).toBeNull();
	expect(world.taskOf(taskId).state).toBe("canceled");
	expect(world.pool.uploads.size).toBe(0);
});

test("image: the driver refuses to delete one that is shared; it is ready as before", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const id = await ready(world);
	world.driver.failNext("deleteImage", new AppError("in-use", "Volumes are copies of it."));
	const task = await remove(world, "image", id);
	expect(world.taskOf(task)).toMatchObject({ state: "failed", error: { code: "in-use" } });
	expect(image(world, id)).toMatchObject({ phase: "ready", error: null });
	await remove(world, "image", id);
	expect(image(world, id)).toBeNull();
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
	expect(driver?.calls).toContain("deactivate");
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
