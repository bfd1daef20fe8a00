/** What works while the cluster takes no writes: signing in, reading, consoles, and the power switch for root on the host. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { Problem } from "../model/api.ts";
import { notLeading, removed } from "../store/raft/refusals.ts";
import { type ApiHarness, createApiHarness, password } from "../testing/api/api-harness.ts";
import { loseQuorum } from "../testing/api/lose-quorum.ts";
import { clusterIds, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { ManualClock } from "../testing/manual-clock.ts";

let api: ApiHarness;
let clock: ManualClock;
let vmId: string;
let back: () => void;

beforeEach(async () => {
	clock = new ManualClock(Date.UTC(2026, 0, 2));
	api = await createApiHarness({ clock });
	const made = await api.client("operator").call("vmCreate", { body: { name: "web", start: false } });
	vmId = made.body.id;
	back = loseQuorum(api.store);
});
afterEach(() => api.close());

async function signIn(): Promise<string> {
	const body = { username: "operator", password };
	const answer = await api.request("POST", "/v1/sessions", { as: "nobody", body });
	expect(answer.status).toBe(201);
	return ((await answer.json()) as { token: string }).token;
}

test("one signs in on this node; reads are marked as stale, writes say why not", async () => {
	const secret = await signIn();
	const list = await api.request("GET", "/v1/vms", { as: { secret } });
	expect([list.status, list.headers.get("x-lqx-stale")]).toEqual([200, "true"]);
	const start = await api.request("POST", `/v1/vms/${vmId}/actions/start`, { as: { secret } });
	expect(start.status).toBe(503);
	expect(await start.json()).toMatchObject({ code: "unavailable", detail: expect.stringContaining("no quorum") });
	// Others may have made it meanwhile.
	const unknown = await api.request("GET", `/v1/vms/${fixtureId(0x99)}`, { as: { secret } });
	expect([unknown.status, unknown.headers.get("retry-after")]).toEqual([503, "1"]);
	expect(await unknown.json()).toMatchObject({ detail: expect.stringContaining("It may be there all the same") });
	const users = await api.request("GET", "/v1/users", { as: { secret } });
	expect(users.status).toBe(403);
});

test("on a node that has not received the cluster's state nobody can sign in, and no password is called wrong", async () => {
	const { cluster } = api;
	cluster.current = { ...cluster.current, arriving: true, quorum: false, leaderNodeId: null, members: [] };
	const body = { username: "operator", password };
	const answer = await api.request("POST", "/v1/sessions", { as: "nobody", body });
	expect(answer.status).toBe(503);
	expect(await answer.json()).toMatchObject({ detail: expect.stringContaining("has not received its state yet") });
	const renamed = await api.request("PATCH", "/v1/cluster", { as: "local", body: { name: "later" } });
	expect(renamed.status).toBe(503);
	expect(await renamed.json()).toMatchObject({ detail: expect.stringContaining("has not received its state yet") });
});

test("on a node that was removed, too; writes say so, and that to repeat them is no use", async () => {
	const { cluster, store } = api;
	cluster.current = { ...cluster.current, removed: true, quorum: false };
	store.propose = () => Promise.reject(removed());
	const secret = await signIn();
	expect((await api.request("GET", "/v1/vms", { as: { secret } })).headers.get("x-lqx-stale")).toBe("true");
	const renamed = await api.request("PATCH", "/v1/cluster", { as: "admin", body: { name: "later" } });
	expect([renamed.status, renamed.headers.get("retry-after")]).toEqual([409, null]);
	expect((await api.request("GET", `/v1/vms/${fixtureId(0x99)}`, { as: { secret } })).status).toBe(404);
	const start = await api.request("POST", `/v1/vms/${vmId}/actions/start`, { as: { secret } });
	expect(start.status).toBe(409);
	expect(((await start.json()) as Problem).detail).toContain("This node was removed from the cluster");
});

const problem =
	"This node belongs to a cluster that was recovered elsewhere. `limiquantix cluster join` takes this node in.";

/** What changes the cluster, or its members: all that `limiquantix cluster` does with a member. */
async function changes(as: "admin" | "local"): Promise<Record<string, [status: number, detail: string]>> {
	const node = `/v1/nodes/${clusterIds.node}`;
	const other = fixtureNode({ id: fixtureId(0x77), name: "node-2" });
	const { get } = api.store;
	api.store.get = ((table: "node", id: string) =>
		table === "node" && id === other.id ? other : get.call(api.store, table, id)) as typeof get;
	const asked: [what: string, method: string, path: string, body?: object][] = [
		["rename", "PATCH", "/v1/cluster", { name: "later" }],
		["readdress", "PATCH", node, { peerAddresses: ["10.0.0.1:8444"] }],
		["transfer-leader", "POST", "/v1/cluster/actions/transfer-leader", {}],
		["leave", "POST", `${node}/actions/leave`],
		["remove", "POST", `/v1/nodes/${other.id}/actions/remove`, { confirmName: "node-2" }],
		["token create", "POST", "/v1/cluster/tokens", {}],
	];
	const said: Record<string, [number, string]> = {};
	for (const [what, method, path, body] of asked) {
		if (what === "transfer-leader") api.cluster.failure = notLeading(null);
		const answer = await api.request(method, path, { as, ...(body === undefined ? {} : { body }) });
		said[what] = [answer.status, answer.status === 204 ? "" : ((await answer.json()) as Problem).detail];
	}
	api.store.get = get;
	return said;
}

test("a node whose cluster was recovered elsewhere says so, whatever is to be changed, and not to try again", async () => {
	const { cluster } = api;
	cluster.current = { ...cluster.current, recoveredElsewhere: true, quorum: false, leaderNodeId: null, problem };
	const said = await changes("local");
	expect(said).toEqual(Object.fromEntries(Object.keys(said).map((what) => [what, [409, problem]])));
	const secret = await signIn();
	const start = await api.request("POST", `/v1/vms/${vmId}/actions/start`, { as: { secret } });
	expect([start.status, ((await start.json()) as Problem).detail]).toEqual([409, problem]);
	// While it may still find others, it is to be tried again.
	cluster.current = { ...cluster.current, quorum: true, leaderNodeId: clusterIds.node };
	expect((await changes("local")).rename?.[0]).toBe(503);
});

test("a removed node says that it was removed, whatever is to be changed", async () => {
	const { cluster, store } = api;
	cluster.current = { ...cluster.current, removed: true, quorum: false, leaderNodeId: null };
	store.propose = () => Promise.reject(removed());
	const { leave, ...said } = await changes("admin");
	for (const [what, [status, detail]] of Object.entries(said))
		expect({ what, status, detail }).toEqual({ what, status: 409, detail: removed().message });
	// With nothing on it, it may become a cluster of its own.
	expect(leave).toEqual([204, ""]);
});

test("a wrong password is refused as ever", async () => {
	const body = { username: "operator", password: "not the password" };
	expect((await api.request("POST", "/v1/sessions", { as: "nobody", body })).status).toBe(401);
});

test("its session opens consoles, and ends when one signs out", async () => {
	const secret = await signIn();
	const ticket = { kind: "native", type: "vnc" };
	const path = `/v1/vms/${vmId}/console-tickets`;
	// The VM is stopped: that is what is refused, not the session.
	expect((await api.request("POST", path, { as: { secret }, body: ticket })).status).toBe(409);
	expect((await api.request("DELETE", "/v1/sessions/current", { as: { secret } })).status).toBe(204);
	expect((await api.request("GET", "/v1/me", { as: { secret } })).status).toBe(401);
});

test("with a quorum again it is a session like any other", async () => {
	const secret = await signIn();
	back();
	clock.advance(2_000);
	await waitUntil("the session to be written down", 10_000, () => api.store.all("session").length === 4);
	const start = await api.request("POST", `/v1/vms/${vmId}/actions/start`, { as: { secret } });
	expect(start.status).toBe(202);
});

test("it ends when the password was changed meanwhile", async () => {
	const secret = await signIn();
	back();
	const user = api.accounts.operator.user.id;
	const newPassword = "another long password";
	await api.client("admin").call("userPasswordReset", { path: { id: user }, body: { newPassword } });
	clock.advance(2_000);
	const me = async () => (await api.request("GET", "/v1/me", { as: { secret } })).status;
	await waitUntil("the session to end", 10_000, async () => (await me()) === 401);
});

test("root on the host cuts the power of a VM of this host, and of no other", async () => {
	const stop = (id: string, as: "local" | "admin") => api.request("POST", `/v1/vms/${id}/actions/stop`, { as });
	expect((await stop(vmId, "admin")).status).toBe(503);
	expect(api.node.stopped).toEqual([]);
	const answer = await stop(vmId, "local");
	expect(answer.status).toBe(202);
	// There is no such task to ask for.
	expect([answer.headers.get("location"), answer.headers.get("task-location")]).toEqual([null, null]);
	expect(await answer.json()).toMatchObject({ kind: "vm.stop", state: "succeeded", nodeId: clusterIds.node });
	expect(api.node.stopped).toEqual([vmId]);
	const { get } = api.store;
	api.store.get = ((table: "vm", id: string) => {
		const found = get.call(api.store, table, id);
		return table === "vm" && found ? { ...found, nodeId: "0190a000-0000-7000-8000-00000000ffff" } : found;
	}) as typeof get;
	expect((await stop(vmId, "local")).status).toBe(503);
	api.store.get = get;
	expect(api.node.stopped).toEqual([vmId]);
});

test("that root did so is in the audit when there is a quorum again, with the time at which it was", async () => {
	const stop = () => api.request("POST", `/v1/vms/${vmId}/actions/stop`, { as: "local" });
	const beganMs = clock.nowMs();
	expect((await stop()).status).toBe(202);
	api.node.stopWithoutQuorum = () => Promise.reject(new AppError("unavailable", "libvirt does not answer."));
	expect((await stop()).status).toBe(503);
	clock.advance(60_000);
	const records = () => api.store.all("audit").filter(({ operation }) => operation === "vmStop");
	expect(records()).toEqual([]);
	back();
	await waitUntil("the records to be written", 10_000, () => {
		clock.advance(2_000);
		return records().length === 2;
	});
	const common = {
		requester: { kind: "local", id: null, name: "local" },
		targets: [{ kind: "vm", id: vmId, name: "web" }],
		time: new Date(beganMs).toISOString(),
	};
	// Of the same millisecond: their ids do not tell which came first.
	expect(records().sort((a, b) => a.outcome.localeCompare(b.outcome))).toMatchObject([
		{ ...common, outcome: "accepted", errorCode: null },
		{ ...common, outcome: "rejected", errorCode: "unavailable" },
	]);
});
