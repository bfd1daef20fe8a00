/** Work of a node that is not heard of: it can be called off without it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { GiB } from "../../lib/units.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureNode, fixtureVmStatus } from "../../testing/fixtures.ts";
import { admitSecond, secondNodeId } from "../../testing/node/second-node.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
	const { ids } = harness;
	const status = { ...fixtureNode().status, memoryBytes: 64 * GiB };
	await admitSecond({ propose, ids, nowMs: systemClock.nowMs() }, { status });
});
afterEach(() => harness.close());

const propose: ApiHarness["store"]["proposer"]["proposeSystem"] = (body) => harness.store.proposer.proposeSystem(body);
const operator = () => harness.client("operator");
const lose = () =>
	propose({ kind: "nodeLost", id: secondNodeId, reason: "The other nodes do not hear from it.", lost: true });

/** Made, and as its node reported it. */
async function vmOn(nodeId: string, powerState: "running" | "stopped", name = "web"): Promise<string> {
	const body = { name, nodeId, start: false, disks: [], nics: [] };
	const made = await operator().call("vmCreate", { body });
	const taskId = made.taskLocation?.split("/").at(-1) ?? "";
	for (const state of ["running", "succeeded"] as const) await propose({ kind: "taskUpdate", id: taskId, state });
	const status = fixtureVmStatus({ powerState, observedGeneration: 1 });
	await propose({ kind: "vmStatus", id: made.body.id, nodeId, status });
	return made.body.id;
}

test("a move to a node that died is canceled at once, and the VM starts where it is", async () => {
	const id = await vmOn(clusterIds.node, "stopped");
	const { body: task } = await operator().call("vmMove", { path: { id }, body: { nodeId: secondNodeId } });
	await propose({ kind: "taskUpdate", id: task.id, state: "running", cancelable: false });
	const cancel = () => operator().call("taskCancel", { path: { id: task.id } });
	await expect(cancel()).rejects.toMatchObject({ code: "wrong-state" });
	await lose();
	expect((await cancel()).body).toMatchObject({ state: "canceled" });
	expect((await operator().call("vmStart", { path: { id } })).status).toBe(202);
});

test("while a member does not know how, its node is asked as before", async () => {
	const id = await vmOn(clusterIds.node, "stopped");
	const { body: task } = await operator().call("vmMove", { path: { id }, body: { nodeId: secondNodeId } });
	await lose();
	harness.cluster.missing.set("cancel-lost-1", ["node-2"]);
	const { body } = await operator().call("taskCancel", { path: { id: task.id } });
	expect(body).toMatchObject({ state: "pending", cancelRequested: true });
});
