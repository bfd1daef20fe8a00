/** A copy of an image in another pool: what may be asked for, who makes it, and what it has of its source. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { Image, Pool, PoolNodeStatus } from "../../model/storage.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import {
	clusterIds,
	fixtureId,
	fixtureImage,
	fixtureMember,
	fixtureNfs,
	fixturePool,
	fixtureTask,
	fixtureVolume,
} from "../../testing/fixtures.ts";

let harness: ApiHarness;
const here = clusterIds.node;
const second = fixtureId(0x998);
const [shared, far, ceph, imageId, discId, volumeId] = [0x501, 0x502, 0x503, 0x300, 0x301, 0x200].map(fixtureId) as [
	string,
	string,
	string,
	string,
	string,
	string,
];
const digest = "ab".repeat(32);
const propose = (body: Parameters<ApiHarness["store"]["proposer"]["proposeSystem"]>[0]) =>
	harness.store.proposer.proposeSystem(body);
const operator = () => harness.client("operator");
const copy = (body: object, source: object = { kind: "image", imageId }) =>
	operator().call("imageCreate", { body: { name: "copy", source, ...body } as never });
const problem = async (call: Promise<unknown>) => {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return { code: error.code, paths: error.fields.map(({ path }) => path) };
};
const taskOf = ({ id }: Image) => harness.store.all("task").find(({ targets }) => targets[0]?.id === id);
let next = 0x3000;

async function pool(changes: Partial<Pool> & { id: string }, nodeIds: string[], availableBytes = 100 * GiB) {
	const task = fixtureTask("pool.create", { kind: "pool", id: changes.id }, { id: fixtureId(next++) });
	await propose({ kind: "poolCreate", pool: fixturePool({ ...changes, nodeIds }), task });
	for (const nodeId of nodeIds)
		await propose({
			...{ kind: "poolNodeStatus", id: changes.id },
			status: {
				...{ nodeId, health: "healthy", reason: null, capabilities: null, updatedAt: "2026-01-02T03:04:05Z" },
				...{ totalBytes: 100 * GiB, usedBytes: 0, availableBytes },
			},
		});
}

async function image(changes: Partial<Image> & { id: string }) {
	const made = fixtureImage({ format: "qcow2", ...changes });
	const task = fixtureTask("image.import", { kind: "image", id: made.id }, { id: fixtureId(next++) });
	await propose({ kind: "imageCreate", image: made, task });
	const figures = { sha256: digest, fileSizeBytes: 64 * MiB, virtualSizeBytes: 2 * GiB };
	await propose({ kind: "imageStatus", id: made.id, phase: "ready", ...figures });
	await propose({ kind: "taskUpdate", id: task.id, state: "succeeded" });
}

beforeEach(async () => {
	harness = await createApiHarness();
	for (const body of fixtureMember({ id: second, name: "node-2" }, harness.clock.nowMs())) await propose(body);
	await pool({ id: shared, name: "shared", type: "nfs", config: fixtureNfs }, [second, here]);
	await pool({ id: far, name: "far", config: { path: "/far" } }, [second]);
	const config = { monitors: ["10.0.0.1"], user: "u", cephPool: "vms", namespace: null, dataPool: null };
	await pool({ id: ceph, name: "ceph", type: "ceph-rbd", config }, [second], 32 * MiB);
	await image({ id: imageId, name: "debian", description: "of May", tags: ["linux"] });
});
afterEach(() => harness.close());

test("it has format, words and checksum of its source, and is made where both pools are", async () => {
	const { body } = await copy({ poolId: shared });
	expect(body).toMatchObject({ format: "qcow2", description: "of May", tags: ["linux"], expectedSha256: digest });
	expect(body).toMatchObject({ poolId: shared, nodeId: null, source: { kind: "image", imageId }, phase: "importing" });
	expect(taskOf(body)).toMatchObject({ kind: "image.import", nodeId: here, cancelable: true });
});

test("where no node has both, a node of the pool gets it", async () => {
	const { body } = await copy({ poolId: far, description: "", tags: [] });
	expect(body).toMatchObject({ nodeId: second, description: "", tags: [] });
	expect(taskOf(body)?.nodeId).toBe(second);
	expect((await copy({ name: "asked", poolId: shared, nodeId: second })).body.nodeId).toBeNull();
});

test("the checksum of what came as another format is not expected of the raw disk that it is now", async () => {
	await image({ id: discId, name: "in-ceph", format: "raw", poolId: ceph, nodeId: null });
	const { body } = await copy({ poolId: shared }, { kind: "image", imageId: discId });
	expect(body).toMatchObject({ format: "raw", expectedSha256: null });
	expect(taskOf(body)?.nodeId).toBe(second);
	const given = "cd".repeat(32);
	const asked = await copy({ name: "other", poolId: shared, sha256: given }, { kind: "image", imageId: discId });
	expect(asked.body.expectedSha256).toBe(given);
});

test("what makes no sense is refused at its field", async () => {
	expect(await problem(copy({}))).toEqual({ code: "invalid", paths: ["/poolId"] });
	expect(await problem(copy({ poolId: clusterIds.pool }))).toEqual({ code: "invalid", paths: ["/poolId"] });
	expect(await problem(copy({ poolId: shared, format: "raw" }))).toEqual({ code: "invalid", paths: ["/format"] });
	const nowhere = { kind: "image", imageId: fixtureId(0x999) };
	expect(await problem(copy({ poolId: shared }, nowhere))).toEqual({ code: "invalid", paths: ["/source/imageId"] });
	expect(await problem(copy({ poolId: far, nodeId: here }))).toEqual({ code: "invalid", paths: ["/poolId"] });
	expect((await problem(copy({ poolId: ceph }))).code).toBe("no-space");
	expect(await problem(copy({}, { kind: "url", url: "https://example.net/a.img" }))).toEqual({
		...{ code: "invalid", paths: ["/format"] },
	});
});

test("its source stays until it is there, and one that is not ready is no source", async () => {
	const { body } = await copy({ poolId: shared });
	const remove = () => operator().call("imageDelete", { path: { id: imageId } });
	expect((await problem(remove())).code).toBe("in-use");
	expect((await problem(copy({ name: "third", poolId: far }, { kind: "image", imageId: body.id }))).code).toBe(
		"wrong-state",
	);
	await propose({ kind: "imageStatus", id: body.id, phase: "error", error: { code: "storage", message: "No." } });
	await remove();
	expect((await problem(copy({ name: "late", poolId: shared }))).code).toBe("wrong-state");
});

test("not before all members know it", async () => {
	harness.cluster.missing.set("image-copy-1", ["node-2"]);
	expect((await problem(copy({ poolId: shared }))).code).toBe("unsupported");
});

test("an image of a volume may be in another pool of its node", async () => {
	const made = fixtureVolume({ id: volumeId, sizeBytes: 64 * MiB });
	const task = fixtureTask("volume.create", { kind: "volume", id: volumeId }, { id: fixtureId(next++) });
	await propose({ kind: "volumeCreate", volume: made, task });
	await propose({ kind: "volumeStatus", id: volumeId, phase: "ready", sizeBytes: 64 * MiB, allocatedBytes: MiB });
	const source = { kind: "volume", volumeId };
	const { body } = await copy({ poolId: shared, format: "qcow2" }, source);
	expect([body.poolId, taskOf(body)?.nodeId]).toEqual([shared, here]);
	expect(await problem(copy({ name: "no", poolId: far, format: "qcow2" }, source))).toEqual({
		...{ code: "invalid", paths: ["/poolId"] },
	});
});

test("a node that is not heard of does not make it, while another one of the pool is there", async () => {
	const [third, both, source] = [fixtureId(0x997), fixtureId(0x504), fixtureId(0x310)];
	for (const body of fixtureMember({ id: third, name: "node-3" }, harness.clock.nowMs())) await propose(body);
	const config = { ...fixtureNfs, exportPath: "/srv/both" };
	await pool({ id: both, name: "both", type: "nfs", config }, [second, third]);
	await image({ id: source, name: "elsewhere", poolId: both, nodeId: null });
	const to = fixtureId(0x505);
	await pool({ id: to, name: "to", type: "nfs", config: { ...fixtureNfs, exportPath: "/srv/to" } }, [second, third]);
	const made = async (name: string) =>
		taskOf((await copy({ name, poolId: to }, { kind: "image", imageId: source })).body)?.nodeId;
	expect(await made("one")).toBe(second);
	await propose({ kind: "nodeLost", id: second, reason: "not heard of", lost: true });
	expect(await made("two")).toBe(third);
});

test("it is made where both pools work; one that works nowhere else is for its node", async () => {
	const part = (id: string, nodeId: string, health: PoolNodeStatus["health"]) =>
		propose({
			...{ kind: "poolNodeStatus", id },
			status: {
				...{ nodeId, health, reason: null, capabilities: null, updatedAt: "2026-01-02T03:04:05Z" },
				...{ totalBytes: 100 * GiB, usedBytes: 0, availableBytes: 100 * GiB },
			},
		});
	const source = fixtureId(0x310);
	await pool({ id: fixtureId(0x504), name: "both", type: "nfs", config: { ...fixtureNfs, exportPath: "/b" } }, [
		here,
		second,
	]);
	await image({ id: source, name: "elsewhere", poolId: fixtureId(0x504), nodeId: null });
	const made = async (name: string, body: object, from: object = { kind: "image", imageId: source }) =>
		taskOf((await copy({ name, ...body }, from)).body)?.nodeId;
	expect(await made("one", { poolId: shared })).toBe(here);
	await part(shared, here, "unmounted");
	expect(await made("two", { poolId: shared })).toBe(second);
	// What arrives here is for a node where the pool works, too.
	const upload = { poolId: shared, format: "raw", fileSizeBytes: MiB };
	expect(await made("three", upload, { kind: "upload" })).toBe(second);
	await part(shared, second, "degraded");
	expect(await made("four", upload, { kind: "upload" })).toBe(second);
	await part(shared, second, "unmounted");
	await part(shared, here, "degraded");
	expect(await made("five", upload, { kind: "upload" })).toBe(here);
	// The source is read where it can be.
	await part(fixtureId(0x504), here, "error");
	expect(await made("six", { poolId: shared })).toBe(here);
});
