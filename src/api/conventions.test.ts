/** What holds for all resources: ETags, idempotency keys, pages, tasks. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Problem } from "../model/api.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { type ApiHarness, createApiHarness, type RequestOptions } from "../testing/api/api-harness.ts";
import { clusterIds } from "../testing/fixtures.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

const operator = () => harness.client("operator");
const minimal = (name: string) => ({ name, disks: [], nics: [], start: false });
async function refused(method: string, path: string, options: RequestOptions = {}): Promise<Problem> {
	const response = await harness.request(method, path, { as: "admin", ...options });
	expect(response.status).toBeGreaterThanOrEqual(400);
	return (await response.json()) as Problem;
}

describe("ETag and If-Match", () => {
	test("a write with an old generation is refused, one with the present one is not", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: minimal("a") });
		const path = { id: vm.id };
		const read = await harness.request("GET", `/v1/vms/${vm.id}`, { as: "viewer" });
		expect(read.headers.get("etag")).toBe('"1"');
		const changed = await operator().call("vmUpdate", { path, body: { description: "x" }, ifMatch: 1 });
		expect(changed.generation).toBe(2);
		const late = operator().call("vmUpdate", { path, body: { description: "y" }, ifMatch: 1 });
		await expect(late).rejects.toMatchObject({ code: "stale-etag" });
		await expect(operator().call("vmDelete", { path, ifMatch: 1 })).rejects.toMatchObject({ code: "stale-etag" });
		expect((await operator().call("vmDelete", { path, ifMatch: 2 })).status).toBe(202);
	});

	test("is checked for every object that has one", async () => {
		const objects = [
			["/v1/cluster", { name: "x" }],
			[`/v1/nodes/${clusterIds.node}`, { name: "x" }],
			[`/v1/pools/${clusterIds.pool}`, { name: "x" }],
			[`/v1/networks/${clusterIds.network}`, { name: "x" }],
			[`/v1/users/${harness.accounts.viewer.user.id}`, { displayName: "x" }],
		] as const;
		for (const [path, body] of objects) {
			const headers = { "if-match": '"99"' };
			expect(await refused("PATCH", path, { body, headers })).toMatchObject({ status: 412, code: "stale-etag" });
			if (path.split("/").length < 4 || path.includes("nodes")) continue;
			expect(await refused("DELETE", path, { headers })).toMatchObject({ status: 412 });
		}
	});

	test("in a form that is none of ours is refused, not passed over", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: minimal("a") });
		for (const value of ["1", 'W/"1"', '"1", "2"', '"x"', "''"])
			expect(
				await refused("PATCH", `/v1/vms/${vm.id}`, { body: { description: "x" }, headers: { "if-match": value } }),
			).toMatchObject({ status: 412 });
	});
});

describe("Idempotency-Key", () => {
	const create = (key: string, body: unknown, as: RequestOptions["as"] = "operator") =>
		harness.request("POST", "/v1/vms", { as, body, headers: { "idempotency-key": key } });

	test("the second request gets the first answer, and nothing is made twice", async () => {
		const first = (await (await create("k1", minimal("a"))).json()) as Vm;
		const again = await create("k1", minimal("a"));
		expect([again.status, ((await again.json()) as Vm).id]).toEqual([201, first.id]);
		expect(harness.store.count("vm")).toBe(1);
	});

	test("also when both come at once", async () => {
		const answers = await Promise.all([
			create("k2", minimal("a")),
			create("k2", minimal("a")),
			create("k2", minimal("a")),
		]);
		const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as Vm).id));
		expect(new Set(ids).size).toBe(1);
		expect(harness.store.count("vm")).toBe(1);
	});

	test("a key belongs to whoever sent it", async () => {
		await create("k3", minimal("a"));
		expect((await create("k3", minimal("b"), "admin")).status).toBe(201);
		expect(harness.store.count("vm")).toBe(2);
	});

	test("another request with the same key is refused", async () => {
		const { id } = (await (await create("k4", minimal("a"))).json()) as Vm;
		const { id: other } = (await (await create("k5", minimal("b"))).json()) as Vm;
		const headers = { "idempotency-key": "k4" };
		const start = await refused("POST", `/v1/vms/${id}/actions/start`, { as: "operator", headers });
		expect(start).toMatchObject({ status: 422, errors: [{ path: "idempotency-key" }] });
		const stop = (vm: string) =>
			harness.request("POST", `/v1/vms/${vm}/actions/stop`, { as: "operator", headers: { "idempotency-key": "k6" } });
		const first = (await (await stop(id)).json()) as Task;
		expect(((await (await stop(id)).json()) as Task).id).toBe(first.id);
		expect((await stop(other)).status).toBe(422);
	});

	test("another body with the same key is refused, now and when both come at once", async () => {
		expect((await create("k7", minimal("a"))).status).toBe(201);
		const other = await create("k7", minimal("b"));
		expect(other.status).toBe(422);
		expect(await other.json()).toMatchObject({ errors: [{ path: "idempotency-key" }] });
		const reordered = Object.fromEntries(Object.entries(minimal("a")).reverse());
		expect((await create("k7", reordered)).status).toBe(201);
		const answers = await Promise.all([create("k8", minimal("c")), create("k8", minimal("d"))]);
		expect(answers.map(({ status }) => status).sort()).toEqual([201, 422]);
		expect(harness.store.count("vm")).toBe(2);
	});

	test("has a form", async () => {
		for (const key of ["a b", "x".repeat(256), "é"])
			expect(
				(await refused("POST", "/v1/vms", { body: minimal("a"), headers: { "idempotency-key": key } })).status,
			).toBe(422);
	});
});

describe("pages", () => {
	test("every object once, in order, also while others come and go", async () => {
		for (let i = 0; i < 25; i++)
			await operator().call("vmCreate", { body: minimal(`vm-${String(i).padStart(2, "0")}`) });
		const names: string[] = [];
		let pageToken: string | null = null;
		do {
			const query: { limit: number; sort: "-name"; pageToken?: string } = { limit: 7, sort: "-name" };
			if (pageToken) query.pageToken = pageToken;
			const { body } = await operator().call("vmList", { query });
			names.push(...body.items.map((vm) => vm.name));
			pageToken = body.nextPageToken;
			// Before and behind the place that was reached.
			await operator().call("vmCreate", { body: minimal(`z-${names.length}`) });
			await operator().call("vmCreate", { body: minimal(`vm-${names.length}-late`) });
		} while (pageToken);
		const original = names.filter((name) => /^vm-\d\d$/.test(name));
		expect(original).toEqual(Array.from({ length: 25 }, (_, i) => `vm-${String(24 - i).padStart(2, "0")}`));
		expect(new Set(names).size).toBe(names.length);
		expect(names.some((name) => name.startsWith("z-"))).toBe(false);
	});

	test("filters take several values; search takes part of the name", async () => {
		await operator().call("vmCreate", { body: { ...minimal("web-1"), tags: ["web", "prod"] } });
		await operator().call("vmCreate", { body: { ...minimal("db-1"), tags: ["db", "prod"] } });
		await operator().call("vmCreate", { body: { ...minimal("test"), tags: ["web"] } });
		const names = async (query: string) => {
			const response = await harness.request("GET", `/v1/vms?${query}`, { as: "viewer" });
			return ((await response.json()) as { items: Vm[] }).items.map((vm) => vm.name);
		};
		expect(await names("tag=web&tag=db")).toEqual(["db-1", "test", "web-1"]);
		expect(await names("tag=prod&search=WEB")).toEqual(["web-1"]);
		expect(await names("powerState=running")).toEqual([]);
		expect(await names("search=%25")).toEqual([]);
	});

	test("a token of another list is refused", async () => {
		await operator().call("vmCreate", { body: minimal("a") });
		await operator().call("vmCreate", { body: minimal("b") });
		const { body } = await operator().call("vmList", { query: { limit: 1 } });
		const pageToken = body.nextPageToken ?? "";
		await expect(
			operator().call("vmList", { query: { limit: 1, sort: "-createdAt", pageToken } }),
		).rejects.toMatchObject({
			code: "invalid",
		});
	});
});

describe("tasks", () => {
	test("waiting ends with the task", async () => {
		const { taskLocation } = await operator().call("vmCreate", { body: minimal("a") });
		const id = taskLocation?.split("/").at(-1) ?? "";
		const started = performance.now();
		const waiting = operator().call("taskGet", { path: { id }, query: { waitMs: 30_000 } });
		const { proposer } = harness.store;
		await proposer.proposeSystem({ kind: "taskUpdate", id, state: "running", progress: 50 });
		await proposer.proposeSystem({ kind: "taskUpdate", id, state: "succeeded" });
		expect((await waiting).body).toMatchObject({ state: "succeeded" });
		expect(performance.now() - started).toBeLessThan(5000);
	});

	test("or when the time is up, or the client goes", async () => {
		const { taskLocation } = await operator().call("vmCreate", { body: minimal("a") });
		const path = { id: taskLocation?.split("/").at(-1) ?? "" };
		expect((await operator().call("taskGet", { path, query: { waitMs: 5 } })).body.state).toBe("pending");
		const abort = new AbortController();
		const waiting = operator().call("taskGet", { path, query: { waitMs: 30_000 }, signal: abort.signal });
		abort.abort();
		expect((await waiting).body.state).toBe("pending");
		expect(harness.api.services.taskWaits.size).toBe(0);
	});

	test("no more than a thousand requests wait; the others are told to come again", async () => {
		const { taskLocation } = await operator().call("vmCreate", { body: minimal("a") });
		const path = { id: taskLocation?.split("/").at(-1) ?? "" };
		const { taskWaits } = harness.api.services;
		const abort = new AbortController();
		const waiting = Array.from({ length: 1000 }, () => taskWaits.wait(path.id, 30_000, abort.signal));
		await expect(operator().call("taskGet", { path, query: { waitMs: 1 } })).rejects.toMatchObject({
			code: "too-many-requests",
		});
		expect((await operator().call("taskGet", { path })).status).toBe(200);
		abort.abort();
		await Promise.all(waiting);
		expect(taskWaits.size).toBe(0);
	});

	test("what is finished, or cannot be canceled, is not", async () => {
		const { body: vm, taskLocation } = await operator().call("vmCreate", { body: minimal("a") });
		const path = { id: taskLocation?.split("/").at(-1) ?? "" };
		for (const state of ["running", "succeeded"] as const)
			await harness.store.proposer.proposeSystem({ kind: "taskUpdate", id: path.id, state });
		await expect(operator().call("taskCancel", { path })).rejects.toMatchObject({ code: "wrong-state" });
		const { body: task } = await operator().call("vmStart", { path: { id: vm.id } });
		await expect(operator().call("taskCancel", { path: { id: task.id } })).rejects.toMatchObject({
			code: "wrong-state",
		});
	});
});
