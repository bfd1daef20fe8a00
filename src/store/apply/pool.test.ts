/** Pools that nodes share: what may change, what clashes, and who still needs one. */
import { beforeEach, expect, test } from "bun:test";
import type { Pool } from "../../model/storage.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureNfs, fixturePool, fixtureTask } from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

const poolId = fixtureId(0x700);
let tasks = 0;
let store: MemoryStore;
const propose = (body: CommandBody) => store.proposer.proposeSystem(body);
const nfs = (changes: Partial<Pool> = {}): Pool =>
	fixturePool({ id: poolId, name: "shared", type: "nfs", config: fixtureNfs, ...changes });
const create = (pool: Pool, sealedCredentials?: string) =>
	propose({
		...{
			kind: "poolCreate",
			pool,
			task: fixtureTask("pool.create", { kind: "pool", id: pool.id }, { id: fixtureId(0x10 + tasks++) }),
		},
		...(sealedCredentials === undefined ? {} : { sealedCredentials }),
	});

beforeEach(async () => {
	store = await openMemoryStore({ commands: [fixtureCluster()] });
});

test("the configuration is that of the type", async () => {
	await expect(create(nfs({ type: "ceph-rbd" }))).rejects.toMatchObject({ code: "invalid" });
	await expect(create(nfs({ config: { path: "/srv" } }))).rejects.toMatchObject({ code: "invalid" });
	await create(nfs());
	expect(store.get("pool", poolId)).toMatchObject({ type: "nfs", config: fixtureNfs, phase: "pending" });
});

test("how a pool is reached may change, where its data are may not", async () => {
	await create(nfs());
	const change = (config: Pool["config"]) => propose({ kind: "poolUpdate", id: poolId, config });
	await change({ ...fixtureNfs, server: "10.0.0.2", mountOptions: ["nconnect=4"] });
	expect(store.get("pool", poolId)).toMatchObject({ generation: 2, config: { server: "10.0.0.2" } });
	for (const config of [{ ...fixtureNfs, exportPath: "/other" }, { ...fixtureNfs, folder: "x" }, { path: "/srv" }])
		await expect(change(config)).rejects.toMatchObject({ code: "invalid" });
});

test("one place is one pool's", async () => {
	await create(nfs());
	const other = { id: fixtureId(0x701), name: "second" };
	await expect(create(nfs({ ...other, config: { ...fixtureNfs, exportPath: "/srv//vms/" } }))).rejects.toMatchObject({
		...{ code: "already-exists", fields: [{ path: "/config" }] },
	});
	await create(nfs({ ...other, config: { ...fixtureNfs, folder: "second" } }));
});

test("sealed credentials are beside the pool, in no document of it, and go with it", async () => {
	await create(nfs(), "v1.aaaa");
	expect(store.sealedCredentials(poolId)).toBe("v1.aaaa");
	expect(JSON.stringify(store.get("pool", poolId))).not.toContain("aaaa");
	await propose({ kind: "poolUpdate", id: poolId, sealedCredentials: "v1.bbbb" });
	expect(store.sealedCredentials(poolId)).toBe("v1.bbbb");
	await expect(propose({ kind: "poolUpdate", id: poolId, sealedCredentials: "a b" })).rejects.toMatchObject({
		code: "invalid",
	});
	const task = fixtureTask("pool.delete", { kind: "pool", id: poolId }, { id: fixtureId(2) });
	await propose({ kind: "poolDelete", id: poolId, task });
	await propose({ kind: "poolGone", id: poolId });
	expect(store.sealedCredentials(poolId)).toBeNull();
});

test("a node that needs the pool cannot be taken out of it", async () => {
	await create(nfs());
	const volume = {
		...{
			id: fixtureId(0x710),
			generation: 1,
			createdAt: "2026-01-01T00:00:00.000Z",
			updatedAt: "2026-01-01T00:00:00.000Z",
		},
		...{ name: "data", poolId: clusterIds.pool, nodeId: clusterIds.node, format: "qcow2" as const },
		...{ sizeBytes: 1 << 30, allocatedBytes: null, source: { kind: "empty" as const }, phase: "pending" as const },
		...{ vmId: null, error: null },
	};
	await propose({
		...{ kind: "volumeCreate", volume },
		task: fixtureTask("volume.create", { kind: "volume", id: volume.id }, { id: fixtureId(3) }),
	});
	const without = (id: string) => propose({ kind: "poolUpdate", id, nodeIds: [] });
	await expect(without(clusterIds.pool)).rejects.toMatchObject({
		...{ code: "in-use", message: expect.stringContaining("the volume data"), fields: [{ path: "/nodeIds" }] },
	});
	await without(poolId);
	expect(store.get("pool", poolId)?.nodeIds).toEqual([]);
	await propose({ kind: "poolUpdate", id: poolId, nodeIds: [clusterIds.node] });
	const twice = propose({ kind: "poolUpdate", id: poolId, nodeIds: [clusterIds.node, clusterIds.node] });
	await expect(twice).rejects.toMatchObject({ code: "invalid" });
});

test("of two nodes that make a key at once, one has made it", async () => {
	const [first, second] = ["0".repeat(32), "1".repeat(32)];
	await propose({ kind: "secretsKeySet", keyId: first, replaces: "" });
	await expect(propose({ kind: "secretsKeySet", keyId: second, replaces: "" })).rejects.toMatchObject({
		code: "already-exists",
	});
	expect(store.secretsKeyId()).toBe(first);
	await propose({ kind: "secretsKeySet", keyId: second, replaces: first });
	expect(store.secretsKeyId()).toBe(second);
	await expect(propose({ kind: "secretsKeySet", keyId: "x", replaces: second })).rejects.toMatchObject({
		code: "invalid",
	});
});
