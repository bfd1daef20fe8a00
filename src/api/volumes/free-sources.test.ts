/** What copies were made of: the rules of its pool count once all members have them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { CephRbdPoolConfig } from "../../model/pool-config.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureId, fixturePool, fixtureTask, fixtureVolume } from "../../testing/fixtures.ts";

const config: CephRbdPoolConfig = {
	...{ monitors: ["10.0.0.6"], user: "vms", cephPool: "vms", namespace: null, dataPool: null },
};
const [poolId, base, copy] = [fixtureId(0x700), fixtureId(0x701), fixtureId(0x702)] as [string, string, string];
let harness: ApiHarness;

beforeEach(async () => {
	harness = await createApiHarness();
	const propose = harness.store.proposer.proposeSystem;
	const task = (kind: "pool.create" | "volume.create", target: "pool" | "volume", id: string) =>
		fixtureTask(kind, { kind: target, id }, { id: harness.ids.newId() });
	const pool = fixturePool({ id: poolId, name: "rbd", type: "ceph-rbd", config, nodeIds: [clusterIds.node] });
	await propose({ kind: "poolCreate", pool, task: task("pool.create", "pool", poolId) });
	for (const [id, source] of [
		[base, { kind: "empty" }],
		[copy, { kind: "clone", volumeId: base, fullCopy: false }],
	] as const) {
		const volume = fixtureVolume({ id, name: id.slice(-3), poolId, nodeId: null, format: "raw", source });
		await propose({ kind: "volumeCreate", volume, task: task("volume.create", "volume", id) });
		await propose({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 0 });
	}
});
afterEach(() => harness.close());

const grow = () => harness.client("admin").call("volumeResize", { path: { id: base }, body: { sizeBytes: 2 ** 40 } });
const attach = () =>
	harness.client("admin").call("vmCreate", {
		body: {
			name: "web",
			nodeId: clusterIds.node,
			disks: [{ volumeId: base }],
		},
	});

test("a source grows, and is attached for writing", async () => {
	expect((await attach()).status).toBe(201);
	expect((await grow()).status).toBe(202);
	expect(harness.store.get("volume", base)).toMatchObject({ phase: "resizing", vmId: expect.any(String) });
});

test("while some members do not know of it, it stays as it is", async () => {
	harness.cluster.missing.set("free-sources-1", ["node-2"]);
	for (const call of [attach, grow]) await expect(call()).rejects.toMatchObject({ code: "in-use" });
});
