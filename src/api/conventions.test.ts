/** What holds for all resources: ETags, idempotency keys, pages, tasks, and what create refuses other verbs refuse too. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { GiB, MiB } from "../lib/units.ts";
import type { Problem } from "../model/api.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { type ApiHarness, createApiHarness, type RequestOptions } from "../testing/api/api-harness.ts";
import { clusterIds, fixtureId, fixtureImage, fixtureTask, fixtureVmStatus } from "../testing/fixtures.ts";

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

/** An image as it is after its import. */
async function readyImage(name: string, changes: Partial<Parameters<typeof fixtureImage>[0]> = {}) {
	const image = fixtureImage({ id: harness.ids.newId(), name, ...changes });
	const task = fixtureTask("image.import", { kind: "image", id: image.id }, { id: harness.ids.newId() });
	const { proposer } = harness.store;
	await proposer.proposeSystem({ kind: "imageCreate", image, task });
	await proposer.proposeSystem({
		kind: "imageStatus",
		id: image.id,
		phase: "ready",
		fileSizeBytes: 200 * MiB,
		virtualSizeBytes: 2 * GiB,
	});
	return image;
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

describe("states and conflicts", () => {
	test("an action that the state does not allow says so, with 409", async () => {
		const { body: vm, taskLocation } = await operator().call("vmCreate", { body: minimal("a") });
		const task = taskLocation?.split("/").at(-1) ?? "";
		for (const state of ["running", "succeeded"] as const)
			await harness.store.proposer.proposeSystem({ kind: "taskUpdate", id: task, state });
		for (const action of ["shutdown", "reset", "pause", "resume"])
			expect(await refused("POST", `/v1/vms/${vm.id}/actions/${action}`)).toMatchObject({
				status: 409,
				code: "wrong-state",
				detail: expect.stringContaining("stopped"),
			});
		const ticket = { kind: "browser", type: "vnc" };
		expect(await refused("POST", `/v1/vms/${vm.id}/console-tickets`, { body: ticket })).toMatchObject({ status: 409 });
		expect(await refused("GET", `/v1/vms/${vm.id}/metrics`)).toMatchObject({ status: 409 });
	});

	test("a name that is taken", async () => {
		await operator().call("vmCreate", { body: minimal("a") });
		const { body: other } = await operator().call("vmCreate", { body: minimal("b") });
		expect(await refused("POST", "/v1/vms", { body: minimal("A") })).toMatchObject({
			status: 409,
			code: "already-exists",
		});
		expect(await refused("PATCH", `/v1/vms/${other.id}`, { body: { name: "a" } })).toMatchObject({
			status: 409,
			errors: [{ path: "/name" }],
		});
	});

	test("no room for a full copy is 507, said before anything is made", async () => {
		const image = await readyImage("big");
		await harness.store.proposer.proposeSystem({
			kind: "poolNodeStatus",
			id: clusterIds.pool,
			status: {
				nodeId: clusterIds.node,
				health: "healthy",
				reason: null,
				totalBytes: GiB,
				usedBytes: GiB - MiB,
				availableBytes: MiB,
				capabilities: null,
				updatedAt: "2026-01-02T03:04:05.000Z",
			},
		});
		const disks = [{ imageId: image.id, fullCopy: true }];
		expect(await refused("POST", "/v1/vms", { body: { name: "a", disks } })).toMatchObject({
			status: 507,
			code: "no-space",
		});
		const upload = { name: "u", format: "raw", source: { kind: "upload" }, fileSizeBytes: GiB };
		expect(await refused("POST", "/v1/images", { body: upload })).toMatchObject({ status: 507 });
		expect(harness.store.count("vm")).toBe(0);
	});

	test("changes at the same time are all kept, unless one asks for a generation that is gone", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: minimal("a") });
		const path = { id: vm.id };
		await Promise.all([
			operator().call("vmUpdate", { path, body: { vcpus: 3 } }),
			operator().call("vmUpdate", { path, body: { memoryBytes: GiB } }),
			operator().call("vmUpdate", { path, body: { tpm: true } }),
		]);
		const { spec } = (await operator().call("vmGet", { path })).body;
		expect([spec.cpu.vcpus, spec.memory.sizeBytes, spec.tpm]).toEqual([3, GiB, true]);
		const both = await Promise.allSettled([
			operator().call("vmUpdate", { path, body: { vcpus: 4 }, ifMatch: 4 }),
			operator().call("vmUpdate", { path, body: { vcpus: 5 }, ifMatch: 4 }),
		]);
		expect(both.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
	});

	test("what create refuses, update refuses", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: { name: "a", start: false } });
		const path = `/v1/vms/${vm.id}`;
		const nic = vm.spec.nics[0];
		const disk = vm.spec.disks[0];
		for (const body of [
			{ cdroms: [{ id: "cdrom-0", imageId: (await readyImage("disk-image")).id }] },
			{ disks: [{ ...disk, volumeId: fixtureId(0x999) }] },
			{ disks: [disk, disk] },
			{ nics: [{ ...nic, networkId: fixtureId(0x998) }] },
			{ nics: [{ ...nic, mac: "01:00:5e:00:00:01" }] },
			{ nics: [{ ...nic, mac: "52:4C:00:00:00:01" }] },
			{ bootOrder: ["disk-7"] },
			{ maxVcpus: 1 },
			{ memoryBytes: 64 * GiB },
			{ tags: ["-x"] },
			{ description: "a\u0007b" },
			{ cloudInit: { kind: "form", hostname: "a\nb", users: [], packages: [], network: null } },
			{
				cloudInit: {
					kind: "form",
					hostname: null,
					users: [{ name: "u", sshKeys: ["a\nb"], passwordHash: null, sudo: false }],
					packages: [],
					network: null,
				},
			},
			{ cloudInit: { kind: "form", hostname: null, users: [], packages: ["a; reboot"], network: null } },
			{ spec: {} },
			{ nodeId: fixtureId(1) },
			{},
		])
			expect((await refused("PATCH", path, { body })).status).toBe(422);
		expect(harness.store.get("vm", vm.id)?.generation).toBe(1);
	});

	test("a MAC address is used once in the cluster", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: { name: "a", disks: [] } });
		const mac = vm.spec.nics[0]?.mac ?? "";
		expect(mac).toMatch(/^52:4c(:[0-9a-f]{2}){4}$/);
		const taken = await refused("POST", "/v1/vms", { body: { name: "b", disks: [], nics: [{ mac }] } });
		expect(taken).toMatchObject({ status: 409, errors: [{ path: "/nics/0/mac" }] });
	});

	test("a volume is one VM's", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: { name: "a", start: false } });
		const volumeId = vm.spec.disks[0]?.volumeId;
		const body = { name: "b", disks: [{ volumeId }] };
		expect(await refused("POST", "/v1/vms", { body })).toMatchObject({ status: 409, code: "in-use" });
		expect((await refused("DELETE", `/v1/volumes/${volumeId}`)).status).toBe(409);
	});

	test("pools and images stay out of the system's folders and our own", async () => {
		const pool = (path: string) =>
			refused("POST", "/v1/pools", { body: { name: "p", type: "local", config: { path } } });
		const hostile = [
			"/",
			"/etc",
			"/etc/lqx",
			"/proc/1/root",
			"/srv/../etc",
			"/srv//a",
			"/srv/./a",
			"/dev/shm",
			"/var/lib",
		];
		for (const path of [
			...hostile,
			"/var/lib/limiquantix",
			"/var/lib/limiquantix/raft",
			"relative",
			"/a\nb",
			"/a\u0000b",
		])
			expect((await pool(path)).status).toBe(422);
		const image = (path: string) =>
			refused("POST", "/v1/images", { body: { name: "i", format: "raw", source: { kind: "path", path } } });
		for (const path of [
			"/etc/shadow",
			"/proc/kcore",
			"/dev/sda",
			"/srv/../etc/shadow",
			"/var/lib/limiquantix/tls/key.pem",
			"/",
		])
			expect((await image(path)).status).toBe(422);
	});

	test("a download's URL is http(s) and holds no credentials", async () => {
		for (const url of [
			"file:///etc/passwd",
			"ftp://h/x",
			"http://user:pass@h/x",
			"https://u@h/x",
			"http://",
			"javascript:1",
			"http://h/\n",
		])
			expect(
				(await refused("POST", "/v1/images", { body: { name: "i", format: "raw", source: { kind: "url", url } } }))
					.status,
			).toBe(422);
	});

	test("networks: addresses that fit together, and no two that overlap", async () => {
		const nat = { kind: "nat", gateway: "10.9.0.1", prefixLength: 24, dhcpStart: "10.9.0.10", dhcpEnd: "10.9.0.99" };
		const attempt = (config: object) => refused("POST", "/v1/networks", { body: { name: "n", config } });
		for (const change of [
			{ gateway: "10.9.0.0" },
			{ dhcpStart: "10.8.0.1" },
			{ dhcpEnd: "10.9.0.5" },
			{ gateway: "10.9.0.50" },
		])
			expect((await attempt({ ...nat, ...change })).status).toBe(422);
		for (const gateway of ["10.9.0.256", "010.9.0.1", "10.9.0", "10.9.0.1/24", "::1"])
			expect((await attempt({ ...nat, gateway })).errors[0]?.path).toBe("/config/gateway");
		const overlapping = { ...nat, gateway: "10.20.0.1", dhcpStart: "10.20.0.10", dhcpEnd: "10.20.0.20" };
		expect((await attempt(overlapping)).status).toBe(409);
		for (const bridge of ["br0;reboot", "../x", "a".repeat(16), "-x", ""])
			expect((await attempt({ kind: "bridge", bridge })).status).toBe(422);
	});

	test("a running VM's disk is not downloaded from under it", async () => {
		const { body: vm } = await operator().call("vmCreate", { body: { name: "a" } });
		const { proposer } = harness.store;
		const volumeId = vm.spec.disks[0]?.volumeId ?? "";
		await proposer.proposeSystem({ kind: "volumeStatus", id: volumeId, phase: "ready" });
		await proposer.proposeSystem({
			kind: "vmStatus",
			id: vm.id,
			nodeId: clusterIds.node,
			status: fixtureVmStatus({ powerState: "running" }),
		});
		expect(await refused("GET", `/v1/volumes/${volumeId}/content`)).toMatchObject({ status: 409, code: "in-use" });
	});
});
