/** What keeps a volume is found by whoever wants to delete it: its copies, images that are being made of it, snapshots that hold it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureVmStatus } from "../../testing/fixtures.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

const viewer = () => harness.client("viewer");
const operator = () => harness.client("operator");
const propose = (body: Parameters<ApiHarness["store"]["proposer"]["proposeSystem"]>[0]) =>
	harness.store.proposer.proposeSystem(body);
const ready = (id: string) => propose({ kind: "volumeStatus", id, phase: "ready" });
async function finishAll() {
	for (const { id } of harness.store.all("task", { state: ["pending", "running"] }))
		await propose({ kind: "taskUpdate", id, state: "succeeded" });
}
async function create(name: string) {
	const { body } = await operator().call("volumeCreate", { body: { name, sizeBytes: 2 ** 26 } });
	await ready(body.id);
	await finishAll();
	return body.id;
}

test("a snapshot of a VM that does not have the disk any more", async () => {
	const id = await create("data");
	const other = await create("other");
	const disks = [{ volumeId: id }, { volumeId: other }];
	const { body: vm } = await operator().call("vmCreate", { body: { name: "web", disks, nics: [], start: false } });
	const status = fixtureVmStatus({ powerState: "stopped" });
	await propose({ kind: "vmStatus", id: vm.id, nodeId: clusterIds.node, status });
	await finishAll();
	const { body: snapshot } = await operator().call("snapshotCreate", { path: { id: vm.id }, body: { name: "before" } });
	await finishAll();
	const left = vm.spec.disks.filter(({ volumeId }) => volumeId !== id);
	await operator().call("vmUpdate", { path: { id: vm.id }, body: { disks: left } });
	await finishAll();
	expect((await viewer().call("volumeGet", { path: { id } })).body.vmId).toBeNull();
	const list = await viewer().call("volumeSnapshotList", { path: { id } });
	expect(list.body).toMatchObject({ items: [{ id: snapshot.id, vmId: vm.id }], nextPageToken: null });
	const message = "The volume data is a part of snapshots: before of the VM web. Delete them first.";
	await expect(operator().call("volumeDelete", { path: { id } })).rejects.toMatchObject({ code: "in-use", message });
	expect((await viewer().call("volumeSnapshotList", { path: { id: await create("new") } })).body.items).toEqual([]);
	const unknown = viewer().call("volumeSnapshotList", { path: { id: vm.id } });
	await expect(unknown).rejects.toMatchObject({ code: "not-found" });
});

test("volumes and images by the volume that they were made of", async () => {
	const id = await create("data");
	await create("other");
	const { body: copy } = await operator().call("volumeClone", { path: { id }, body: { name: "copy" } });
	await ready(copy.id);
	await finishAll();
	const source = { kind: "volume", volumeId: id } as const;
	const { body: image } = await operator().call("imageCreate", { body: { name: "golden", format: "qcow2", source } });
	const query = { sourceVolumeId: [id] };
	expect((await viewer().call("volumeList", { query })).body.items.map((one) => one.id)).toEqual([copy.id]);
	expect((await viewer().call("imageList", { query })).body.items.map((one) => one.id)).toEqual([image.id]);
	const none = { sourceVolumeId: [copy.id] };
	expect((await viewer().call("volumeList", { query: none })).body.items).toEqual([]);
	await expect(operator().call("volumeDelete", { path: { id } })).rejects.toMatchObject({
		message: "The volume copy, and the image golden are made from the volume data.",
	});
});
