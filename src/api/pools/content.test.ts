/** What lies in a pool: whom it is asked of, what is refused, and names of strangers as they are. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { Problem } from "../../model/api.ts";
import type { PoolContent, PoolContentEntry } from "../../model/pool-content.ts";
import type { Pool } from "../../model/storage.ts";
import { createTwoNodes, otherId, type TwoNodes } from "../../testing/api/two-nodes.ts";
import { clusterIds, fixtureId, fixtureNfs, fixturePool, fixtureTask } from "../../testing/fixtures.ts";

let nodes: TwoNodes;
beforeEach(async () => {
	nodes = await createTwoNodes();
});
afterEach(() => nodes.close());

const ask = (poolId: string, query: Record<string, string> = {}, as: "admin" | "operator" | "viewer" = "operator") =>
	nodes.request("GET", `/v1/pools/${poolId}/content?${new URLSearchParams(query)}`, { as });
const content = async (...asked: Parameters<typeof ask>) => (await (await ask(...asked)).json()) as PoolContent;

const entry = (name: string): PoolContentEntry => ({
	...{ name, nameIsExact: false, kind: "file", sizeBytes: 64 * MiB, allocatedBytes: null, modifiedAt: null },
	belongsTo: { kind: "image", id: fixtureId(0x776), volumeId: null, name: null, recorded: false },
});

test("names of strangers come as they are; a folder that leads out of the pool is refused before anybody looks", async () => {
	const name = "a \u202e\n\ufffd name";
	nodes.node.contentItems = [entry(name)];
	expect(await content(clusterIds.pool, { folder: "images/a b" })).toEqual({
		...{ nodeId: clusterIds.node, folder: "images/a b", truncated: false },
		items: [entry(name)],
	});
	for (const folder of ["..", "/etc", "a/../b", "volumes/", "x".repeat(5000)]) {
		const refused = await ask(clusterIds.pool, { folder });
		const { errors } = (await refused.json()) as Problem;
		expect([folder.slice(0, 9), refused.status, errors[0]?.path]).toEqual([folder.slice(0, 9), 422, "?folder"]);
	}
	expect((await ask(clusterIds.pool, { folder: "x", of: "y" })).status).toBe(422);
	expect((await ask(fixtureId(0x999))).status).toBe(404);
	expect((await ask(clusterIds.pool, {}, "viewer")).status).toBe(403);
});

test("each node is asked about its own part of a local pool; where only one has it, that one; of a shared one any that works", async () => {
	nodes.node.contentItems = [entry("here")];
	nodes.other.node.contentItems = [entry("there")];
	const names = async (...asked: Parameters<typeof ask>) => (await content(...asked)).items.map(({ name }) => name);
	const make = async (id: string, change: Partial<Pool>) => {
		const pool = fixturePool({ id, name: id.slice(-4), nodeIds: [clusterIds.node, otherId], ...change });
		const task = fixtureTask(
			"pool.create",
			{ kind: "pool", id },
			{ id: fixtureId(Number.parseInt(id.slice(-4), 16) + 1) },
		);
		await nodes.store.proposer.proposeSystem({ kind: "poolCreate", pool, task });
	};
	expect(await names(clusterIds.pool)).toEqual(["here"]);
	const others = present(nodes.store.all("pool").find(({ nodeIds }) => nodeIds.join() === otherId)?.id, "its pool");
	expect(await names(others)).toEqual(["there"]);
	for (const [poolId, nodeId] of [
		[clusterIds.pool, otherId],
		[others, clusterIds.node],
	] as const)
		expect((await ask(poolId, { nodeId })).status).toBe(422);

	const [both, shared] = [fixtureId(0x810), fixtureId(0x820)];
	await make(both, { config: { path: "/srv/both" } });
	const unsaid = await ask(both);
	expect([unsaid.status, ((await unsaid.json()) as Problem).detail]).toEqual([
		422,
		expect.stringContaining("say which"),
	]);
	expect(await names(both, { nodeId: otherId, folder: "volumes" })).toEqual(["there"]);
	expect(await names(both, { nodeId: clusterIds.node })).toEqual(["here"]);

	await make(shared, { type: "nfs", config: fixtureNfs });
	const report = { health: "healthy" as const, reason: null, totalBytes: 1, usedBytes: 0, availableBytes: 1 };
	const status = { ...report, nodeId: otherId, capabilities: null, updatedAt: "2030-01-01T00:00:00.000Z" };
	await nodes.store.proposer.proposeSystem({ kind: "poolNodeStatus", id: shared, status });
	expect(await names(shared)).toEqual(["there"]);
	expect(await names(shared, { nodeId: clusterIds.node })).toEqual(["here"]);
});
