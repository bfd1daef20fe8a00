/** The disk of a VM is downloaded, and made an image of, while no process of the VM has it open. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type PowerState, powerStates } from "../../model/vm.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureVmStatus } from "../../testing/fixtures.ts";

let harness: ApiHarness;
let volumeId: string;
let vmId: string;
beforeEach(async () => {
	harness = await createApiHarness();
	const body = { name: "web", disks: [{ sizeBytes: 2 ** 26 }], nics: [], start: false };
	const { body: vm } = await harness.client("operator").call("vmCreate", { body });
	vmId = vm.id;
	volumeId = vm.spec.disks[0]?.volumeId ?? "";
	await harness.store.proposer.proposeSystem({ kind: "volumeStatus", id: volumeId, phase: "ready" });
	for (const task of harness.store.all("task"))
		await harness.store.proposer.proposeSystem({ kind: "taskUpdate", id: task.id, state: "succeeded" });
});
afterEach(() => harness.close());

const becomes = (powerState: PowerState) =>
	harness.store.proposer.proposeSystem({
		...{ kind: "vmStatus", id: vmId, nodeId: clusterIds.node, status: fixtureVmStatus({ powerState }) },
	});
const download = () =>
	harness.client("operator").call("volumeContentGet", { path: { id: volumeId }, query: { format: "raw" } });
const makeImage = (name: string) =>
	harness
		.client("operator")
		.call("imageCreate", { body: { name, format: "qcow2", source: { kind: "volume", volumeId } } });

for (const powerState of powerStates)
	test(`of one that is ${powerState}`, async () => {
		await becomes(powerState);
		if (powerState === "stopped" || powerState === "failed") {
			expect((await download()).status).toBe(200);
			expect((await makeImage("golden")).status).toBe(201);
			return;
		}
		const refusal = { code: "in-use", message: "The VM web is using it. Shut it down first." };
		await expect(download()).rejects.toMatchObject(refusal);
		await expect(makeImage("golden")).rejects.toMatchObject(refusal);
	});
