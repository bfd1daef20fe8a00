/** Each operation does its work once, through the generated client; the harness holds the answers against OpenAPI. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { OperationTypes } from "../gen/api.ts";
import { type OperationName, operations } from "../gen/api.ts";
import type { ApiClient } from "../lib/api-client.ts";
import { MiB } from "../lib/units.ts";
import { type ApiHarness, createApiHarness, password } from "../testing/api/api-harness.ts";
import { fakeSecretHash } from "../testing/api/fake-cluster.ts";
import { snapshotOperations } from "../testing/api/snapshot-operations.ts";
import { clusterIds, fixtureId, fixtureNode, fixtureVm, fixtureVmStatus } from "../testing/fixtures.ts";

let harness: ApiHarness;
let admin: ApiClient<OperationTypes>;
const called = new Set<OperationName>();
beforeAll(async () => {
	harness = await createApiHarness();
	const client = harness.client("admin");
	admin = {
		call(operation, ...options) {
			called.add(operation);
			return client.call(operation, ...options);
		},
	};
});
afterAll(() => harness.close());

/** What the node would report. */
const reportVm = (id: string, powerState: "stopped" | "running" | "paused") =>
	harness.store.proposer.proposeSystem({
		...{ kind: "vmStatus", id, nodeId: clusterIds.node },
		status: fixtureVmStatus({ powerState }),
	});
async function finish(taskLocation: string | null) {
	const id = taskLocation?.split("/").at(-1) ?? "";
	for (const state of ["running", "succeeded"] as const)
		await harness.store.proposer.proposeSystem({ kind: "taskUpdate", id, state });
}
const readyVolume = (id: string) =>
	harness.store.proposer.proposeSystem({ kind: "volumeStatus", id, phase: "ready", sizeBytes: 64 * MiB });
const readyImage = (id: string) =>
	harness.store.proposer.proposeSystem({
		...{ kind: "imageStatus", id, phase: "ready", fileSizeBytes: 8 * MiB },
		...{ virtualSizeBytes: 64 * MiB, sha256: "0".repeat(64) },
	});

test("service", async () => {
	const health = (await admin.call("healthGet")).body;
	expect(health).toMatchObject({ nodeId: clusterIds.node, quorum: true, hypervisor: "connected" });
	expect((await admin.call("openapiGet")).body.openapi).toBe("3.1.0");
	expect(await (await admin.call("metricsGet")).body.text()).toContain("limiquantix_store_quorum 1\n");
	const stream = (await admin.call("eventsStream")).body;
	expect(stream.headers.get("content-type")).toBe("text/event-stream");
	await stream.body?.cancel();
});

test("sessions and oneself", async () => {
	const { body: created, location } = await admin.call("sessionCreate", { body: { username: "viewer", password } });
	expect(location).toBe(`/v1/sessions/${created.session.id}`);
	expect((await admin.call("meGet")).body).toMatchObject({ role: "admin", user: { name: "admin" } });
	const all = (await admin.call("sessionList", { query: { all: true } })).body.items;
	expect(all.map((session) => session.userName)).toContain("viewer");
	await admin.call("sessionDelete", { path: { id: created.session.id } });
	const own = await harness.auth.signIn("operator", password, { remoteAddress: null, userAgent: null });
	called.add("sessionDeleteCurrent").add("mePasswordChange");
	const client = harness.client({ secret: own.secret });
	await client.call("mePasswordChange", { body: { currentPassword: password, newPassword: "another battery staple" } });
	await client.call("sessionDeleteCurrent");
	await expect(client.call("meGet")).rejects.toMatchObject({ code: "unauthenticated" });
});

test("tokens", async () => {
	const { body } = await admin.call("tokenCreate", { body: { name: "ci", role: "viewer" } });
	expect(body.secret).toMatch(/^lqx_[\w-]{43}$/);
	const items = (await admin.call("tokenList")).body.items;
	expect(items).toEqual([body.token]);
	expect((await harness.client({ secret: body.secret }).call("meGet")).body).toMatchObject({
		requester: { kind: "token", name: "admin/ci" },
		role: "viewer",
	});
	await admin.call("tokenDelete", { path: { id: body.token.id }, ifMatch: 1 });
	await expect(harness.client({ secret: body.secret }).call("meGet")).rejects.toMatchObject({
		code: "unauthenticated",
	});
});

test("users and audit", async () => {
	const { body: user } = await admin.call("userCreate", {
		body: { name: "carla", role: "viewer", password: "a long enough one" },
	});
	const path = { id: user.id };
	expect((await admin.call("userGet", { path })).body).toEqual(user);
	const changed = await admin.call("userUpdate", { path, body: { displayName: "Carla" }, ifMatch: 1 });
	expect(changed).toMatchObject({ body: { displayName: "Carla" }, generation: 2 });
	await admin.call("userPasswordReset", { path, body: { newPassword: "a new long password" } });
	expect((await admin.call("userGet", { path })).body.mustChangePassword).toBe(true);
	expect((await admin.call("userList", { query: { search: "CARL" } })).body.items).toHaveLength(1);
	await admin.call("userDelete", { path });
	const records = (await admin.call("auditList", { query: { operation: ["userCreate", "userDelete"] } })).body.items;
	expect(records.map((record) => record.operation)).toEqual(["userDelete", "userCreate"]);
	expect(records[0]).toMatchObject({ requester: { name: "admin" }, outcome: "accepted" });
});

test("cluster and nodes", async () => {
	expect((await admin.call("clusterGet")).body).toMatchObject({ version: "0.0.0-test", quorum: true, firstRun: true });
	expect((await admin.call("clusterUpdate", { body: { name: "lab" } })).body.name).toBe("lab");
	const path = { id: clusterIds.node };
	expect((await admin.call("nodeList")).body.items).toHaveLength(1);
	expect((await admin.call("nodeGet", { path })).generation).toBe(1);
	expect((await admin.call("nodeUpdate", { path, body: { name: "blade-1" } })).body.name).toBe("blade-1");
	expect((await admin.call("nodeMetricsGet", { path })).body.load1).toBe(0.5);
	const history = await admin.call("nodeMetricsHistoryGet", { path });
	expect(history.body).toMatchObject({ intervalMs: 10_000, items: [{ load1: 0.5 }] });
	const since = history.body.items[0]?.sampledAt ?? "";
	expect((await admin.call("nodeMetricsHistoryGet", { path, query: { since } })).body.items).toEqual([]);
	expect((await admin.call("clusterStatusGet")).body).toEqual(harness.cluster.current);
	expect((await admin.call("clusterLeaderTransfer", { body: { nodeId: clusterIds.node } })).body.leaderNodeId).toBe(
		clusterIds.node,
	);
	expect((await admin.call("nodeCertificateRenew", { path })).body.fingerprint).toHaveLength(64);
	await expect(admin.call("clusterBackupGet")).rejects.toMatchObject({ code: "forbidden" });
	const { body: backup } = await harness.client("local").call("clusterBackupGet");
	expect(Buffer.from(await backup.bytes()).toString("latin1", 0, 15)).toBe("SQLite format 3");
});

test("nodes that come and go", async () => {
	const { body } = await admin.call("joinTokenCreate", { body: { uses: 2 } });
	expect((await admin.call("joinTokenList")).body.items).toEqual([body.token]);
	const id = fixtureId(0x44);
	await harness.store.proposer.proposeSystem({
		kind: "nodeAdmit",
		...{ tokenId: body.token.id, secretHash: fakeSecretHash(body.token.id), keyFingerprint: "7".repeat(64) },
		node: fixtureNode({ id, name: "node-2" }),
	});
	await admin.call("joinTokenDelete", { path: { id: body.token.id } });
	await admin.call("nodeRemove", { path: { id }, body: { confirmName: "node-2" } });
	expect((await admin.call("nodeGet", { path: { id } })).body.status.phase).toBe("left");
	const request = { body: { token: "x", preview: true } };
	await expect(admin.call("clusterJoin", request)).rejects.toMatchObject({ code: "forbidden" });
	expect((await harness.client("local").call("clusterJoin", request)).body.clusterName).toBe("berlin");
	// The only node stays.
	const leave = admin.call("nodeLeave", { path: { id: clusterIds.node } });
	await expect(leave).rejects.toMatchObject({ code: "wrong-state" });
});

test("images", async () => {
	const sha256 = "1".repeat(64);
	const { body: image, taskLocation } = await admin.call("imageCreate", {
		body: { name: "debian", format: "qcow2", source: { kind: "upload" }, fileSizeBytes: 6, sha256 },
		idempotencyKey: "upload-1",
	});
	expect(taskLocation).toMatch(/^\/v1\/tasks\//);
	expect(image).toMatchObject({ phase: "uploading", expectedSha256: sha256 });
	const path = { id: image.id };
	const first = await admin.call("imageContentPut", {
		path,
		headers: { "upload-offset": 0 },
		body: new Uint8Array([1, 2, 3]),
	});
	expect(first.body).toEqual({ receivedBytes: 3 });
	const again = admin.call("imageContentPut", { path, headers: { "upload-offset": 0 }, body: new Uint8Array([1]) });
	await expect(again).rejects.toMatchObject({ code: "wrong-state" });
	await admin.call("imageContentPut", { path, headers: { "upload-offset": 3 }, body: new Uint8Array([4, 5]) });
	const uploads = harness.store.all("audit", { operation: "imageContentPut" });
	const outcomes = uploads.map(({ outcome, errorCode }) => [outcome, errorCode]).sort();
	expect(outcomes).toEqual([
		["accepted", null],
		["rejected", "wrong-state"],
	]);
	expect(uploads[0]?.targets).toEqual([{ kind: "image", id: image.id, name: "debian" }]);
	expect((await admin.call("imageUploadStatus", { path })).body).toEqual({ receivedBytes: 5, fileSizeBytes: 6 });
	await harness.store.proposer.proposeSystem({ kind: "imageStatus", id: image.id, phase: "importing" });
	await readyImage(image.id);
	await finish(taskLocation);
	expect((await admin.call("imageUpdate", { path, body: { tags: ["linux"] } })).body.tags).toEqual(["linux"]);
	expect((await admin.call("imageGet", { path })).body.phase).toBe("ready");
	expect((await admin.call("imageList", { query: { format: ["qcow2"], phase: ["ready"] } })).body.items).toHaveLength(
		1,
	);
	const download = (await admin.call("imageContentGet", { path })).body;
	expect(download.headers.get("content-disposition")).toBe('attachment; filename="debian.qcow2"');
	expect(await download.bytes()).toEqual(new Uint8Array([1, 2, 3, 4]));
	expect((await admin.call("imageDelete", { path })).body).toMatchObject({ kind: "image.delete", state: "pending" });
});

test("volumes", async () => {
	const { body: volume } = await admin.call("volumeCreate", { body: { name: "data", sizeBytes: 64 * MiB } });
	expect(volume).toMatchObject({
		poolId: clusterIds.pool,
		format: "qcow2",
		phase: "pending",
		source: { kind: "empty" },
	});
	const path = { id: volume.id };
	await readyVolume(volume.id);
	expect((await admin.call("volumeUpdate", { path, body: { name: "data-1" } })).body.name).toBe("data-1");
	expect((await admin.call("volumeGet", { path })).body.phase).toBe("ready");
	const { body: clone } = await admin.call("volumeClone", { path, body: { name: "copy" } });
	expect(clone).toMatchObject({ source: { kind: "clone", volumeId: volume.id, fullCopy: false }, sizeBytes: 64 * MiB });
	expect(
		(await admin.call("volumeList", { query: { poolId: [clusterIds.pool], sort: "-name" } })).body.items,
	).toHaveLength(2);
	expect(await (await admin.call("volumeContentGet", { path, query: { format: "raw" } })).body.bytes()).toHaveLength(4);
	await readyVolume(clone.id);
	const resize = await admin.call("volumeResize", { path: { id: clone.id }, body: { sizeBytes: 128 * MiB } });
	expect(resize.body).toMatchObject({ kind: "volume.resize", input: { sizeBytes: 128 * MiB } });
	await readyVolume(clone.id);
	await finish(resize.location);
	const check = await admin.call("volumeCheck", { path: { id: clone.id }, body: { repair: true } });
	expect(check.body).toMatchObject({ kind: "volume.check", input: { repair: true }, cancelable: true });
	await finish(check.location);
	const flatten = await admin.call("volumeFlatten", { path: { id: clone.id } });
	expect(flatten.body).toMatchObject({ kind: "volume.flatten", cancelable: true, nodeId: clusterIds.node });
	await finish(flatten.location);
	expect((await admin.call("volumeDelete", { path: { id: clone.id } })).status).toBe(202);
	const { body: other } = await admin.call("poolCreate", {
		body: { name: "other", type: "local", config: { path: "/srv/other" } },
	});
	const { body: alone } = await admin.call("volumeCreate", { body: { name: "alone", sizeBytes: 64 * MiB } });
	await readyVolume(alone.id);
	const move = await admin.call("volumeMove", { path: { id: alone.id }, body: { poolId: other.id, format: "raw" } });
	expect(move.body).toMatchObject({ kind: "volume.move", nodeId: clusterIds.node, cancelable: true });
	expect(move.body.input).toMatchObject({ poolId: other.id, nodeId: clusterIds.node, format: "raw" });
});

test("what nobody owns in a pool", async () => {
	const id = fixtureId(0x777);
	const about = { name: null, reason: null, format: "raw", sizeBytes: 64 * MiB, allocatedBytes: 4096 } as const;
	const orphan = { nodeId: clusterIds.node, kind: "volume", found: "no-record", ...about } as const;
	harness.node.orphans = [id, fixtureId(0x778)].map((one) => ({ ...orphan, id: one }));
	const path = { id: clusterIds.pool };
	expect((await admin.call("poolContentList", { path, query: {} })).body.items).toEqual([]);
	expect((await admin.call("poolOrphanList", { path, query: {} })).body.items).toHaveLength(2);
	const adopted = await admin.call("poolOrphanAdopt", { path, query: {}, body: { volumeId: id, name: "rescued" } });
	expect(adopted.body).toMatchObject({ id, name: "rescued", format: "raw", allocatedBytes: 4096, phase: "pending" });
	const body = { volumeIds: [fixtureId(0x778), fixtureId(0x779)], imageIds: [] };
	const task = (await admin.call("poolOrphanDelete", { path, query: {}, body })).body;
	expect(task).toMatchObject({ kind: "pool.deleteOrphans", nodeId: clusterIds.node, cancelable: true, input: body });
	const audit = await admin.call("auditList", { query: { operation: ["poolOrphanDelete"] } });
	expect(audit.body.items[0]?.targets.map((target) => target.id)).toEqual([path.id, ...body.volumeIds]);
});

test("pools and networks", async () => {
	const { body: pool } = await admin.call("poolCreate", {
		body: { name: "fast", type: "local", config: { path: "/srv/fast/" } },
	});
	expect(pool.config).toEqual({ path: "/srv/fast" });
	const path = { id: pool.id };
	expect((await admin.call("poolGet", { path })).body.phase).toBe("pending");
	expect((await admin.call("poolUpdate", { path, body: { description: "NVMe" } })).body.description).toBe("NVMe");
	const probed = await admin.call("poolProbe", { query: {}, body: { type: "local", config: { path: "/srv/other" } } });
	const offered = await admin.call("poolDiscover", { query: {}, body: { type: "nfs", server: "files" } });
	expect(offered.body.exports).toEqual([{ path: "/srv/vms", clients: ["*"] }]);
	expect(probed.body.nodes).toMatchObject([{ ok: true, error: null }]);
	expect((await admin.call("poolList", { query: { type: ["local"] } })).body.items).toHaveLength(3);
	expect((await admin.call("poolDelete", { path })).body.kind).toBe("pool.delete");
	const { body: network } = await admin.call("networkCreate", {
		body: { name: "lan", config: { kind: "bridge", bridge: "br0" } },
	});
	const there = { id: network.id };
	expect((await admin.call("networkGet", { path: there })).body.config).toEqual({ kind: "bridge", bridge: "br0" });
	expect((await admin.call("networkUpdate", { path: there, body: { name: "lan-1" } })).body.name).toBe("lan-1");
	expect((await admin.call("networkList")).body.items).toHaveLength(2);
	expect((await admin.call("networkLeaseList", { path: there })).body.items).toEqual([]);
	expect((await admin.call("networkDelete", { path: there })).body.kind).toBe("network.delete");
});

test("VMs: create, look, change, act, delete", async () => {
	const { body: vm, taskLocation, location } = await admin.call("vmCreate", { body: { name: "web", start: false } });
	expect(location).toBe(`/v1/vms/${vm.id}`);
	const path = { id: vm.id };
	expect((await admin.call("vmGet", { path })).generation).toBe(1);
	const task = { id: taskLocation?.split("/").at(-1) ?? "" };
	expect((await admin.call("taskGet", { path: task })).body).toMatchObject({
		kind: "vm.create",
		input: { start: false },
	});
	expect((await admin.call("taskCancel", { path: task })).body.cancelRequested).toBe(true);
	expect((await admin.call("taskList", { query: { targetId: [vm.id] } })).body.items).toHaveLength(1);
	await finish(taskLocation);
	const updated = await admin.call("vmUpdate", { path, body: { vcpus: 4, description: "front end" }, ifMatch: 1 });
	expect(updated.body).toMatchObject({ description: "front end", spec: { cpu: { vcpus: 4, maxVcpus: 8 } } });
	expect(updated.taskLocation).not.toBeNull();
	await finish(updated.taskLocation);
	expect(
		(await admin.call("vmList", { query: { powerState: ["stopped"], sort: "-createdAt" } })).body.items,
	).toHaveLength(1);

	const steps = [
		["vmStart", "running"],
		["vmPause", "paused"],
		["vmResume", "running"],
		["vmReset", "running"],
		["vmShutdown", "stopped"],
		["vmStart", "running"],
		["vmStop", "stopped"],
	] as const;
	for (const [operation, after] of steps) {
		const accepted = await admin.call(operation, { path });
		expect(accepted.taskLocation).toBe(accepted.location);
		await reportVm(vm.id, after);
		await finish(accepted.taskLocation);
	}
	const media = await admin.call("vmMediaChange", { path, body: { cdromId: "cdrom-0", imageId: null } });
	expect(media.body.kind).toBe("vm.update");
	await finish(media.taskLocation);
	const gone = await admin.call("vmDelete", { path, query: { deleteVolumes: false } });
	expect(gone.body).toMatchObject({ kind: "vm.delete", input: { deleteVolumes: false } });
});

test("snapshots", () => snapshotOperations({ admin, harness, finish, readyVolume, reportVm }));

test("VMs: inside", async () => {
	const { body: vm, taskLocation } = await admin.call("vmCreate", { body: { name: "db" } });
	await reportVm(vm.id, "running");
	await finish(taskLocation);
	const path = { id: vm.id };
	harness.node.vmFigures = {
		sampledAt: "2026-01-02T03:04:05.000Z",
		cpuUsedRatio: 0.5,
		memoryUsedBytes: null,
		diskReadBytesPerSecond: 0,
		diskWriteBytesPerSecond: 0,
		netReceivedBytesPerSecond: 0,
		netSentBytesPerSecond: 0,
	};
	expect((await admin.call("vmMetricsGet", { path })).body.cpuUsedRatio).toBe(0.5);
	expect((await admin.call("vmMetricsHistoryGet", { path })).body.items).toHaveLength(1);
	const query = { since: "2026-01-02T03:04:05.000Z" };
	expect((await admin.call("vmMetricsHistoryGet", { path, query })).body.items).toEqual([]);
	expect((await admin.call("vmScreenshotGet", { path })).body.headers.get("content-type")).toBe("image/png");
	expect(await (await admin.call("vmSerialLogGet", { path, query: { maxBytes: 2 } })).body.text()).toBe(": ");
	expect(await (await admin.call("vmDomainXmlGet", { path })).body.text()).toContain(vm.id);
	const ticket = await admin.call("vmConsoleTicketCreate", { path, body: { kind: "browser", type: "vnc" } });
	expect(ticket.body).toMatchObject({ path: "/v1/console", viewOnly: false });
	const viewer = harness.client("viewer");
	const limited = await viewer.call("vmConsoleTicketCreate", {
		path,
		body: { kind: "native", type: "vnc", viewOnly: false },
	});
	expect(limited.body.viewOnly).toBe(true);
	expect(harness.console.requests.map((request) => request.viewOnly)).toEqual([false, true]);
	const tickets = harness.store.all("audit", { operation: "vmConsoleTicketCreate" });
	expect(tickets.map(({ requester }) => requester.name).sort()).toEqual(["admin", "viewer"]);
	expect(tickets[0]).toMatchObject({ outcome: "accepted", targets: [{ kind: "vm", id: vm.id, name: vm.name }] });
});

test("foreign VMs", async () => {
	harness.node.foreign = [
		{
			id: fixtureId(0xf0),
			name: "old",
			nodeId: clusterIds.node,
			powerState: "running",
			vcpus: 1,
			memoryBytes: MiB,
			obstacles: [],
			changes: [],
		},
	];
	expect((await admin.call("foreignVmList")).body.items).toHaveLength(1);
	const vm = fixtureVm({ id: fixtureId(0xf0), name: "old", status: fixtureVmStatus({ powerState: "running" }) });
	vm.spec = { ...vm.spec, disks: [], nics: [], cdroms: [], bootOrder: [] };
	harness.node.adoption = { vm, volumes: [] };
	const adopted = await admin.call("foreignVmAdopt", { path: { id: fixtureId(0xf0) } });
	expect(adopted.body).toMatchObject({ kind: "vm.adopt", targets: [{ kind: "vm", name: "old" }] });
});

test("a cluster of one node has nowhere to move a VM to", async () => {
	const { body } = await admin.call("vmCreate", { body: { name: "stays", start: false } });
	const moved = admin.call("vmMove", { path: { id: body.id }, body: { nodeId: clusterIds.node } });
	await expect(moved).rejects.toMatchObject({ code: "wrong-state" });
});

test("the demo VM: its image is imported once", async () => {
	expect((await admin.call("clusterGet")).body.demoAvailable).toBe(false);
	const before = harness.store.appliedIndex;
	await expect(admin.call("vmCreateDemo")).rejects.toMatchObject({ code: "unsupported" });
	expect(harness.store.appliedIndex).toBe(before);
	harness.node.demoImage = "/usr/share/limiquantix/demo.qcow2";
	expect((await admin.call("clusterGet")).body.demoAvailable).toBe(true);
	// Plays the node: an import is finished as soon as it is there.
	const stop = harness.store.subscribe((events) => {
		for (const { target, type, object } of events) {
			if (target.kind !== "image" || type !== "created" || object === null) continue;
			const [task] = harness.store.all("task", { targetId: target.id });
			void readyImage(target.id).then(() => finish(`/v1/tasks/${task?.id}`));
		}
	});
	const first = await admin.call("vmCreateDemo", { idempotencyKey: "demo" });
	expect(first.body).toMatchObject({ name: "demo", desiredPower: "running", spec: { firmware: "bios" } });
	expect((await admin.call("vmCreateDemo", { idempotencyKey: "demo" })).body.id).toBe(first.body.id);
	const second = await admin.call("vmCreateDemo");
	expect(second.body.name).toBe("demo-2");
	stop();
	expect(harness.store.all("image", { name: "limiquantix-demo" })).toHaveLength(1);
});

test("every operation was called", () => {
	expect(Object.keys(operations).filter((operation) => !called.has(operation as OperationName))).toEqual([]);
});
