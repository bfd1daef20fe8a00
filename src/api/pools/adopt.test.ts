/** Adopting what no record names: its snapshots go only once nothing else is in the way, and the audit names them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureId, fixtureTask, fixtureVolume } from "../../testing/fixtures.ts";

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
	expect(harness.node.orphanSnapshotIds).toEqual([snapshotId]);
	expect(harness.store.get("volume", stray)).toBeNull();
};

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

test("nor does a source that is not at rest", async () => {
	harness.node.orphanAs = { source: { kind: "clone", volumeId: taken, fullCopy: false } };
	await refused("rescued", "wrong-state", "the volume data is pending");
});

test("they go with the volume's record on its way, and the audit names them", async () => {
	await adopt("rescued", "delete");
	expect(harness.node.orphanSnapshotIds).toEqual([]);
	expect(harness.store.get("volume", stray)).toMatchObject({ name: "rescued" });
	const audit = await harness.client("admin").call("auditList", { query: { operation: "poolOrphanAdopt" } as never });
	const { items } = audit.body as { items: { outcome: string; targets: { id: string }[] }[] };
	expect(items.some(({ targets }) => targets.some(({ id }) => id === snapshotId))).toBe(true);
});

test("kept, they stay", async () => {
	await adopt("rescued", "keep");
	expect(harness.node.orphanSnapshotIds).toEqual([snapshotId]);
	expect(harness.store.get("volume", stray)).toMatchObject({ name: "rescued" });
});
