/** What is on the LUN of a pool that is to be made: told, and named by whoever wants it gone, in the task that makes the pool. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureNfs, fixtureNode } from "../../testing/fixtures.ts";
import { admitSecond, secondNodeId } from "../../testing/node/second-node.ts";

const config = {
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a" },
	...{ chapUser: null, mutualChapUser: null, layout: "thick" as const, wipeOnDelete: false, hostIds: {} },
};
const san = { name: "san", type: "iscsi-lvm" as const, config };
let harness: ApiHarness;
const admin = () => harness.client("admin");
const problem = async (call: Promise<unknown>) => {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return error;
};
const notEmpty = new AppError("wrong-state", "The LUN is not empty: ext4 is on it. Nothing was changed.", {
	context: { found: ["ext4"] },
});
const createTasks = () => harness.store.all("task", { kind: ["pool.create"] });

beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

test("a trial says by name what is there; names that it is given go to the node, and nowhere else", async () => {
	harness.node.probeError = notEmpty;
	const { name: _, ...body } = san;
	const first = await admin().call("poolProbe", { query: {}, body });
	expect(first.body.nodes).toMatchObject([{ ok: false, found: ["ext4"], error: { code: "wrong-state" } }]);
	harness.node.probeError = null;
	const second = await admin().call("poolProbe", { query: {}, body: { ...body, overwrite: ["ext4"] } });
	expect(second.body.nodes).toMatchObject([{ ok: true }]);
	expect(harness.node.probed.map((pool) => (pool as { overwrite?: string[] }).overwrite)).toEqual([
		undefined,
		["ext4"],
	]);
	// With the numbers of nodes that it would have: so are its locks tried.
	expect(harness.node.probed.at(-1)).toMatchObject({ config: { hostIds: { [clusterIds.node]: 1 } } });
});

test("a pool is not made while something is there, and the answer names it", async () => {
	harness.node.probeError = notEmpty;
	const error = await problem(admin().call("poolCreate", { body: san }));
	expect(error.fields.map(({ path }) => path)).toEqual(["/nodeIds/0", "/overwrite"]);
	expect(error.fields[1]?.message).toBe("What is there has to be named: ext4.");
	expect(createTasks()).toHaveLength(0);
});

test("what was named is in the task and not in the pool", async () => {
	const { body } = await admin().call("poolCreate", { body: { ...san, overwrite: ["ext4"] } });
	expect(JSON.stringify(harness.store.get("pool", body.id))).not.toContain("ext4");
	expect(createTasks()).toMatchObject([{ nodeId: clusterIds.node, input: { overwrite: ["ext4"] } }]);
	await admin().call("poolCreate", {
		body: { ...san, name: "other", config: { ...config, wwid: "naa.6001405b" }, overwrite: [] },
	});
	expect(createTasks().map(({ input }) => input)).toContainEqual({});
});

test("only a LUN is overwritten", async () => {
	for (const call of [
		admin().call("poolCreate", {
			body: { name: "files", type: "nfs", config: fixtureNfs, overwrite: ["ext4"] },
		}),
		admin().call("poolProbe", { query: {}, body: { type: "nfs", config: fixtureNfs, overwrite: ["ext4"] } }),
	])
		expect(await problem(call)).toMatchObject({ code: "invalid", fields: [{ path: "/overwrite" }] });
	expect(harness.node.probed).toEqual([]);
});

test("members that do not know of it are waited for", async () => {
	harness.cluster.missing.set("storage-1", ["node-2"]);
	const error = await problem(admin().call("poolCreate", { body: { ...san, overwrite: ["ext4"] } }));
	expect(error.code).toBe("unsupported");
	expect(createTasks()).toHaveLength(0);
});

test("the node that makes the volume group carries it out, and has to be there to overwrite something", async () => {
	const propose: ApiHarness["store"]["proposer"]["proposeSystem"] = (body) =>
		harness.store.proposer.proposeSystem(body);
	const admitted = { propose, ids: harness.ids, nowMs: systemClock.nowMs() };
	await admitSecond(admitted, { status: fixtureNode().status });
	// The second one is named first, so it has the lowest number.
	const nodeIds = [secondNodeId, clusterIds.node];
	const away = { kind: "nodeLost" as const, id: secondNodeId, reason: "The other nodes do not hear from it." };
	await propose({ ...away, lost: true });
	const error = await problem(admin().call("poolCreate", { body: { ...san, nodeIds, overwrite: ["ext4"] } }));
	expect([error.code, error.message]).toEqual([
		"unavailable",
		"The node node-2 is not reached, and what is on the LUN is overwritten by it only.",
	]);
	expect(createTasks()).toHaveLength(0);
	await admin().call("poolCreate", { body: { ...san, nodeIds: nodeIds.toReversed(), overwrite: ["ext4"] } });
	expect(createTasks()).toMatchObject([{ nodeId: clusterIds.node }]);
});
