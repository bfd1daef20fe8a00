/** A volume of an image in another pool than the image's is made where both pools are. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { GiB } from "../../lib/units.ts";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../../testing/api/two-nodes.ts";
import { clusterIds, fixtureId, fixtureImage, fixtureNfs, fixturePool, fixtureTask } from "../../testing/fixtures.ts";

const everywhere = fixtureId(0x31);
let nodes: TwoNodes;
beforeEach(async () => {
	nodes = await createTwoNodes();
	const { proposer } = nodes.store;
	const pool = fixturePool({ id: everywhere, name: "nas", type: "nfs", config: fixtureNfs });
	const task = fixtureTask("pool.create", { kind: "pool", id: everywhere }, { id: fixtureId(0x500) });
	await proposer.proposeSystem({ kind: "poolCreate", pool: { ...pool, nodeIds: [clusterIds.node, otherId] }, task });
	const room = (nodeId: string, poolId: string, availableBytes: number) =>
		proposer.proposeSystem({
			...{ kind: "poolNodeStatus", id: poolId },
			status: {
				...{ nodeId, health: "healthy", reason: null, capabilities: null, updatedAt: "2026-01-02T03:04:06Z" },
				...{ totalBytes: 100 * GiB, usedBytes: 100 * GiB - availableBytes, availableBytes },
			},
		});
	// There is more room on the node that does not have the image's pool.
	await room(clusterIds.node, everywhere, 80 * GiB);
	await room(otherId, everywhere, 10 * GiB);
	await room(otherId, fixtureId(0x23), 10 * GiB);
});
afterEach(() => nodes.close());

const create = (poolId: string) =>
	nodes.client("operator").call("volumeCreate", {
		body: {
			...{ name: "copy", poolId, sizeBytes: GiB },
			source: { kind: "image", imageId: remote.image, fullCopy: true },
		},
	});

test("not where there is the most room", async () => {
	const { body } = await create(everywhere);
	expect(body).toMatchObject({ poolId: everywhere, nodeId: null });
	const task = nodes.store.all("task").find(({ targets }) => targets.some(({ id }) => id === body.id));
	expect(task).toMatchObject({ kind: "volume.create", nodeId: otherId });
});

const problem = async (call: Promise<unknown>) => {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return { code: error.code, message: error.message, fields: error.fields };
};

test("where no node has both it is refused, with the reason for each node", async () => {
	expect(await problem(create(clusterIds.pool))).toMatchObject({
		code: "wrong-state",
		message:
			"The volume fits on no node: node-1 has no usable part of the storage pool local-2, where the source is; node-2 has no usable part of the storage pool local.",
	});
});

test("nor on the only node that has the image's pool, while that is not ready", async () => {
	const node = nodes.store.get("node", otherId);
	if (!node) throw new Error("there is no other node");
	const status = { ...node.status, phase: "not-ready" as const, reason: "Libvirt does not answer." };
	await nodes.store.proposer.proposeSystem({ kind: "nodeStatus", id: otherId, status });
	expect(await problem(create(everywhere))).toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining("node-2 is not-ready (Libvirt does not answer.)"),
	});
});

test("nor on a node that was asked for and does not have the pool of the image, be that shared", async () => {
	const { proposer } = nodes.store;
	const [apart, imageId] = [fixtureId(0x32), fixtureId(0x310)] as [string, string];
	const config = { ...fixtureNfs, server: "apart" };
	const pool = fixturePool({ id: apart, name: "apart", type: "nfs", config, nodeIds: [otherId] });
	const task = (kind: "pool.create" | "image.import", target: "pool" | "image", id: string) =>
		fixtureTask(kind, { kind: target, id }, { id: fixtureId(kind === "pool.create" ? 0x501 : 0x502) });
	await proposer.proposeSystem({ kind: "poolCreate", pool, task: task("pool.create", "pool", apart) });
	const image = fixtureImage({ id: imageId, name: "shared", poolId: apart, nodeId: null });
	await proposer.proposeSystem({ kind: "imageCreate", image, task: task("image.import", "image", imageId) });
	await proposer.proposeSystem({ kind: "imageStatus", id: imageId, phase: "ready", fileSizeBytes: 4 });
	const body = { name: "copy", poolId: everywhere, sizeBytes: GiB, nodeId: clusterIds.node };
	const call = nodes
		.client("operator")
		.call("volumeCreate", { body: { ...body, source: { kind: "image", imageId, fullCopy: true } } });
	expect((await problem(call)).fields).toEqual([
		{ path: "/source/imageId", message: "The image shared is in the pool apart, which is not on this node." },
	]);
});
