/** What the API says to snapshots: what it asks the node for, what it refuses and why, and volumes that are made of one. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { GiB, MiB } from "../../lib/units.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureVmStatus } from "../../testing/fixtures.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

const propose: ApiHarness["store"]["proposer"]["proposeSystem"] = (body) => harness.store.proposer.proposeSystem(body);
const admin = () => harness.client("admin");
const finish = async () => {
	for (const { id } of harness.store.all("task", { state: ["pending", "running"] }))
		await propose({ kind: "taskUpdate", id, state: "succeeded" });
};
const report = (id: string, powerState: "stopped" | "running") =>
	propose({
		...{ kind: "vmStatus", id, nodeId: clusterIds.node },
		status: fixtureVmStatus({ powerState, observedGeneration: 1 }),
	});

async function madeVm(disks = 2): Promise<string> {
	const sizes = Array.from({ length: disks }, () => ({ sizeBytes: GiB }));
	const { body } = await admin().call("vmCreate", {
		body: { name: "web", start: false, disks: sizes, memoryBytes: 512 * MiB },
	});
	for (const { id } of harness.store.all("volume"))
		await propose({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 0 });
	await finish();
	await report(body.id, "stopped");
	return body.id;
}
async function taken(vmId: string, name: string): Promise<string> {
	const { body } = await admin().call("snapshotCreate", { path: { id: vmId }, body: { name } });
	await propose({ kind: "snapshotStatus", id: body.id, phase: "ready", powerState: "stopped" });
	await finish();
	return body.id;
}

test("a snapshot is made, shown, changed, reverted to and deleted", async () => {
	const vmId = await madeVm();
	const made = await admin().call("snapshotCreate", {
		path: { id: vmId },
		body: { name: "one", description: "first" },
	});
	expect(made).toMatchObject({ status: 201, generation: 1 });
	expect(made.body).toMatchObject({ name: "one", description: "first", vmId, phase: "creating", current: false });
	expect(made.body.disks).toHaveLength(2);
	const task = await admin().call("taskGet", { path: { id: made.taskLocation?.split("/").at(-1) ?? "" } });
	expect(task.body).toMatchObject({
		...{ kind: "vm.snapshot", nodeId: clusterIds.node, input: { snapshotId: made.body.id } },
		targets: [
			{ kind: "vm", id: vmId },
			{ kind: "snapshot", id: made.body.id, name: "one" },
		],
	});
	await propose({ kind: "snapshotStatus", id: made.body.id, phase: "ready", powerState: "stopped" });
	await finish();
	const second = await taken(vmId, "two");
	const path = { path: { id: made.body.id } };
	const { items } = (await admin().call("snapshotList", { path: { id: vmId } })).body;
	expect(items.map(({ name, current }) => [name, current])).toEqual([
		["one", false],
		["two", true],
	]);
	const changed = await admin().call("snapshotUpdate", { ...path, body: { name: "uno" }, ifMatch: 1 });
	expect([changed.body.name, changed.generation]).toEqual(["uno", 2]);
	await expect(admin().call("snapshotDelete", { ...path, ifMatch: 1 })).rejects.toMatchObject({
		code: "stale-etag",
	});

	const revert = await admin().call("snapshotRevert", path);
	expect(revert).toMatchObject({ status: 202, body: { kind: "vm.revert", input: { snapshotId: made.body.id } } });
	await expect(admin().call("vmMove", { path: { id: vmId }, body: { nodeId: clusterIds.node } })).rejects.toThrow();
	await finish();
	const gone = await admin().call("snapshotDelete", { path: { id: second } });
	expect(gone).toMatchObject({ status: 202, body: { kind: "snapshot.delete", input: { wasReady: true } } });
	expect((await admin().call("snapshotGet", { path: { id: second } })).body.phase).toBe("deleting");
});

test("viewers look, operators do", async () => {
	const vmId = await madeVm();
	const viewer = harness.client("viewer");
	await expect(viewer.call("snapshotCreate", { path: { id: vmId }, body: { name: "x" } })).rejects.toMatchObject({
		code: "forbidden",
	});
	const operator = harness.client("operator");
	const { body } = await operator.call("snapshotCreate", { path: { id: vmId }, body: { name: "x" } });
	expect((await viewer.call("snapshotList", { path: { id: vmId } })).body.items).toHaveLength(1);
	for (const operation of ["snapshotRevert", "snapshotDelete"] as const)
		await expect(viewer.call(operation, { path: { id: body.id } })).rejects.toMatchObject({ code: "forbidden" });
});

test("one with its key is made once, and its name once", async () => {
	const id = await madeVm();
	const ask = (name: string, idempotencyKey?: string) =>
		admin().call("snapshotCreate", { path: { id }, body: { name }, ...(idempotencyKey ? { idempotencyKey } : {}) });
	expect((await ask("one", "key")).body.id).toBe((await ask("one", "key")).body.id);
	await finish();
	await expect(ask("One")).rejects.toMatchObject({ code: "already-exists" });
	await expect(ask("a/b")).rejects.toMatchObject({ code: "invalid" });
	await expect(admin().call("snapshotList", { path: { id: clusterIds.pool } })).rejects.toMatchObject({
		code: "not-found",
	});
});

test("of a running VM it is taken, but not reverted to, and in files deleted once all members know how", async () => {
	const vmId = await madeVm();
	await report(vmId, "running");
	const id = await taken(vmId, "one");
	const path = { path: { id } };
	await expect(admin().call("snapshotRevert", path)).rejects.toMatchObject({
		...{ code: "wrong-state", message: "A VM that is running cannot be set back to a snapshot." },
	});
	harness.cluster.everybodyHas = (feature) => feature !== "live-merge-1";
	await expect(admin().call("snapshotDelete", path)).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("Shut the VM down first.") },
	});
	harness.cluster.everybodyHas = () => true;
	expect((await admin().call("snapshotDelete", path)).status).toBe(202);
});

test("a volume is made of a disk in a snapshot, in the pool of that disk", async () => {
	const vmId = await madeVm();
	const snapshotId = await taken(vmId, "one");
	const [first] = (await admin().call("snapshotGet", { path: { id: snapshotId } })).body.disks;
	const create = (name: string, source: object, more: object = {}) =>
		admin().call("volumeCreate", { body: { name, source: { kind: "snapshot", snapshotId, ...source }, ...more } });
	await expect(create("x", {})).rejects.toMatchObject({
		...{ code: "invalid", fields: [{ path: "/source/volumeId", message: expect.stringContaining("several disks") }] },
	});
	const { body } = await create("x", { volumeId: first?.volumeId });
	expect(body).toMatchObject({
		...{ sizeBytes: GiB, poolId: clusterIds.pool, format: "qcow2" },
		source: { kind: "snapshot", snapshotId, volumeId: first?.volumeId, fullCopy: false },
	});
	expect((await create("y", { volumeId: first?.volumeId }, { format: "raw" })).body.source).toMatchObject({
		fullCopy: true,
	});
	await expect(create("z", { volumeId: vmId })).rejects.toMatchObject({ code: "invalid" });
	await expect(create("z", { snapshotId: vmId })).rejects.toMatchObject({ code: "invalid" });
	const copies = (await admin().call("volumeList", { query: { search: "x" } })).body.items;
	expect(copies).toHaveLength(1);
});

test("while the VM runs, a snapshot is not deleted as long as a volume is being made of another, nor one made meanwhile", async () => {
	const vmId = await madeVm();
	const [first, second] = [await taken(vmId, "one"), await taken(vmId, "two")];
	await report(vmId, "running");
	const [disk] = (await admin().call("snapshotGet", { path: { id: first } })).body.disks;
	const copyOf = (snapshotId: string, name: string) => {
		const source = { kind: "snapshot" as const, snapshotId, ...(disk ? { volumeId: disk.volumeId } : {}) };
		return admin().call("volumeCreate", { body: { name, source } });
	};
	const made = await copyOf(second, "copy");
	await expect(admin().call("snapshotDelete", { path: { id: first } })).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("The volume copy is being made") },
	});
	await propose({ kind: "volumeStatus", id: made.body.id, phase: "ready", allocatedBytes: 0 });
	await finish();
	expect((await admin().call("snapshotDelete", { path: { id: first } })).status).toBe(202);
	await expect(copyOf(second, "late")).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("is being deleted") },
	});
});
