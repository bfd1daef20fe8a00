/**
 * A member without the others, in real processes: what one can and cannot do without a quorum, how it goes on when the quorum
 * is back, and a node that leaves and joins again.
 */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 180_000;
const stepMs = 60_000;

type Answer = { status: number; stale: boolean; body: Record<string, unknown> };

/** A request as a person with this secret sends it; nobody without. */
async function ask(node: ClusterNode, method: string, path: string, secret?: string, body?: unknown): Promise<Answer> {
	const response = await fetch(`http://localhost${path}`, {
		method,
		unix: node.daemon.socketPath,
		keepalive: false,
		headers: {
			"content-type": "application/json",
			...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
		},
		...(body === undefined ? {} : { body: JSON.stringify(body) }),
	});
	const text = await response.text();
	return {
		status: response.status,
		stale: response.headers.get("x-lqx-stale") === "true",
		body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>),
	};
}

/** Its data lies in a place that only its own processes see. */
const firstPassword = async (node: ClusterNode): Promise<string> =>
	(await node.run("cat", [`${node.daemon.dataDir}/initial-admin-password`])).trim();

const signIn = (node: ClusterNode, password: string) =>
	ask(node, "POST", "/v1/sessions", undefined, { username: "admin", password });

test(
	"without a quorum one signs in, reads and signs out on the node that is left; with one again sessions are as ever",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const password = await firstPassword(first);
		// Through the node that will be left: what it answered, it has.
		await third.api.call("clusterUpdate", { body: { name: "before" } });
		const known = String((await signIn(third, password)).body.token);
		await Promise.all([first.daemon.kill9(), second.daemon.kill9()]);
		await waitUntil("the quorum to be missed", stepMs, async () => (await statusOf(third))?.quorum === false);

		expect((await signIn(third, "not the password")).status).toBe(401);
		const signedIn = await signIn(third, password);
		expect(signedIn.status).toBe(201);
		const secret = String(signedIn.body.token);
		const read = await ask(third, "GET", "/v1/cluster", secret);
		expect([read.status, read.stale, read.body.name]).toEqual([200, true, "before"]);
		const refused = await ask(third, "PATCH", "/v1/cluster", secret, { name: "lost" });
		expect([refused.status, refused.body.code]).toEqual([503, "unavailable"]);
		expect(String(refused.body.detail)).toContain("quorum");
		// Root is told the same, and why.
		const rootRefused = await ask(third, "PATCH", "/v1/cluster", undefined, { name: "lost" });
		expect([rootRefused.status, rootRefused.body.code]).toEqual([503, "unavailable"]);
		// Who signs out is signed out.
		const local = String((await signIn(third, password)).body.token);
		const ended = [known, local];
		for (const each of ended) {
			expect((await ask(third, "DELETE", "/v1/sessions/current", each)).status).toBe(204);
			expect((await ask(third, "GET", "/v1/me", each)).status).toBe(401);
		}

		await second.daemon.start();
		await waitUntil("the quorum to be back", stepMs, async () => (await statusOf(third))?.quorum === true);
		// Its session becomes one that every node knows.
		const written = await waitUntil("the session to be written down", stepMs, async () => {
			const answer = await ask(third, "PATCH", "/v1/cluster", secret, { name: "after" });
			return answer.status === 200 ? answer : undefined;
		});
		expect(written.body.name).toBe("after");
		const elsewhere = await ask(second, "GET", "/v1/cluster", secret);
		expect([elsewhere.status, elsewhere.stale, elsewhere.body.name]).toEqual([200, false, "after"]);
		await waitUntil("the end of the others to be written down", stepMs, async () => {
			const answers = await Promise.all(ended.map((each) => ask(second, "GET", "/v1/me", each)));
			return answers.every(({ status }) => status === 401);
		});
	},
	limitMs,
);

/** An image whose file is on this node. */
async function makeImage(node: ClusterNode): Promise<string> {
	const data = new Uint8Array(MiB).fill(7);
	const wanted = { name: "base", format: "raw", source: { kind: "upload" }, fileSizeBytes: data.length } as const;
	const { id } = (await node.api.call("imageCreate", { body: { ...wanted, nodeId: node.nodeId } })).body;
	const headers = { "upload-offset": 0 };
	await node.api.call("imageContentPut", { path: { id }, headers, body: new Blob([data]).stream() });
	await waitUntil("the image to be ready", stepMs, async () => {
		return (await node.api.call("imageGet", { path: { id } })).body.phase === "ready";
	});
	return id;
}

/** A disk is made of it on another node, which gets a copy of the image for that and keeps it when the disk is gone. */
async function useImage(imageId: string, node: ClusterNode): Promise<void> {
	const body = { name: "disk", nodeId: node.nodeId, source: { kind: "image", imageId, fullCopy: true } } as const;
	const { id } = (await node.api.call("volumeCreate", { body })).body;
	await waitUntil("the disk to be ready", stepMs, async () => {
		return (await node.api.call("volumeGet", { path: { id } })).body.phase === "ready";
	});
	await node.api.call("volumeDelete", { path: { id } });
	await waitUntil("the disk to be gone", stepMs, async () => {
		return (await node.api.call("volumeList", { query: {} })).body.items.length === 0;
	});
}

test(
	"a node that left is a cluster of its own, and joins again without being installed anew",
	async () => {
		await using cluster = await LabCluster.start(2);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		const ids = [second.nodeId];
		const settled = async () => {
			const { body } = await first.api.call("nodeGet", { path: { id: second.nodeId } });
			return body.status.phase !== "joining" && body.status.reason !== "Starting";
		};
		await waitUntil("the node to be there with all it has", stepMs, settled);
		const imageId = await makeImage(first);
		for (let time = 0; time < 2; time++) {
			await useImage(imageId, second);
			await second.cli(stepMs, "cluster", "leave", "--yes");
			await second.identify();
			ids.push(second.nodeId);
			expect((await statusOf(second))?.members.map(({ name }) => name)).toEqual([second.name]);
			expect((await statusOf(first))?.members.map(({ name }) => name)).toEqual([first.name]);
			// It works by itself, with a first password of its own.
			expect((await signIn(second, await firstPassword(second))).status).toBe(201);
			// It says how its pools are once it has opened them.
			const nodes = await waitUntil("the pool to be opened", 30_000, async () => {
				const [pool] = (await second.api.call("poolList", { query: {} })).body.items;
				return pool && pool.nodes.length > 0 ? pool.nodes : undefined;
			});
			expect(nodes.map(({ health, reason }) => [health, reason])).toEqual([["healthy", null]]);

			await cluster.join(second, first);
			ids.push(second.nodeId);
			await waitUntil("both to be members", stepMs, () => cluster.haveVotes([first, second]));
			await waitUntil("the node to be there with all it has", stepMs, settled);
			const pools = (await second.api.call("poolList", { query: {} })).body.items;
			const own = pools.filter(({ nodeIds }) => nodeIds.includes(second.nodeId));
			expect(own.map(({ name }) => name)).toEqual(["local"]);
			const part = own[0]?.nodes.find(({ nodeId }) => nodeId === second.nodeId);
			expect([part?.health, part?.reason]).toEqual(["healthy", null]);
		}
		// An id is used once.
		expect(new Set(ids).size).toBe(ids.length);
		const audit = (await first.api.call("auditList", { query: { operation: ["nodeLeave"] } })).body.items;
		expect(audit.map(({ outcome }) => outcome)).toEqual(["accepted", "accepted"]);
	},
	limitMs,
);
