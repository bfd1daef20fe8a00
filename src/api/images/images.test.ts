/** On which node a new image is: the one that was asked, or the one that is named. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { ImageCreate } from "../../gen/api.ts";
import { present } from "../../lib/assert.ts";
import type { Problem } from "../../model/api.ts";
import type { Image } from "../../model/storage.ts";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../../testing/api/two-nodes.ts";
import { clusterIds, fixtureId } from "../../testing/fixtures.ts";

let nodes: TwoNodes;
beforeEach(async () => {
	nodes = await createTwoNodes();
	// As its node reports it.
	for (const { id, nodeIds } of nodes.store.all("pool"))
		if (nodeIds.includes(otherId)) {
			const [report] = nodes.store.get("pool", clusterIds.pool)?.nodes ?? [];
			const status = { ...present(report, "the report of a pool"), nodeId: otherId };
			await nodes.store.proposer.proposeSystem({ kind: "poolNodeStatus", id, status });
		}
});
afterEach(() => nodes.close());

const ofUrl = (body: Partial<ImageCreate>): ImageCreate => ({
	...{ name: "debian", format: "qcow2", source: { kind: "url", url: "https://192.0.2.9/debian.qcow2" } },
	...body,
});
const create = (body: ImageCreate) => nodes.request("POST", "/v1/images", { as: "admin", body });
const taskOf = ({ id }: Image) => nodes.store.all("task").find(({ targets }) => targets[0]?.id === id);

test("without a node it is on the one that was asked", async () => {
	const image = (await (await create(ofUrl({}))).json()) as Image;
	expect([image.nodeId, taskOf(image)?.nodeId]).toEqual([clusterIds.node, clusterIds.node]);
});

test("a node that is named fetches it, also a file of its own, and takes its upload", async () => {
	const sources: ImageCreate["source"][] = [ofUrl({}).source, { kind: "path", path: "/srv/debian.qcow2" }];
	for (const [at, source] of sources.entries()) {
		const image = (await (await create(ofUrl({ name: `debian-${at}`, source, nodeId: otherId }))).json()) as Image;
		const placement = expect.not.objectContaining({ placement: expect.anything() });
		expect([image.nodeId, taskOf(image)]).toMatchObject([otherId, { nodeId: otherId, input: placement }]);
	}
	const upload = ofUrl({ source: { kind: "upload" }, fileSizeBytes: 4, nodeId: otherId });
	const { id } = (await (await create(upload)).json()) as Image;
	const headers = { "content-type": "application/octet-stream", "upload-offset": "0" };
	const sent = await nodes.request("PUT", `/v1/images/${id}/content`, { as: "admin", body: "1234", headers });
	expect([sent.status, nodes.other.node.uploads.has(id)]).toEqual([200, true]);
});

test("it has to be a node of the cluster, with a part of the pool, and a volume's own", async () => {
	const refusedAt = async (body: Partial<ImageCreate>) => {
		const answer = await create(ofUrl(body));
		const { errors } = (await answer.json()) as Problem;
		return [answer.status, ...errors.map(({ path }) => path)];
	};
	expect(await refusedAt({ nodeId: fixtureId(0xdead) })).toEqual([422, "/nodeId"]);
	const [ownPool] = nodes.store.all("pool").filter(({ nodeIds }) => !nodeIds.includes(otherId));
	expect(await refusedAt({ nodeId: otherId, poolId: ownPool?.id ?? "" })).toEqual([422, "/poolId"]);
	const source = { kind: "volume", volumeId: remote.volume } as const;
	expect(await refusedAt({ source, nodeId: clusterIds.node })).toEqual([422, "/nodeId"]);
	await nodes.store.proposer.proposeSystem({
		...{ kind: "nodeRemove", id: otherId, leaving: false, confirmName: "node-2" },
	});
	expect(await refusedAt({ nodeId: otherId })).toEqual([422, "/nodeId"]);
});
