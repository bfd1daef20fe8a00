/** Images that a node gets from another one because a VM of its own needs them. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { pair } from "../testing/node/moving.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { bytes, imageOf, readyImage, remove, sha256 } from "../testing/node/storage-deeds.ts";

const copyOf = (imageId: string, fullCopy = false) => ({
	...{ source: { kind: "image", imageId, fullCopy } as const, sizeBytes: MiB },
});
const contentOf = (world: NodeWorld, volumeId: string) =>
	world.pool.volumes.get(volumeId)?.content.read(0, bytes.length);
const opened = (world: NodeWorld) => world.driver.calls.filter((call) => call === "openImage").length;

test("a disk made from an image of another node: the image comes first, checked, once for all", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const vms = [];
	for (const fullCopy of [false, false, true])
		vms.push(await second.createVm({ volumes: [copyOf(imageId, fullCopy)], start: false }));
	await first.settle();
	for (const { taskId, volumeIds } of vms) {
		expect(first.taskOf(taskId).state).toBe("succeeded");
		expect(contentOf(second, volumeIds[0] ?? "")).toEqual(bytes);
	}
	expect(opened(first)).toBe(1);
	expect(second.pool.images.get(imageId)?.sha256).toBe(sha256);
	// The record stays that of the node that has the image.
	expect(imageOf(first, imageId)).toMatchObject({ nodeId: first.nodeId, phase: "ready" });
	expect(second.pool.volumes.get(vms[0]?.volumeIds[0] ?? "")?.backing).toMatchObject([{ kind: "image", id: imageId }]);
});

test("the task says what it does, and how far it is; canceled it leaves nothing", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const release = second.driver.hold("finishImage");
	const { taskId } = await second.createVm({ volumes: [copyOf(imageId)], start: false });
	await second.until(() => second.driver.calls.includes("finishImage"));
	expect(first.taskOf(taskId)).toMatchObject({ state: "running", cancelable: true });
	first.clock.advance(2000);
	await second.settleLoops();
	expect(first.taskOf(taskId).message).toMatch(/^Copying image "image-.*" from node-1/);
	await first.propose({ kind: "taskCancel", id: taskId });
	await first.settle();
	release();
	expect(first.taskOf(taskId).state).toBe("canceled");
	expect([second.pool.images.size, second.pool.uploads.size]).toEqual([0, 0]);
});

test("the copy goes when the image is deleted", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const { id } = await second.createVm({ volumes: [copyOf(imageId)], start: false });
	await first.settle();
	await second.deleteVm(id);
	await first.settle();
	expect(second.pool.images.has(imageId)).toBe(true);
	await remove(first, "image", imageId);
	await second.settleLoops();
	expect(first.store.get("image", imageId)).toBeNull();
	expect([first.pool.images.size, second.pool.images.size]).toEqual([0, 0]);
});

test("the copy goes at the next start when the node was off as the image was deleted", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const { id } = await second.createVm({ volumes: [copyOf(imageId)], start: false });
	await first.settle();
	await second.deleteVm(id);
	await first.settle();
	second.kill();
	await remove(first, "image", imageId);
	expect(second.pool.images.has(imageId)).toBe(true);
	await second.boot();
	await second.settleLoops();
	expect(second.pool.images.has(imageId)).toBe(false);
});

test("an image that no record speaks of, and that is no copy, is nobody's to remove", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const file = first.pool.images.get(imageId);
	const lost = "00000000-0000-7000-8000-00000000f00d";
	if (file) second.pool.images.set(lost, { ...file, id: lost });
	await second.boot();
	first.clock.advance(31_000);
	await second.settleLoops();
	expect(second.pool.images.has(lost)).toBe(true);
});

test("what fails is the task's failure, and leaves nothing; the next try works", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const attempt = async () => {
		const { id, taskId } = await second.createVm({ volumes: [copyOf(imageId)], start: false });
		await second.settle();
		const { state, error } = first.taskOf(taskId);
		await second.deleteVm(id);
		await second.settle();
		expect(second.pool.uploads.size).toBe(0);
		return { state, code: error?.code ?? null };
	};
	first.driver.failNext("openImage", new AppError("storage", "Broken."));
	expect(await attempt()).toEqual({ state: "failed", code: "storage" });
	second.pool.totalBytes = 1000;
	expect(await attempt()).toEqual({ state: "failed", code: "no-space" });
	second.pool.totalBytes = 100 * MiB;
	const file = first.pool.images.get(imageId);
	const good = file?.content.copy();
	file?.content.write(0, new Uint8Array([1, 2, 3]));
	expect(await attempt()).toEqual({ state: "failed", code: "invalid" });
	expect(second.pool.images.size).toBe(0);
	if (file && good) file.content.write(0, good.read(0, 3));
	first.kill();
	expect(await attempt()).toEqual({ state: "failed", code: "unavailable" });
	await first.boot();
	expect(await attempt()).toEqual({ state: "succeeded", code: null });
});

test("kill -9 at each step of getting an image: the next process gets it, or nothing is left", async () => {
	const once = async (kill: { call: number; when: "before" | "after" } | null) => {
		await using both = await pair();
		const { first, second } = both;
		const imageId = await readyImage(first);
		const since = second.life.calls.length;
		if (kill) second.life.killAt({ call: since + kill.call, when: kill.when });
		const { taskId, volumeIds } = await second.createVm({ volumes: [copyOf(imageId)], start: false });
		await second.until(() => second.life.dead || first.unfinished().length === 0);
		const steps = second.life.calls.slice(since);
		if (second.life.dead) await second.boot();
		await first.settle({ stepMs: 10_000, limitMs: 600_000 });
		expect(first.taskOf(taskId).state).toBe("succeeded");
		expect(contentOf(second, volumeIds[0] ?? "")).toEqual(bytes);
		expect(second.pool.uploads.size).toBe(0);
		return steps;
	};
	const steps = await once(null);
	expect(steps).toContain("remote.openImage");
	for (const call of steps.keys())
		for (const when of ["before", "after"] as const) await once({ call: call + 1, when });
}, 60_000);
