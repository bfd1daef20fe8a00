/** Work of a node that is not heard of: it can be called off without it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { GiB } from "../../lib/units.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { EventReader, type SentEvent } from "../../testing/api/event-reader.ts";
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

test("a VM whose node is not heard of is shown as unknown, with what it was, in answers, lists and events", async () => {
	const running = await vmOn(secondNodeId, "running");
	const stopped = await vmOn(secondNodeId, "stopped", "db");
	const here = await vmOn(clusterIds.node, "running", "here");
	const events = new EventReader(await harness.request("GET", "/v1/events", { as: "viewer" }));
	await lose();
	const unknown = {
		powerState: "unknown",
		reason: "Its node, node-2, is not heard of. The VM was running when it last reported.",
	};
	const viewer = harness.client("viewer");
	for (const client of [operator(), viewer]) {
		const state = async (id: string) => (await client.call("vmGet", { path: { id } })).body.status;
		expect(await state(running)).toMatchObject(unknown);
		expect((await state(stopped)).powerState).toBe("stopped");
		expect((await state(here)).powerState).toBe("running");
		const list = async (powerState?: ("running" | "unknown" | "stopped")[]) => {
			const { items } = (await client.call("vmList", { query: powerState ? { powerState } : {} })).body;
			return items.map(({ name, status }) => `${name} ${status.powerState}`).sort();
		};
		expect(await list()).toEqual(["db stopped", "here running", "web unknown"]);
		expect(await list(["running"])).toEqual(["here running"]);
		expect(await list(["unknown"])).toEqual(["web unknown"]);
		expect(await list(["unknown", "stopped"])).toEqual(["db stopped", "web unknown"]);
	}
	const { body } = await operator().call("vmUpdate", { path: { id: running }, body: { description: "new" } });
	expect(body.status).toMatchObject(unknown);
	const described = (sent: SentEvent) => sent.event === "change" && JSON.parse(sent.data).object?.description === "new";
	const sent = (await events.until(described)).at(-1);
	events.close();
	expect(JSON.parse(sent?.data ?? "").object.status).toMatchObject(unknown);
	await propose({ kind: "nodeStatus", id: secondNodeId, status: fixtureNode().status });
	expect((await operator().call("vmGet", { path: { id: running } })).body.status.powerState).toBe("running");
});

test("the metrics count them as unknown", async () => {
	await vmOn(secondNodeId, "running");
	await vmOn(secondNodeId, "stopped", "db");
	await vmOn(clusterIds.node, "running", "here");
	const count = (state: string) => new RegExp(`limiquantix_vms\\{state="${state}"\\} (\\d+)`);
	const counts = () => {
		const text = harness.api.services.metrics.render();
		return ["running", "stopped", "unknown"].map((state) => Number(count(state).exec(text)?.[1]));
	};
	expect(counts()).toEqual([2, 1, 0]);
	await lose();
	expect(counts()).toEqual([1, 1, 1]);
});

test("what such a node would have to do is refused at once, but for what only changes records", async () => {
	const running = await vmOn(secondNodeId, "running");
	const stopped = await vmOn(secondNodeId, "stopped", "db");
	await lose();
	const asked = [
		() => operator().call("vmStop", { path: { id: running } }),
		() => operator().call("vmShutdown", { path: { id: running }, body: {} }),
		() => operator().call("vmReset", { path: { id: running } }),
		() => operator().call("vmStart", { path: { id: stopped } }),
		() => operator().call("vmCreate", { body: { name: "new", nodeId: secondNodeId, disks: [], nics: [] } }),
		() => operator().call("volumeCreate", { body: { name: "v", nodeId: secondNodeId, sizeBytes: GiB } }),
		() =>
			operator().call("imageCreate", {
				body: { name: "i", format: "raw", nodeId: secondNodeId, source: { kind: "url", url: "https://e.org/i" } },
			}),
	];
	for (const ask of asked)
		await expect(ask()).rejects.toMatchObject({
			...{ code: "wrong-state" },
			message: expect.stringContaining("node-2 is not heard of"),
		});
	expect((await operator().call("vmDelete", { path: { id: running } })).body).toMatchObject({
		state: "pending",
		message: "Waits for its node, node-2, which is not heard of.",
	});
});

test("a task that waits for such a node says so, and can be canceled", async () => {
	const id = await vmOn(secondNodeId, "running");
	const { body: task } = await operator().call("vmStop", { path: { id } });
	expect(task).toMatchObject({ message: null, cancelable: false });
	await lose();
	const waiting = { message: "Waits for its node, node-2, which is not heard of.", cancelable: true };
	const { body } = await operator().call("taskGet", { path: { id: task.id } });
	expect(body).toMatchObject({ state: "pending", ...waiting });
	const list = await operator().call("taskList", { query: { state: ["pending"] } });
	expect(list.body.items.find((one) => one.id === task.id)).toMatchObject(waiting);
	expect((await operator().call("taskCancel", { path: { id: task.id } })).body).toMatchObject({
		...{ state: "canceled", message: null, cancelable: false },
	});
});

test("whoever asks the node itself hears from it", async () => {
	const id = await vmOn(clusterIds.node, "stopped");
	await propose({ kind: "nodeLost", id: clusterIds.node, reason: "The other nodes do not hear from it.", lost: true });
	expect((await operator().call("vmStart", { path: { id } })).status).toBe(202);
});

test("a pool with parts on several nodes is made and deleted by one that is heard of", async () => {
	const admin = harness.client("admin");
	const nodeIds = [secondNodeId, clusterIds.node];
	await lose();
	const made = await admin.call("poolCreate", {
		body: { name: "p", type: "local", config: { path: "/srv/p" }, nodeIds },
	});
	const taskId = made.taskLocation?.split("/").at(-1) ?? "";
	expect(harness.store.get("task", taskId)?.nodeId).toBe(clusterIds.node);
	const { body: task } = await admin.call("poolDelete", { path: { id: made.body.id } });
	expect(task.nodeId).toBe(clusterIds.node);
});
