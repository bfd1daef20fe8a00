/** What is asked for of a move or a check: who does it, in which format, and why not. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { Pool, PoolNodeStatus } from "../../model/storage.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import {
	clusterIds,
	fixtureId,
	fixtureMember,
	fixtureNfs,
	fixturePool,
	fixtureTask,
	fixtureVolume,
} from "../../testing/fixtures.ts";

let harness: ApiHarness;
const here = clusterIds.node;
const second = fixtureId(0x998);
const [sharedPool, farPool, cephPool, volumeId] = [0x501, 0x502, 0x503, 0x200].map(fixtureId) as [
	string,
	string,
	string,
	string,
];
const propose = (body: Parameters<ApiHarness["store"]["proposer"]["proposeSystem"]>[0]) =>
	harness.store.proposer.proposeSystem(body);
const operator = () => harness.client("operator");
const move = (body: object) => operator().call("volumeMove", { path: { id: volumeId }, body: body as never });
const problem = async (call: Promise<unknown>) => {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return { code: error.code, paths: error.fields.map(({ path }) => path) };
};
let next = 0x3000;

async function pool(changes: Partial<Pool> & { id: string }, works: readonly string[], availableBytes = 100 * GiB) {
	const task = fixtureTask("pool.create", { kind: "pool", id: changes.id }, { id: fixtureId(next++) });
	const nodeIds = changes.nodeIds ?? [here, second];
	await propose({ kind: "poolCreate", pool: fixturePool({ ...changes, nodeIds }), task });
	const figures = { totalBytes: 100 * GiB, usedBytes: 0, availableBytes, capabilities: null };
	for (const nodeId of works) {
		const status: PoolNodeStatus = {
			nodeId,
			health: "healthy",
			reason: null,
			...figures,
			updatedAt: "2026-01-02T03:04:05Z",
		};
		await propose({ kind: "poolNodeStatus", id: changes.id, status });
	}
}

async function volume(changes: Parameters<typeof fixtureVolume>[0] = {}) {
	const made = fixtureVolume({ id: volumeId, sizeBytes: 64 * MiB, ...changes });
	const task = fixtureTask("volume.create", { kind: "volume", id: made.id }, { id: fixtureId(next++) });
	await propose({ kind: "volumeCreate", volume: made, task });
	await propose({ kind: "volumeStatus", id: made.id, phase: "ready", sizeBytes: 64 * MiB, allocatedBytes: 32 * MiB });
	await propose({ kind: "taskUpdate", id: task.id, state: "succeeded" });
}

beforeEach(async () => {
	harness = await createApiHarness();
	for (const body of fixtureMember({ id: second, name: "node-2" }, harness.clock.nowMs())) await propose(body);
	await pool({ id: sharedPool, name: "shared", type: "nfs", config: fixtureNfs }, [second]);
	await pool({ id: farPool, name: "far", config: { path: "/far" }, nodeIds: [second] }, [second]);
	const ceph = { monitors: ["10.0.0.1"], user: "u", cephPool: "vms", namespace: null, dataPool: null };
	await pool({ id: cephPool, name: "ceph", type: "ceph-rbd", config: ceph }, [here, second], 40 * MiB);
});
afterEach(() => harness.close());

test("a local volume is copied where it is; the format stays where the pool can", async () => {
	await volume();
	const { body: task } = await move({ poolId: sharedPool });
	expect(task).toMatchObject({ kind: "volume.move", nodeId: here, cancelable: true });
	expect(task.input).toMatchObject({ poolId: sharedPool, nodeId: null, format: "qcow2", fromPoolId: clusterIds.pool });
});

test("where the pool keeps raw disks it becomes one", async () => {
	await volume();
	expect(await problem(move({ poolId: cephPool, format: "qcow2" }))).toEqual({ code: "invalid", paths: ["/format"] });
	expect((await move({ poolId: cephPool })).body.input).toMatchObject({ format: "raw", nodeId: null });
});

test("a volume of no node is copied where both pools work, or where it is asked to", async () => {
	await volume({ poolId: sharedPool, nodeId: null });
	expect(await problem(move({ poolId: farPool, nodeId: here }))).toEqual({ code: "invalid", paths: ["/nodeId"] });
	const { body } = await move({ poolId: farPool });
	expect([body.nodeId, body.input.nodeId]).toEqual([second, second]);
});

test("a warning keeps no node from it where the pool works on no other", async () => {
	await volume({ poolId: sharedPool, nodeId: null });
	const part = (nodeId: string, health: PoolNodeStatus["health"]) =>
		propose({
			...{ kind: "poolNodeStatus", id: sharedPool },
			status: {
				...{ nodeId, health, reason: null, capabilities: null, updatedAt: "2026-01-02T03:04:05Z" },
				...{ totalBytes: GiB, usedBytes: 0, availableBytes: GiB },
			},
		});
	await part(here, "error");
	await part(second, "degraded");
	expect((await move({ poolId: cephPool })).body.nodeId).toBe(second);
});

test("it does not go to another node, to where it is, or to nowhere", async () => {
	await volume();
	for (const poolId of [farPool, clusterIds.pool, fixtureId(0x999)])
		expect(await problem(move({ poolId }))).toEqual({ code: "invalid", paths: ["/poolId"] });
	await propose({
		kind: "poolDelete",
		id: sharedPool,
		task: fixtureTask("pool.delete", { kind: "pool", id: sharedPool }, { id: fixtureId(next++) }),
	});
	expect((await problem(move({ poolId: sharedPool }))).code).toBe("wrong-state");
});

test("no room is said at once", async () => {
	await volume();
	await propose({ kind: "volumeStatus", id: volumeId, phase: "ready", allocatedBytes: 50 * MiB });
	expect((await problem(move({ poolId: cephPool }))).code).toBe("no-space");
	const answer = await harness.request("POST", `/v1/volumes/${volumeId}/actions/move`, {
		...{ as: "operator", body: { poolId: cephPool } },
	});
	expect(answer.status).toBe(507);
});

test("what a part had before it failed is no reason to refuse", async () => {
	await volume();
	const figures = { totalBytes: GiB, usedBytes: GiB, availableBytes: 0, capabilities: null };
	const status = { nodeId: here, reason: "It is away.", ...figures, updatedAt: "2026-01-02T03:04:05Z" };
	await propose({ kind: "poolNodeStatus", id: cephPool, status: { ...status, health: "degraded" } });
	expect((await problem(move({ poolId: cephPool }))).code).toBe("no-space");
	await propose({ kind: "poolNodeStatus", id: cephPool, status: { ...status, health: "unmounted" } });
	expect((await move({ poolId: cephPool })).body.nodeId).toBe(here);
});

test("not before all members know it, nor are limits of disks", async () => {
	await volume();
	harness.cluster.everybodyHas = (feature) => feature !== "storage-1";
	expect((await problem(move({ poolId: sharedPool }))).code).toBe("unsupported");
	expect((await problem(operator().call("volumeCheck", { path: { id: volumeId }, body: {} }))).code).toBe(
		"unsupported",
	);
	const disks = [{ sizeBytes: 64 * MiB, limits: { readIops: 100 } }];
	const create = () => operator().call("vmCreate", { body: { name: "web", disks, start: false } });
	expect((await problem(create())).code).toBe("unsupported");
	harness.cluster.everybodyHas = () => true;
	const { body: vm } = await create();
	expect(vm.spec.disks[0]?.limits).toEqual({ readIops: 100 });
	harness.cluster.everybodyHas = (feature) => feature !== "storage-1";
	const update = operator().call("vmUpdate", { path: { id: vm.id }, body: { disks: vm.spec.disks } });
	expect((await problem(update)).code).toBe("unsupported");
});

test("copies are made to stand alone once all members know how", async () => {
	await volume();
	harness.cluster.everybodyHas = (feature) => feature !== "flatten-1";
	const flatten = () => problem(operator().call("volumeFlatten", { path: { id: volumeId } }));
	expect((await flatten()).code).toBe("unsupported");
	harness.cluster.everybodyHas = () => true;
	expect((await flatten()).code).toBe("wrong-state");
});

test("limits are whole numbers above 0", async () => {
	for (const limits of [{ readIops: 0 }, { writeIops: 1.5 }, { readBytesPerSecond: -1 }, {}, { reads: 1 }]) {
		const body = { name: "web", disks: [{ sizeBytes: 64 * MiB, limits }], start: false };
		expect((await problem(operator().call("vmCreate", { body: body as never }))).code).toBe("invalid");
	}
});

test("a node that is not heard of is not asked to make a copy stand alone", async () => {
	const [lonePool, base] = [fixtureId(0x509), fixtureId(0x209)];
	await pool({ id: lonePool, name: "lone", config: { path: "/lone" }, nodeIds: [second] }, [second]);
	await volume({ id: base, name: "base", poolId: lonePool, nodeId: second });
	const source = { kind: "clone", volumeId: base, fullCopy: false } as const;
	const id = fixtureId(0x20a);
	await volume({ id, name: "resting", poolId: lonePool, nodeId: second, source });
	const flatten = () => operator().call("volumeFlatten", { path: { id } });
	await propose({ kind: "nodeLost", id: second, reason: "not heard of", lost: true });
	expect((await problem(flatten())).code).toBe("wrong-state");
	expect(harness.store.all("task", { kind: "volume.flatten" })).toEqual([]);
});
