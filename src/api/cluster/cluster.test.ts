/** The members of the cluster through the API: who may what, what is refused, and what the audit has of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import type { Problem } from "../../model/api.ts";
import type { JoinToken, JoinTokenCreated } from "../../model/cluster.ts";
import { type ApiHarness, createApiHarness, type RequestOptions } from "../../testing/api/api-harness.ts";
import { EventReader } from "../../testing/api/event-reader.ts";
import { fakeSecretHash, fixtureClusterStatus, fixtureMember } from "../../testing/api/fake-cluster.ts";
import { clusterIds, fixtureId, fixtureNode, fixtureVm, fixtureVmSpec } from "../../testing/fixtures.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

const admin = () => harness.client("admin");
const audited = (operation: string) =>
	harness.store
		.all("audit", { operation })
		.map(({ outcome, errorCode, targets, requester }) => [
			outcome,
			errorCode,
			targets[0]?.name ?? null,
			requester.name,
		]);
async function refused(method: string, path: string, options: RequestOptions = {}): Promise<Problem> {
	const response = await harness.request(method, path, { as: "admin", ...options });
	expect(response.status).toBeGreaterThanOrEqual(400);
	return (await response.json()) as Problem;
}

/** It is created where the command applies: some milliseconds after the handler looked at the clock. */
const lifetimeSeconds = ({ createdAt, expiresAt }: JoinToken) =>
	Math.round((Date.parse(expiresAt) - Date.parse(createdAt)) / 1000);

const otherId = fixtureId(0x42);
/** A second node comes with a token, as it would over the peer link. */
async function admitOther(name = "node-2", witness = false): Promise<void> {
	const { body } = await admin().call("joinTokenCreate", { body: {} });
	await harness.store.proposer.propose(
		{
			kind: "nodeAdmit",
			...{ tokenId: body.token.id, secretHash: fakeSecretHash(body.token.id), keyFingerprint: "7".repeat(64) },
			node: fixtureNode({ id: otherId, name, witness, peerAddresses: ["10.0.0.2:8444"] }),
		},
		{
			requester: { kind: "system", id: null, name: `join token ${body.token.id}` },
			...{ operation: "nodeAdmit", credential: null, remoteAddress: null, idempotencyKey: null },
		},
	);
}

describe("status", () => {
	test("is what this node's part in the cluster says, for everybody who is signed in", async () => {
		const members = [fixtureMember(), fixtureMember({ nodeId: otherId, name: "node-2", role: "follower" })];
		harness.cluster.current = fixtureClusterStatus({ members, voterCount: 2, quorumSize: 2 });
		expect((await harness.client("viewer").call("clusterStatusGet")).body).toEqual(harness.cluster.current);
	});

	test("is in the metrics", async () => {
		const members = [fixtureMember(), fixtureMember({ nodeId: otherId, reachable: false, latencyMs: 1.5 })];
		harness.cluster.current = fixtureClusterStatus({ members, term: 7, commitIndex: 99 });
		const tickDelays = { bounds: [0.001, 0.5], counts: [40, 2], sum: 1.25, count: 43 };
		harness.cluster.counted = { leaderChanges: 3, messagesDropped: 11, tickDelays };
		const text = await (await harness.client("viewer").call("metricsGet")).body.text();
		for (const line of [
			"limiquantix_cluster_term 7",
			"limiquantix_cluster_commit_index 99",
			"limiquantix_cluster_leader 1",
			"limiquantix_cluster_leader_changes_total 3",
			"limiquantix_cluster_members 2",
			"limiquantix_cluster_members_reachable 1",
			"limiquantix_peer_messages_dropped_total 11",
			'limiquantix_cluster_tick_delay_seconds_bucket{le="0.001"} 40',
			'limiquantix_cluster_tick_delay_seconds_bucket{le="0.5"} 42',
			'limiquantix_cluster_tick_delay_seconds_bucket{le="+Inf"} 43',
			"limiquantix_cluster_tick_delay_seconds_sum 1.25",
			"limiquantix_cluster_tick_delay_seconds_count 43",
			`limiquantix_peer_round_trip_seconds{node="${otherId}"} 0.0015`,
		])
			expect(text).toContain(`${line}\n`);
	});
});

describe("a node's certificate", () => {
	const path = `/v1/nodes/${clusterIds.node}/actions/renew-certificate`;

	test("is renewed, and the audit says by whom", async () => {
		await admin().call("nodeCertificateRenew", { path: { id: clusterIds.node } });
		harness.cluster.failure = new AppError("unavailable", "There is no authority.");
		expect(await refused("POST", path)).toMatchObject({ status: 503 });
		expect(harness.cluster.renewals).toBe(1);
		expect(audited("nodeCertificateRenew").sort()).toEqual([
			["accepted", null, "node-1", "admin"],
			["rejected", "unavailable", "node-1", "admin"],
		]);
	});

	test("is of a node that is there", async () => {
		expect(await refused("POST", path.replace(clusterIds.node, fixtureId(0xdead)))).toMatchObject({ status: 404 });
		expect(harness.cluster.renewals).toBe(0);
	});
});

describe("the leader", () => {
	test("is transferred, and the audit says by whom", async () => {
		expect((await admin().call("clusterLeaderTransfer")).body).toEqual({ leaderNodeId: clusterIds.node });
		await admin().call("clusterLeaderTransfer", { body: { nodeId: clusterIds.node } });
		expect(harness.cluster.transfers).toEqual([null, clusterIds.node]);
		harness.cluster.failure = new AppError("wrong-state", "It does not vote.");
		expect(await refused("POST", "/v1/cluster/actions/transfer-leader", { body: {} })).toMatchObject({ status: 409 });
		expect(audited("clusterLeaderTransfer").sort()).toEqual([
			["accepted", null, null, "admin"],
			["accepted", null, "node-1", "admin"],
			["rejected", "wrong-state", null, "admin"],
		]);
	});

	test("cannot be a witness, which would hand it on at once", async () => {
		await admitOther("arbiter", true);
		const body = { nodeId: otherId };
		expect(await refused("POST", "/v1/cluster/actions/transfer-leader", { body })).toMatchObject({ status: 409 });
		expect(harness.cluster.transfers).toEqual([]);
	});

	test("cannot be a node that is not there", async () => {
		const body = { nodeId: fixtureId(0xdead) };
		expect(await refused("POST", "/v1/cluster/actions/transfer-leader", { body })).toMatchObject({ status: 404 });
		expect(harness.cluster.transfers).toEqual([]);
	});
});

describe("join tokens", () => {
	test("are shown once; what is kept and told has no secret", async () => {
		const events = new EventReader(await harness.request("GET", "/v1/events", { as: "admin" }));
		const { body, location } = await admin().call("joinTokenCreate", { body: { uses: 3, expiresInMs: 60_000 } });
		const { token, secret, command } = body;
		expect(location).toBe(`/v1/cluster/tokens/${token.id}`);
		expect(token).toMatchObject({ usesLeft: 3, createdBy: "admin", admitted: [] });
		expect(lifetimeSeconds(token)).toBe(60);
		expect(command).toBe(`limiquantix cluster join --token ${secret}`);
		expect(harness.store.joinTokenSecret(token.id)).toBe(fakeSecretHash(token.id));
		const list = await (await harness.request("GET", "/v1/cluster/tokens", { as: "admin" })).text();
		const [event] = await events.until(({ data }) => data.includes(token.id));
		events.close();
		for (const text of [list, event?.data ?? "", JSON.stringify(harness.store.all("audit"))]) {
			expect(text).not.toContain(secret);
			expect(text).not.toContain(fakeSecretHash(token.id));
		}
		expect(JSON.parse(list).items).toEqual([token]);
	});

	test("are good for an hour and one node when nothing is said, and for a day and 64 at most", async () => {
		const { token } = (await admin().call("joinTokenCreate", { body: {} })).body;
		expect(token.usesLeft).toBe(1);
		expect(lifetimeSeconds(token)).toBe(3600);
		for (const body of [{ uses: 0 }, { uses: 65 }, { expiresInMs: 59_999 }, { expiresInMs: 86_400_001 }, { x: 1 }])
			expect(await refused("POST", "/v1/cluster/tokens", { body })).toMatchObject({ status: 422 });
	});

	test("of a repeated request are two: an Idempotency-Key does not show a secret again", async () => {
		const again = async () => {
			const headers = { "idempotency-key": "k1" };
			const response = await harness.request("POST", "/v1/cluster/tokens", { as: "admin", body: {}, headers });
			expect(response.status).toBe(201);
			return ((await response.json()) as JoinTokenCreated).secret;
		};
		expect(await again()).not.toBe(await again());
		expect(harness.store.count("joinToken")).toBe(2);
	});

	test("are nothing for operators, their events neither", async () => {
		for (const [method, path] of [
			["GET", "/v1/cluster/tokens"],
			["POST", "/v1/cluster/tokens"],
			["DELETE", `/v1/cluster/tokens/${fixtureId(1)}`],
		] as const)
			expect(await refused(method, path, { as: "operator" })).toMatchObject({ status: 403 });
		const events = new EventReader(await harness.request("GET", "/v1/events", { as: "operator" }));
		const { token } = (await admin().call("joinTokenCreate", { body: {} })).body;
		await admin().call("clusterUpdate", { body: { name: "later" } });
		const seen = await events.until(({ data }) => data.includes("later"));
		events.close();
		expect(JSON.stringify(seen)).not.toContain(token.id);
	});

	test("are deleted, once", async () => {
		const { token } = (await admin().call("joinTokenCreate", { body: {} })).body;
		const path = { id: token.id };
		await expect(admin().call("joinTokenDelete", { path, ifMatch: 7 })).rejects.toMatchObject({ code: "stale-etag" });
		await admin().call("joinTokenDelete", { path, ifMatch: 1 });
		await expect(admin().call("joinTokenDelete", { path })).rejects.toMatchObject({ code: "not-found" });
		expect(harness.store.joinTokenSecret(token.id)).toBeNull();
	});
});

describe("joining", () => {
	const body = { token: "lqxjoin1_x", ownAddresses: ["10.0.0.1:8444"], preview: true };

	test("is for root on the node alone", async () => {
		const path = "/v1/cluster/actions/join";
		expect(await refused("POST", path, { body })).toMatchObject({ status: 403 });
		expect(await refused("POST", path, { body, as: "nobody" })).toMatchObject({ status: 401 });
		expect(harness.cluster.joins).toEqual([]);
		expect((await harness.client("local").call("clusterJoin", { body })).body).toMatchObject({ joining: false });
		expect(harness.cluster.joins).toEqual([body]);
	});

	test("tells the clashes, and what the other cluster says", async () => {
		const clash = { kind: "vm" as const, name: "web", message: "A VM has this name.", renamable: true };
		harness.cluster.preview = { ...harness.cluster.preview, clashes: [clash] };
		const answer = await harness.client("local").call("clusterJoin", { body: { token: "x" } });
		expect(answer.body).toMatchObject({ clashes: [clash], joining: false });
		harness.cluster.failure = new AppError("unavailable", "Nobody answers at 10.0.0.9:8444.");
		const failed = await refused("POST", "/v1/cluster/actions/join", { body, as: "local" });
		expect(failed).toMatchObject({ status: 503, detail: "Nobody answers at 10.0.0.9:8444." });
	});

	test("takes no addresses that nobody can reach", async () => {
		const bad = { ...body, ownAddresses: ["0.0.0.0:8444"] };
		const problem = await refused("POST", "/v1/cluster/actions/join", { body: bad, as: "local" });
		expect(problem).toMatchObject({ status: 422, errors: [{ path: "/ownAddresses/0" }] });
	});
});

describe("leaving", () => {
	const leave = () => admin().call("nodeLeave", { path: { id: clusterIds.node } });

	test("is recorded before the node goes", async () => {
		await admitOther();
		await leave();
		expect(harness.cluster.left).toBe(1);
		expect(harness.store.get("node", clusterIds.node)?.status.phase).toBe("left");
		expect(audited("nodeLeave")).toEqual([["accepted", null, "node-1", "admin"]]);
	});

	test("that fails on the way says why", async () => {
		await admitOther();
		harness.cluster.failure = new AppError("unavailable", "There is no leader.");
		await expect(leave()).rejects.toMatchObject({ code: "unavailable", message: "There is no leader." });
		expect(harness.store.get("node", clusterIds.node)?.status.phase).toBe("ready");
	});

	test("is how a node that was removed becomes one of its own again", async () => {
		harness.cluster.current = fixtureClusterStatus({ removed: true, quorum: false });
		await leave();
		expect(harness.cluster.left).toBe(1);
	});

	test("is how a node that was admitted, and has no state, becomes what it was", async () => {
		harness.cluster.current = fixtureClusterStatus({ arriving: true, quorum: false, members: [] });
		const { store } = harness;
		const get = store.get.bind(store);
		store.get = ((table: "node", id: string) => (table === "node" ? null : get(table, id))) as typeof store.get;
		await harness.client("local").call("nodeLeave", { path: { id: clusterIds.node } });
		expect(harness.cluster.left).toBe(1);
	});

	test("is refused for the only node, and while something is on it", async () => {
		await expect(leave()).rejects.toMatchObject({ code: "wrong-state" });
		await admitOther();
		const vm = { name: "web", disks: [], nics: [], start: false, nodeId: clusterIds.node };
		await admin().call("vmCreate", { body: vm });
		await expect(leave()).rejects.toMatchObject({ code: "in-use", message: expect.stringContaining("web") });
		expect(harness.cluster.left).toBe(0);
	});

	test("is for the node itself", async () => {
		await admitOther();
		await expect(admin().call("nodeLeave", { path: { id: otherId } })).rejects.toMatchObject({ code: "unavailable" });
		expect(harness.store.get("node", otherId)?.status.phase).toBe("joining");
	});
});

describe("removing", () => {
	const remove = (id: string, confirmName: string) =>
		refused("POST", `/v1/nodes/${id}/actions/remove`, { body: { confirmName } });

	test("wants the node's name typed, and the audit keeps it", async () => {
		await admitOther();
		const vm = fixtureVm({ nodeId: otherId, name: "far", spec: fixtureVmSpec() });
		await harness.store.proposer.proposeSystem({
			...{ kind: "nodeImport", nodeId: otherId, formerNodeId: fixtureId(0x43), renameSuffix: null },
			...{ pools: [], networks: [], images: [], volumes: [], vms: [vm] },
		});
		expect(await remove(otherId, "node-1")).toMatchObject({ status: 422, errors: [{ path: "/confirmName" }] });
		await admin().call("nodeRemove", { path: { id: otherId }, body: { confirmName: "node-2" } });
		expect(harness.store.get("node", otherId)?.status.phase).toBe("left");
		expect(harness.store.get("vm", vm.id)?.status.powerState).toBe("unknown");
		const [record] = harness.store.all("audit", { operation: "nodeRemove" });
		expect(record).toMatchObject({ outcome: "accepted", confirmation: expect.stringContaining("node-2") });
	});

	test("is asked again by whoever had no answer", async () => {
		await admitOther();
		for (const _ of ["first", "again"])
			expect(
				(await admin().call("nodeRemove", { path: { id: otherId }, body: { confirmName: "node-2" } })).status,
			).toBe(204);
		expect(await remove(otherId, "node-1")).toMatchObject({ status: 422 });
		expect(harness.store.all("audit", { operation: "nodeRemove", outcome: "accepted" })).toHaveLength(1);
	});

	test("is asked for one that the state has forgotten since, by its id", async () => {
		await admitOther();
		await admin().call("nodeRemove", { path: { id: otherId }, body: { confirmName: "node-2" } });
		await harness.store.proposer.proposeSystem({ kind: "nodeGone", id: otherId });
		harness.cluster.formerMembers.add(otherId);
		const again = await admin().call("nodeRemove", { path: { id: otherId }, body: { confirmName: "node-2" } });
		expect(again.status).toBe(204);
		expect(await remove(fixtureId(0xdead), "node-2")).toMatchObject({ status: 404 });
	});

	test("is asked twice at the same moment: one of them does it, and it is done for both", async () => {
		await admitOther();
		const both = [0, 1].map(() =>
			harness.request("POST", `/v1/nodes/${otherId}/actions/remove`, { as: "admin", body: { confirmName: "node-2" } }),
		);
		expect((await Promise.all(both)).map(({ status }) => status)).toEqual([204, 204]);
		expect(harness.store.all("audit", { operation: "nodeRemove", outcome: "accepted" })).toHaveLength(1);
	});

	test("is not for one that answers, unless it is still joining", async () => {
		await admitOther();
		const reached = (reachable: boolean) => {
			const other = fixtureMember({ nodeId: otherId, name: "node-2", role: "follower", reachable });
			harness.cluster.current = fixtureClusterStatus({ members: [fixtureMember(), other] });
		};
		reached(true);
		await harness.store.proposer.proposeSystem({ kind: "nodeStatus", id: otherId, status: fixtureNode().status });
		expect(await remove(otherId, "node-2")).toMatchObject({
			...{ status: 409, code: "wrong-state", detail: expect.stringContaining("node-2 is not off: it answers") },
		});
		expect(harness.store.get("node", otherId)?.status.phase).toBe("ready");
		reached(false);
		harness.cluster.heardBy.set(otherId, "node-3");
		expect(await remove(otherId, "node-2")).toMatchObject({
			...{ status: 409, detail: expect.stringContaining("node-2 is not off: it answers node-3.") },
		});
		harness.cluster.heardBy.clear();
		await admin().call("nodeRemove", { path: { id: otherId }, body: { confirmName: "node-2" } });
		expect(harness.store.get("node", otherId)?.status.phase).toBe("left");
	});

	test("one that is joining can be removed, whether it answers or not", async () => {
		await admitOther();
		const other = fixtureMember({ nodeId: otherId, name: "node-2", role: "learner" });
		harness.cluster.current = fixtureClusterStatus({ members: [fixtureMember(), other] });
		await admin().call("nodeRemove", { path: { id: otherId }, body: { confirmName: "node-2" } });
		expect(harness.store.get("node", otherId)?.status.phase).toBe("left");
	});

	test("is not for the node that is asked, nor for operators", async () => {
		expect(await remove(clusterIds.node, "node-1")).toMatchObject({ status: 409, code: "wrong-state" });
		expect(await remove(fixtureId(0xdead), "x")).toMatchObject({ status: 404 });
		const path = `/v1/nodes/${clusterIds.node}/actions/remove`;
		expect(await refused("POST", path, { as: "operator", body: { confirmName: "node-1" } })).toMatchObject({
			status: 403,
		});
	});
});
