/** Where the others reach a node, as an administrator says: what is taken, and what is refused. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Problem } from "../../model/api.ts";
import { type ApiHarness, createApiHarness, type RequestOptions } from "../../testing/api/api-harness.ts";
import { clusterIds } from "../../testing/fixtures.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

const admin = () => harness.client("admin");
async function refused(method: string, path: string, options: RequestOptions = {}): Promise<Problem> {
	const response = await harness.request(method, path, { as: "admin", ...options });
	expect(response.status).toBeGreaterThanOrEqual(400);
	return (await response.json()) as Problem;
}

describe("addresses of a node", () => {
	const set = (peerAddresses: unknown) =>
		harness.request("PATCH", `/v1/nodes/${clusterIds.node}`, { as: "admin", body: { peerAddresses } });

	test("are set beside the name, or alone", async () => {
		const path = { id: clusterIds.node };
		const peerAddresses = ["10.0.0.1:8444", "[fd00::1]:8444", "node1.example:8444"];
		const both = await admin().call("nodeUpdate", { path, body: { name: "blade-1", peerAddresses } });
		expect(both.body).toMatchObject({ name: "blade-1", peerAddresses });
		expect((await admin().call("nodeUpdate", { path, body: { name: "blade-2" } })).body).toMatchObject({
			peerAddresses,
		});
		expect((await set([])).status).toBe(200);
		expect((await set(["127.0.0.1:1", "[::1]:2", "localhost:3"])).status).toBe(200);
		expect(await refused("PATCH", `/v1/nodes/${clusterIds.node}`, { body: {} })).toMatchObject({ status: 422 });
	});

	test("must be some that the others can dial", async () => {
		for (const address of [
			"10.0.0.1",
			"10.0.0.1:0",
			"10.0.0.1:65536",
			"10.0.0.256:8444",
			"1.2.3:8444",
			"[::]:8444",
			"[0:0::0]:8444",
			"[::0.0.0.0]:8444",
			"[fd00:::1]:8444",
			"0.0.0.0:8444",
			"fd00::1:8444",
			"http://node1:8444",
			"node1:8444/x",
			"a b:1",
			"node1:8444\r\nX: y",
			`${"x".repeat(400)}:1`,
		]) {
			const response = await set([address]);
			expect({ address, status: response.status }).toEqual({ address, status: 422 });
			const { errors } = (await response.json()) as Problem;
			expect(errors[0]?.path).toBe("/peerAddresses/0");
		}
		expect((await set(["10.0.0.1:1", "10.0.0.1:1"])).status).toBe(422);
		expect((await set(["127.0.0.1:1", "10.0.0.1:1"])).status).toBe(422);
		expect((await set(Array.from({ length: 9 }, (_, at) => `10.0.0.${at + 1}:1`))).status).toBe(422);
		expect(harness.store.get("node", clusterIds.node)?.generation).toBe(1);
	});
});

describe("addresses at which the node is not", () => {
	const path = `/v1/nodes/${clusterIds.node}`;
	const peerAddresses = ["10.0.0.66:8444"];

	test("are not taken, unless that is confirmed", async () => {
		harness.cluster.nowhere.add("10.0.0.66:8444");
		const problem = await refused("PATCH", path, { body: { peerAddresses } });
		expect(problem).toMatchObject({ status: 422, errors: [{ path: "/confirmUnreached" }] });
		expect(problem.detail).toContain("do not reach node-1 there. Nobody listens at 10.0.0.66:8444.");
		expect(harness.store.get("node", clusterIds.node)?.generation).toBe(1);
		const body = { peerAddresses, confirmUnreached: true };
		expect((await admin().call("nodeUpdate", { path: { id: clusterIds.node }, body })).body).toMatchObject({
			peerAddresses,
		});
		// They are those that it has: nothing changes by it.
		await admin().call("nodeUpdate", { path: { id: clusterIds.node }, body: { peerAddresses, name: "again" } });
		expect(await refused("PATCH", path, { body: { confirmUnreached: true } })).toMatchObject({ status: 422 });
	});

	test("beside one where it is are taken", async () => {
		harness.cluster.nowhere.add("10.0.0.66:8444");
		const body = { peerAddresses: [...peerAddresses, "10.0.0.1:8444"] };
		await admin().call("nodeUpdate", { path: { id: clusterIds.node }, body });
	});
});
