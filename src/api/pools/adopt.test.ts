/** What no record names: adopted, its snapshots go only once nothing else is in the way, and the audit names them; deleted, by a task. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureId, fixtureMember, fixtureTask, fixtureVolume } from "../../testing/fixtures.ts";

const [stray, snapshotId, taken] = [fixtureId(0x901), fixtureId(0x911), fixtureId(0x921)];
let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
	const { node } = harness;
	node.orphans = [
		{
			...{ nodeId: node.nodeId, kind: "volume", id: stray, found: "no-record", name: null, format: "raw" },
			...{ sizeBytes: 1, allocatedBytes: 1, reason: null, snapshots: 1 },
		},
	];
	node.orphanSnapshotIds = [snapshotId];
	const task = fixtureTask("volume.create", { kind: "volume", id: taken }, { id: fixtureId(0x922) });
	await harness.store.proposer.proposeSystem({
		...{ kind: "volumeCreate", volume: fixtureVolume({ id: taken, name: "data" }), task },
	});
});
afterEach(() => harness.close());

const adopt = (name: string, snapshots: "delete" | "keep") =>
	harness.client("admin").call("poolOrphanAdopt", {
		...{ path: { id: clusterIds.pool }, query: {}, body: { volumeId: stray, name, snapshots } },
	});
const refused = async (name: string, code: string, message: string) => {
	await expect(adopt(name, "delete")).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
	expect(harness.store.get("volume", stray)).toBeNull();
};
const making = () => harness.store.all("task", { kind: "volume.create", targetId: stray })[0];

test("a name that the pool has already costs no snapshot, in whatever case it is written", async () => {
	await refused("Data", "already-exists", "has the name Data already");
});

test("nor does what not all members know yet, or the pool does not have", async () => {
	harness.node.orphanAs = { provisioning: "thick" };
	harness.cluster.missing.set("thick-1", ["node-2"]);
	await refused("rescued", "unsupported", "This waits until all nodes are upgraded");
	harness.cluster.missing.clear();
	await refused("rescued", "invalid", "Volumes of this pool are thin");
});

test("nor does a source that is not at rest, nor an older member, which would keep them", async () => {
	harness.cluster.missing.set("orphan-tasks-1", ["node-2"]);
	await refused("rescued", "unsupported", "This waits until all nodes are upgraded: node-2");
	harness.cluster.missing.clear();
	harness.node.orphanAs = { source: { kind: "clone", volumeId: taken, fullCopy: false } };
	await refused("rescued", "wrong-state", "The volume data is pending");
});

test("they go by the task that makes it a volume, and the audit names them", async () => {
	await adopt("rescued", "delete");
	expect(making()).toMatchObject({ input: { snapshotIds: [snapshotId] }, cancelable: true });
	expect(harness.store.get("volume", stray)).toMatchObject({ name: "rescued", phase: "pending" });
	const audit = await harness.client("admin").call("auditList", { query: { operation: "poolOrphanAdopt" } as never });
	const { items } = audit.body as { items: { outcome: string; targets: { id: string }[] }[] };
	expect(items.some(({ targets }) => targets.some(({ id }) => id === snapshotId))).toBe(true);
});

test("kept, they stay; without any, older members are not asked", async () => {
	harness.cluster.missing.set("orphan-tasks-1", ["node-2"]);
	await adopt("rescued", "keep");
	expect(making()?.input).toEqual({});
	await harness.store.proposer.proposeSystem({ kind: "taskUpdate", id: making()?.id ?? "", state: "succeeded" });
	harness.node.orphans.push({ ...present(harness.node.orphans[0], "the orphan"), id: fixtureId(0x902) });
	harness.node.orphanSnapshotIds = [];
	const body = { volumeId: fixtureId(0x902), name: "second", snapshots: "delete" as const };
	await harness.client("admin").call("poolOrphanAdopt", { path: { id: clusterIds.pool }, query: {}, body });
	expect(harness.store.get("volume", fixtureId(0x902))).toMatchObject({ name: "second" });
});

test("what is deleted is deleted by a task of the node whose part it is; not with older members, nor where there is no part", async () => {
	const ask = (query: { nodeId?: string }) =>
		harness.client("admin").call("poolOrphanDelete", {
			...{ path: { id: clusterIds.pool }, query, body: { volumeIds: [stray], imageIds: [] } },
		});
	harness.cluster.missing.set("orphan-tasks-1", ["node-2"]);
	await expect(ask({})).rejects.toMatchObject({ code: "unsupported" });
	harness.cluster.missing.clear();
	const second = fixtureId(0x998);
	for (const command of fixtureMember({ id: second, name: "node-2" }, harness.clock.nowMs()))
		await harness.store.proposer.proposeSystem(command);
	await expect(ask({ nodeId: second })).rejects.toMatchObject({ code: "invalid", fields: [{ path: "/nodeId" }] });
	const nodeIds = [harness.node.nodeId, second];
	await harness.store.proposer.proposeSystem({ kind: "poolUpdate", id: clusterIds.pool, nodeIds });
	await expect(ask({})).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining("say which") });
	const { body, location } = await ask({ nodeId: second });
	expect(body).toMatchObject({
		kind: "pool.deleteOrphans",
		nodeId: second,
		input: { volumeIds: [stray], imageIds: [] },
	});
	expect(location).toBe(`/v1/tasks/${body.id}`);
	await expect(adopt("rescued", "delete")).rejects.toMatchObject({ message: expect.stringContaining("say which") });
});
