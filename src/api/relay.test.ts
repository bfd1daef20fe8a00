/** What one node passes on to the API of another, over real links: it comes back as that node's own answer. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../testing/api/two-nodes.ts";
import { clusterIds } from "../testing/fixtures.ts";

let nodes: TwoNodes;
beforeEach(async () => {
	nodes = await createTwoNodes();
});
afterEach(() => nodes.close());

const get = (path: string, options: Parameters<TwoNodes["request"]>[2] = {}) =>
	nodes.request("GET", path, { as: "operator", ...options });

test("figures of another node and of its VMs", async () => {
	if (nodes.other.node.metrics) nodes.other.node.metrics.load1 = 7;
	expect(await (await get(`/v1/nodes/${otherId}/metrics`)).json()).toMatchObject({ load1: 7 });
	expect(await (await get(`/v1/nodes/${clusterIds.node}/metrics`)).json()).toMatchObject({ load1: 0.5 });
	const history = await get(`/v1/nodes/${otherId}/metrics/history?since=2020-01-01T00:00:00.000Z`);
	expect(await history.json()).toMatchObject({ items: [{ load1: 7 }] });
	const off = await get(`/v1/vms/${remote.vm}/metrics`);
	expect([off.status, await off.json()]).toMatchObject([409, { code: "wrong-state" }]);
});
