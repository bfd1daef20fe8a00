/** Thick and thin volumes, as the API takes them: by what the pool says that it can, with the reason. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { PoolCapabilities, Provisioning } from "../../model/storage.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import {
	clusterIds,
	fixtureId,
	fixtureImage,
	fixtureNfs,
	fixturePool,
	fixtureTask,
	fixtureVolume,
} from "../../testing/fixtures.ts";

let harness: ApiHarness;
const why = "The file system of this node sets nothing aside.";
const [otherPool, volumeId, imageId] = [0x501, 0x200, 0x300].map(fixtureId) as [string, string, string];
const propose = (body: Parameters<ApiHarness["store"]["proposer"]["proposeSystem"]>[0]) =>
	harness.store.proposer.proposeSystem(body);
const operator = () => harness.client("operator");
const problem = async (call: Promise<unknown>) => {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return { code: error.code, fields: error.fields };
};
const refused = (path: string, message: unknown = why) => ({
	...{ code: "invalid" as const, fields: [{ path, message: message as string }] },
});

async function report(poolId: string, provisioning: Provisioning[]): Promise<void> {
	const capabilities: PoolCapabilities = {
		...{ formats: ["qcow2", "raw"], provisioning, copyOnWriteClone: true, fullClone: true, resizeOnline: true },
		...{ shrink: false, snapshots: true, images: true, shared: false, reasons: { provisioning: why } },
	};
	await propose({
		...{ kind: "poolNodeStatus", id: poolId },
		status: {
			...{ nodeId: clusterIds.node, health: "healthy", reason: null, capabilities, updatedAt: "2026-01-02T03:04:06Z" },
			...{ totalBytes: 100 * GiB, usedBytes: 60 * GiB, availableBytes: 40 * GiB },
		},
	});
}

beforeEach(async () => {
	harness = await createApiHarness();
	await report(clusterIds.pool, ["thin", "thick"]);
	const pool = fixturePool({ id: otherPool, name: "other", type: "nfs", config: fixtureNfs });
	await propose({
		kind: "poolCreate",
		pool,
		task: fixtureTask("pool.create", { kind: "pool", id: otherPool }, { id: fixtureId(0x3000) }),
	});
	await report(otherPool, ["thin"]);
	const image = fixtureImage({ id: imageId, name: "debian" });
	await propose({
		kind: "imageCreate",
		image,
		task: fixtureTask("image.import", { kind: "image", id: imageId }, { id: fixtureId(0x3001) }),
	});
	await propose({
		...{ kind: "imageStatus", id: imageId, phase: "ready", sha256: "a".repeat(64) },
		...{ fileSizeBytes: MiB, virtualSizeBytes: 2 * GiB },
	});
});
afterEach(() => harness.close());

const create = (body: object) => operator().call("volumeCreate", { body: { name: "data", ...body } as never });

test("it is kept with the volume; one that does not say is as it always was", async () => {
	const { body: thick } = await create({ sizeBytes: GiB, provisioning: "thick" });
	expect(thick.provisioning).toBe("thick");
	const { body: plain } = await create({ name: "plain", sizeBytes: GiB });
	expect(plain).not.toHaveProperty("provisioning");
});

test("what the pool does not have is refused, with its reason, here and where it applies", async () => {
	const there = { poolId: otherPool, provisioning: "thick" };
	expect(await problem(create({ sizeBytes: GiB, ...there }))).toEqual(refused("/provisioning"));
	const disks = [{ sizeBytes: GiB, ...there }];
	const vm = operator().call("vmCreate", { body: { name: "web", disks, start: false } as never });
	expect(await problem(vm)).toEqual(refused("/disks/0/provisioning"));
	const volume = fixtureVolume({ id: volumeId, poolId: otherPool, nodeId: null, provisioning: "thick" });
	const task = fixtureTask("volume.create", { kind: "volume", id: volumeId }, { id: fixtureId(0x3002) });
	expect(await problem(propose({ kind: "volumeCreate", volume, task }))).toEqual(refused("/provisioning"));
});

test("a thick copy is a full one; asked to share data it is refused", async () => {
	const source = { kind: "image", imageId, fullCopy: false };
	expect(await problem(create({ source, provisioning: "thick" }))).toEqual(
		refused("/provisioning", expect.stringContaining("full copy")),
	);
	const disks = [{ imageId, provisioning: "thick" as const }];
	const { body: vm } = await operator().call("vmCreate", { body: { name: "web", disks, start: false } });
	const disk = harness.store.get("volume", vm.spec.disks[0]?.volumeId ?? "");
	expect(disk).toMatchObject({ provisioning: "thick", source: { kind: "image", fullCopy: true } });

	const original = fixtureVolume({ id: volumeId, name: "original", sizeBytes: GiB });
	const task = fixtureTask("volume.create", { kind: "volume", id: volumeId }, { id: fixtureId(0x3003) });
	await propose({ kind: "volumeCreate", volume: original, task });
	await propose({ kind: "volumeStatus", id: volumeId, phase: "ready", sizeBytes: GiB, allocatedBytes: MiB });
	await propose({ kind: "taskUpdate", id: task.id, state: "succeeded" });
	const clone = (body: object) => operator().call("volumeClone", { path: { id: volumeId }, body: body as never });
	const { body: copy } = await clone({ name: "copy", provisioning: "thick" });
	expect(copy).toMatchObject({ provisioning: "thick", source: { kind: "clone", fullCopy: true } });
	expect((await problem(clone({ name: "no", provisioning: "thick", fullCopy: false }))).code).toBe("invalid");
});

test("no room is said at once", async () => {
	expect((await problem(create({ sizeBytes: 41 * GiB, provisioning: "thick" }))).code).toBe("no-space");
	const disks = [{ sizeBytes: 30 * GiB, provisioning: "thick" as const }];
	const two = operator().call("vmCreate", { body: { name: "web", disks: [...disks, ...disks], start: false } });
	expect((await problem(two)).code).toBe("no-space");
	expect(harness.store.count("volume")).toBe(0);
});

test("moved, it stays thick where the pool can, and is as that pool has it elsewhere", async () => {
	const volume = fixtureVolume({ id: volumeId, sizeBytes: GiB, provisioning: "thick" });
	const task = fixtureTask("volume.create", { kind: "volume", id: volumeId }, { id: fixtureId(0x3004) });
	await propose({ kind: "volumeCreate", volume, task });
	await propose({ kind: "volumeStatus", id: volumeId, phase: "ready", sizeBytes: GiB, allocatedBytes: GiB });
	await propose({ kind: "taskUpdate", id: task.id, state: "succeeded" });
	const move = async (poolId: string, discardTaskId: string) => {
		const { body: moving } = await operator().call("volumeMove", { path: { id: volumeId }, body: { poolId } });
		const figures = { sizeBytes: GiB, allocatedBytes: GiB, discardTaskId };
		await propose({ kind: "volumeMoved", id: volumeId, taskId: moving.id, ...figures });
		await propose({ kind: "taskUpdate", id: moving.id, state: "succeeded" });
		await propose({ kind: "taskUpdate", id: discardTaskId, state: "succeeded" });
		return moving.input.provisioning;
	};
	await report(otherPool, ["thin", "thick"]);
	expect(await move(otherPool, fixtureId(0x3010))).toBe("thick");
	expect(harness.store.get("volume", volumeId)).toMatchObject({ poolId: otherPool, provisioning: "thick" });
	await report(clusterIds.pool, ["thin"]);
	expect(await move(clusterIds.pool, fixtureId(0x3011))).toBeUndefined();
	expect(harness.store.get("volume", volumeId)).not.toHaveProperty("provisioning");
});

test("not before all members know it", async () => {
	harness.cluster.everybodyHas = (feature) => feature !== "thick-1";
	expect((await problem(create({ sizeBytes: GiB, provisioning: "thin" }))).code).toBe("unsupported");
	const disks = [{ sizeBytes: GiB, provisioning: "thick" as const }];
	const vm = operator().call("vmCreate", { body: { name: "web", disks, start: false } });
	expect((await problem(vm)).code).toBe("unsupported");
	await create({ sizeBytes: GiB });
});
