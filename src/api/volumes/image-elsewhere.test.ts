/** A volume of an image in another pool than the image's is made where both pools are. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { GiB } from "../../lib/units.ts";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../../testing/api/two-nodes.ts";
import { clusterIds, fixtureId, fixtureNfs, fixturePool, fixtureTask } from "../../testing/fixtures.ts";

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

test("where no node has both it is refused, with the reason", async () => {
	const error = await create(clusterIds.pool).catch((failure: unknown) => failure);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	expect({ code: error.code, fields: error.fields }).toEqual({
		code: "invalid",
		fields: [{ path: "/poolId", message: "The pool local is not on this node." }],
	});
});
