/** Pools and networks while one of their nodes is not heard of: what it said last is not shown as if it were so now. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { EventReader, type SentEvent } from "../../testing/api/event-reader.ts";
import { clusterIds, fixtureId, fixtureNode, fixturePool, fixtureTask } from "../../testing/fixtures.ts";
import { admitSecond, secondNodeId } from "../../testing/node/second-node.ts";

const [both, theirs] = [fixtureId(0x500), fixtureId(0x501)];
let harness: ApiHarness;
const propose: ApiHarness["store"]["proposer"]["proposeSystem"] = (body) => harness.store.proposer.proposeSystem(body);
const lose = () =>
	propose({ kind: "nodeLost", id: secondNodeId, reason: "The other nodes do not hear from it.", lost: true });

async function makePool(id: string, name: string, nodeIds: string[]): Promise<void> {
	const pool = fixturePool({ id, name, config: { path: `/srv/${name}` }, nodeIds });
	const task = fixtureTask("pool.create", { kind: "pool", id }, { id: harness.ids.newId() });
	await propose({ kind: "poolCreate", pool, task });
	for (const nodeId of nodeIds) {
		const figures = { totalBytes: 100, usedBytes: 40, availableBytes: 60, capabilities: null };
		const updatedAt = new Date(systemClock.nowMs()).toISOString();
		await propose({
			...{ kind: "poolNodeStatus", id },
			status: { nodeId, health: "healthy", reason: null, ...figures, updatedAt },
		});
	}
}

beforeEach(async () => {
	harness = await createApiHarness();
	await admitSecond({ propose, ids: harness.ids, nowMs: systemClock.nowMs() }, { status: fixtureNode().status });
	await makePool(both, "both", [clusterIds.node, secondNodeId]);
	await makePool(theirs, "theirs", [secondNodeId]);
	for (const nodeId of [clusterIds.node, secondNodeId])
		await propose({
			...{ kind: "networkNodeStatus", id: clusterIds.network },
			status: { nodeId, health: "healthy", bridge: "br", error: null },
		});
});
afterEach(() => harness.close());

test("its part of a pool is in error, without figures, in answers, lists, events and metrics", async () => {
	const viewer = harness.client("viewer");
	const list = async (...phase: ("ready" | "degraded" | "error")[]) => {
		const { items } = (await viewer.call("poolList", { query: phase.length > 0 ? { phase } : {} })).body;
		return items.filter(({ id }) => id !== clusterIds.pool).map((pool) => `${pool.name} ${pool.phase}`);
	};
	expect(await list()).toEqual(["both ready", "theirs ready"]);
	const events = new EventReader(await harness.request("GET", "/v1/events", { as: "viewer" }));
	await lose();
	expect(await list()).toEqual(["both degraded", "theirs error"]);
	expect(await list("ready")).toEqual([]);
	expect(await list("degraded")).toEqual(["both degraded"]);
	expect(await list("error")).toEqual(["theirs error"]);
	const reason = "Its node, node-2, is not heard of.";
	const unknown = { nodeId: secondNodeId, health: "error", reason, totalBytes: null, availableBytes: null };
	const nodes = [{ nodeId: clusterIds.node, health: "healthy", availableBytes: 60 }, unknown];
	expect((await viewer.call("poolGet", { path: { id: both } })).body).toMatchObject({ phase: "degraded", nodes });
	const body = { description: "new" };
	expect((await harness.client("admin").call("poolUpdate", { path: { id: both }, body })).body).toMatchObject({
		nodes,
	});
	const described = (sent: SentEvent) => sent.event === "change" && JSON.parse(sent.data).object?.description === "new";
	const sent = (await events.until(described)).at(-1);
	events.close();
	expect(JSON.parse(sent?.data ?? "").object).toMatchObject({ phase: "degraded", nodes });
	const metrics = await (await harness.request("GET", "/metrics", { as: "viewer" })).text();
	const free = metrics.split("\n").filter((line) => line.startsWith("limiquantix_pool_available_bytes{"));
	expect(free.filter((line) => line.includes(secondNodeId))).toEqual([]);
	expect(free.filter((line) => line.includes('pool="both"'))).toHaveLength(1);
	await propose({ kind: "nodeStatus", id: secondNodeId, status: fixtureNode().status });
	expect(await list()).toEqual(["both ready", "theirs ready"]);
});

test("nobody says how a network is there", async () => {
	const viewer = harness.client("viewer");
	const known = async () => {
		const path = { id: clusterIds.network };
		const [listed] = (await viewer.call("networkList", { query: {} })).body.items;
		const got = (await viewer.call("networkGet", { path })).body;
		expect(listed?.nodes).toEqual(got.nodes);
		return got.nodes.map(({ nodeId }) => nodeId);
	};
	expect(await known()).toHaveLength(2);
	await lose();
	expect(await known()).toEqual([clusterIds.node]);
});

test("a pool is deleted by a node where it works, which can clear its place", async () => {
	const figures = { totalBytes: 100, usedBytes: 40, availableBytes: 60, capabilities: null };
	const updatedAt = new Date(systemClock.nowMs()).toISOString();
	await propose({
		...{ kind: "poolNodeStatus", id: both },
		status: { nodeId: clusterIds.node, health: "unmounted", reason: "It is not there.", ...figures, updatedAt },
	});
	// Nor are its figures those of now.
	const metrics = await (await harness.request("GET", "/metrics", { as: "viewer" })).text();
	const free = metrics.split("\n").filter((line) => line.startsWith("limiquantix_pool_available_bytes{"));
	expect(free.filter((line) => line.includes('pool="both"')).map((line) => line.includes(secondNodeId))).toEqual([
		true,
	]);
	const { body: task } = await harness.client("admin").call("poolDelete", { path: { id: both } });
	expect(task.nodeId).toBe(secondNodeId);
});
