/** What the state does not allow, and what no verb accepts: what create refuses, the others refuse too. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { GiB, MiB } from "../lib/units.ts";
import type { Problem } from "../model/api.ts";
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
