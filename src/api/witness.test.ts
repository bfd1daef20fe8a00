/** A witness only votes: whatever is to be made on it is refused for that, and not for what it lacks because of it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { GiB } from "../lib/units.ts";
import { type ApiHarness, createApiHarness } from "../testing/api/api-harness.ts";
import { fixtureId, fixtureNode } from "../testing/fixtures.ts";

const witness = fixtureNode({ id: fixtureId(0x77), name: "node-3", witness: true });
let api: ApiHarness;
beforeEach(async () => {
	api = await createApiHarness({});
	const { get } = api.store;
	api.store.get = ((table: "node", id: string) =>
		table === "node" && id === witness.id ? witness : get.call(api.store, table, id)) as typeof get;
});
afterEach(() => api.close());

test("VMs, with disks and without, volumes and images", async () => {
	const bodies: [path: string, body: object][] = [
		["/v1/vms", { name: "web" }],
		["/v1/vms", { name: "web", disks: [] }],
		["/v1/volumes", { name: "data", sizeBytes: GiB }],
		["/v1/images", { name: "debian", format: "raw", source: { kind: "url", url: "https://example.org/debian.raw" } }],
	];
	for (const [path, body] of bodies) {
		const answer = await api.request("POST", path, { as: "admin", body: { ...body, nodeId: witness.id } });
		const { code, detail } = (await answer.json()) as { code: string; detail: string };
		expect({ path, code, detail }).toEqual({
			...{ path, code: "wrong-state", detail: "The node node-3 is a witness: it only votes." },
		});
	}
});
