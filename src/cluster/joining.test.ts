/** Whether a node that is a member already may join another cluster: only the one that its own was recovered as. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { ClusterJoin } from "../model/cluster.ts";
import { formatToken, newSecret } from "../peer/join-token.ts";
import { closeAll, clusterId, testId, testNode } from "../peer/test-peers.ts";
import type { JoinAnswer, JoinFacts } from "./admission.ts";
import { joinCluster } from "./joining.ts";
import { decodePacked, encodeJson } from "./methods.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-joining-"));
});
afterEach(async () => {
	await closeAll();
	rmSync(dataDir, { recursive: true, force: true });
});

/** A member of "berlin" that says whether it knows the node from before, and would admit it. */
async function berlin(wasMember: boolean | undefined) {
	const asked: ("preview" | "admit")[] = [];
	const answer: JoinAnswer = {
		...{ clusterId, clusterName: "berlin", memberNames: ["node-1"], clashes: [], members: [] },
		...(wasMember === undefined ? {} : { wasMember }),
	};
	const { node, address } = await testNode(1, {
		handlers: {
			join: {
				redeem: async () => "ok",
				async admit({ facts }) {
					asked.push(decodePacked<JoinFacts>(facts).preview ? "preview" : "admit");
					return { nodeId: "", certificatePem: "", authoritiesPem: "", configuration: encodeJson(answer) };
				},
			},
		},
	});
	const { authorityFingerprint } = node.identity;
	const secret = newSecret(systemRandom);
	const token = formatToken({ tokenId: testId(9), secret, authorityFingerprint, clusterId, addresses: [address] });
	const ask = (memberOf: string | null, request: Partial<ClusterJoin> = {}) =>
		joinCluster(
			{
				...{ dataDir, nodeId: testId(2), nodeName: "node-2", memberOf, build: "test", ownAddresses: [address] },
				belongings: () => ({
					...{ pools: [], networks: [], images: [], volumes: [], vms: [], nodeId: testId(2), nodeName: "node-2" },
				}),
				...{ clock: systemClock, random: systemRandom, logger: silentLogger },
			},
			{ token, ...request },
		);
	return { ask, asked };
}
const before = testId(0xd);

test("a node of its own joins whatever it has a token of", async () => {
	const { ask } = await berlin(undefined);
	expect(await ask(null, { preview: true })).toMatchObject({ clusterName: "berlin", recovered: false, joining: false });
});

test("a member joins no other cluster, nor its own again", async () => {
	for (const [wasMember, memberOf] of [
		[false, before],
		// Of a version that does not say.
		[undefined, before],
		[true, clusterId],
	] as const) {
		const { ask, asked } = await berlin(wasMember);
		await expect(ask(memberOf)).rejects.toMatchObject({
			code: "wrong-state",
			message: expect.stringContaining("leave"),
		});
		expect(asked).toEqual(["preview"]);
	}
});

test("it joins the one that its own was recovered as, once its name is typed", async () => {
	const { ask, asked } = await berlin(true);
	expect(await ask(before, { preview: true })).toMatchObject({ recovered: true, joining: false });
	for (const confirmName of [undefined, "node-1"])
		await expect(ask(before, confirmName === undefined ? {} : { confirmName })).rejects.toMatchObject({
			...{ code: "invalid", fields: [{ path: "/confirmName" }] },
		});
	expect(asked).toEqual(["preview", "preview", "preview"]);
	// The member of this test has no certificate to give.
	await expect(ask(before, { confirmName: "node-2" })).rejects.toThrow();
	expect(asked.at(-1)).toBe("admit");
});
