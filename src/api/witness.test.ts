/**
 * A witness only votes: whatever is to be made on it is refused for that, and not for what it lacks because of it. What any
 * node can do is done by another one when it is a witness that is asked.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { GiB } from "../lib/units.ts";
import { type ApiHarness, createApiHarness } from "../testing/api/api-harness.ts";
import { clusterIds, fixtureId, fixtureMember, fixtureNode } from "../testing/fixtures.ts";

const witness = fixtureNode({ id: fixtureId(0x77), name: "node-3", witness: true });
let api: ApiHarness;
beforeEach(async () => {
	api = await createApiHarness({});
	const { get } = api.store;
	api.store.get = ((table: "node", id: string) =>
		table === "node" && id === witness.id ? witness : get.call(api.store, table, id)) as typeof get;
});
afterEach(() => api.close());

test("VMs, with disks and without, volumes and images", async () => {
	const bodies: [path: string, body: object][] = [
		["/v1/vms", { name: "web" }],
		["/v1/vms", { name: "web", disks: [] }],
		["/v1/volumes", { name: "data", sizeBytes: GiB }],
		["/v1/images", { name: "debian", format: "raw", source: { kind: "url", url: "https://example.org/debian.raw" } }],
	];
	for (const [path, body] of bodies) {
		const answer = await api.request("POST", path, { as: "admin", body: { ...body, nodeId: witness.id } });
		const { code, detail } = (await answer.json()) as { code: string; detail: string };
		expect({ path, code, detail }).toEqual({
			...{ path, code: "wrong-state", detail: "The node node-3 is a witness: it only votes." },
		});
	}
});

describe("asked through a witness", () => {
	const [second, third] = [fixtureId(0x992), fixtureId(0x993)];

	/** The node that answers is a witness; two others are members, the first of them not ready. */
	async function askedWitness(): Promise<void> {
		const { status } = fixtureNode();
		const others = [
			{ id: second, name: "node-2", status: { ...status, phase: "not-ready" as const } },
			{ id: third, name: "node-3" },
		];
		for (const other of others)
			for (const body of fixtureMember(other, api.clock.nowMs())) await api.store.proposer.proposeSystem(body);
		const { get, all } = api.store;
		const seen = <T extends { id: string } | null>(node: T): T =>
			node?.id === clusterIds.node ? { ...node, witness: true } : node;
		api.store.get = ((table: "node", id: string) => {
			const object = get.call(api.store, table, id);
			return table === "node" ? seen(object) : object;
		}) as typeof get;
		api.store.all = ((table: "node", filter: Parameters<typeof all>[1]) => {
			const objects = all.call(api.store, table, filter);
			return table === "node" ? objects.map(seen) : objects;
		}) as typeof all;
	}

	test("networks are made and deleted by a node that is ready", async () => {
		await askedWitness();
		const config = { kind: "bridge", bridge: "br0" };
		const created = await api.request("POST", "/v1/networks", { as: "admin", body: { name: "lan", config } });
		expect(created.status).toBe(201);
		const { id } = (await created.json()) as { id: string };
		const deleted = await api.request("DELETE", `/v1/networks/${id}`, { as: "admin" });
		expect(deleted.status).toBe(202);
		const tasks = api.store.all("task", { targetId: id });
		expect(tasks.map(({ kind, nodeId }) => [kind, nodeId]).sort()).toEqual([
			["network.create", third],
			["network.delete", third],
		]);
	});
});
