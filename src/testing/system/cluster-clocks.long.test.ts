/**
 * Real nodes of which one has a clock that is off: all say which, by how much; nobody is let in by it whose time is over, and what is
 * written through it carries the right time. With two nodes nobody can know which is right. A node whose clock is off does not join.
 */
import { expect, test } from "bun:test";
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 300_000;
const stepMs = 60_000;
const hourMs = 3_600_000;

const memberIn = async (asked: ClusterNode, of: ClusterNode) =>
	(await statusOf(asked))?.members.find(({ nodeId }) => nodeId === of.nodeId);

/** Every node says this of that one. */
const untilSaid = (cluster: LabCluster, of: ClusterNode, off: boolean) =>
	waitUntil(`all to say that the clock of ${of.name} is ${off ? "off" : "right"}`, stepMs, async () => {
		const seen = await Promise.all(cluster.nodes.map((node) => memberIn(node, of)));
		return seen.every((member) => member != null && member.clockOffsetMs !== null && member.clockOff === off);
	});

/** The API of this node, with the secret of a token. */
const withToken = (node: ClusterNode, secret: string): ApiClient<OperationTypes> =>
	createApiClient<OperationTypes>(operations, {
		baseUrl: "http://localhost",
		fetch: (address, init) => {
			const headers = { ...(init?.headers as Record<string, string>), authorization: `Bearer ${secret}` };
			return fetch(address, { ...init, headers, unix: node.daemon.socketPath } as RequestInit);
		},
	});

const restartWith = async (node: ClusterNode, clockAheadMs: number) => {
	await node.term();
	node.clockAheadMs = clockAheadMs;
	await node.start();
};

test(
	"three nodes: the one whose clock is off is named, and is not judged by",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const expiresAt = new Date(Date.now() + 20_000).toISOString();
		const body = { name: "short", role: "operator" as const, expiresAt };
		const { secret } = (await first.api.call("tokenCreate", { body })).body;

		await restartWith(third, -2 * hourMs);
		await untilSaid(cluster, third, true);
		for (const node of cluster.nodes) {
			const { problem, members } = (await statusOf(node)) ?? {};
			expect(problem).toStartWith("The clock of node-3 is 2 h behind those of most others.");
			expect(members?.map(({ clockOff }) => clockOff)).toEqual([false, false, true]);
		}
		expect(await second.cli(stepMs, "cluster", "status")).toContain("-2 h");
		await waitUntil("the log of node-1 to say so", stepMs, () =>
			first.daemon.log().includes("clocks of members are off"),
		);

		// By its own clock the token is good for two hours yet.
		await waitUntil("the token to expire", stepMs, () => Date.now() > Date.parse(expiresAt) + 1_000);
		for (const node of cluster.nodes)
			await expect(withToken(node, secret).call("meGet")).rejects.toMatchObject({ code: "unauthenticated" });

		// What is written through it has the time that the others agree on.
		const { createdAt } = (
			await third.api.call("userCreate", { body: { name: "new", role: "viewer", password: "correct horse battery" } })
		).body;
		expect(Math.abs(Date.parse(createdAt) - Date.now())).toBeLessThan(30_000);

		await restartWith(third, 0);
		await untilSaid(cluster, third, false);
		expect((await statusOf(first))?.problem).toBeNull();
	},
	limitMs,
);

test(
	"a node that starts with a clock that is years ahead loses nothing: it is a member again once the clock is right",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, , third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await restartWith(third, 9 * 365 * 24 * hourMs);
		await waitUntil("the others to say why there is no link", stepMs, async () =>
			(await statusOf(first))?.problem?.includes("one of the two clocks is wrong"),
		);
		expect((await statusOf(third))?.problem).toContain("one of the two clocks is wrong");
		await restartWith(third, 0);
		await waitUntil("all to vote", stepMs, () => cluster.haveVotes(cluster.nodes));
		await untilSaid(cluster, third, false);
	},
	limitMs,
);

test(
	"two nodes: that they differ is said; and a third whose clock is off does not join",
	async () => {
		await using cluster = await LabCluster.start(2);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		await restartWith(second, 30_000);
		await waitUntil("both to say that they differ", stepMs, async () => {
			const all = await Promise.all(cluster.nodes.map((node) => statusOf(node)));
			return all.every((status) => status?.problem?.startsWith("The clocks of node-1 and node-2 differ by 30.0 s"));
		});
		await restartWith(second, 0);
		const third = await cluster.addNode();
		await restartWith(third, -hourMs);
		const token = await cluster.token(first);
		await expect(third.joinWith(token, [first.peerAddress], stepMs)).rejects.toThrow(
			/The clock of this node is 1 h behind the time that node-1, the member that was asked, goes by. Nothing was done/,
		);
		expect((await statusOf(first))?.members).toHaveLength(2);
		await restartWith(third, 0);
		await third.joinWith(token, [first.peerAddress], stepMs);
		await cluster.untilVotes(third, first);
	},
	limitMs,
);
