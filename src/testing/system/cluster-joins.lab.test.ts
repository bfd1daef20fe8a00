/** Joining real nodes: tokens that are no good, and either side killed on the way. */
import { expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { HaltedJoins } from "../cluster/halted-joins.ts";
import { interruptedJoins } from "../cluster/interrupted-joins.ts";
import { haltedJoins } from "../cluster/join-steps.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { chosenSeed } from "./crash-points.ts";

const limitMs = 180_000;

const joinFailure = async (node: ClusterNode, token: string, addresses: string[]) =>
	failureOf(node.api.call("clusterJoin", { body: { token, addresses, ownAddresses: [node.peerAddress] } }));

test(
	"a used, a deleted, a mistyped token and one of another cluster are refused, and nothing changes",
	async () => {
		await using cluster = await LabCluster.start(2);
		await using others = await LabCluster.start(1);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		const fresh = await cluster.addNode();
		const before = fresh.nodeId;
		const addresses = [first.peerAddress];

		const used = await cluster.token(first);
		const user = await cluster.addNode();
		await user.joinWith(used, [second.peerAddress], 30_000);
		await cluster.untilVotes(user, first);
		expect((await joinFailure(fresh, used, addresses)).message).toContain("was used");

		const { token, secret } = (await first.api.call("joinTokenCreate", { body: {} })).body;
		await second.api.call("joinTokenDelete", { path: { id: token.id } });
		expect((await joinFailure(fresh, secret, addresses)).message).toContain("does not know this token");

		const last = secret.at(-1) === "A" ? "B" : "A";
		expect((await joinFailure(fresh, secret.slice(0, -1) + last, addresses)).message).toContain("incomplete");

		// Of a cluster that is not there, at an address of ours: nothing is sent to who cannot be trusted.
		const strange = await others.token(others.node(0));
		const refused = await joinFailure(fresh, strange, addresses);
		expect(refused.message).toMatch(/does not belong to the cluster of the token|another cluster/);

		await fresh.identify();
		expect(fresh.nodeId).toBe(before);
		expect((await statusOf(fresh))?.members).toHaveLength(1);
		expect((await statusOf(first))?.members).toHaveLength(3);
		await fresh.api.call("clusterUpdate", { body: { name: "still-its-own" } });
		await cluster.join(fresh, second);
		expect(await cluster.haveVotes(cluster.nodes)).toBe(true);
	},
	limitMs,
);

test(
	"a join that either side dies in is done by doing it again, as one member",
	async () => {
		await using cluster = await LabCluster.start(2);
		const seed = chosenSeed();
		const problems = await interruptedJoins({ cluster, seed, joins: 3, killsOfEach: 2 });
		expect({ seed, problems }).toEqual({ seed, problems: [] });
		const all = present(await statusOf(cluster.node(0)), "the status").members;
		expect(all).toHaveLength(cluster.nodes.length);
		await untilSame(cluster.nodes, cluster.folder, 30_000);
	},
	limitMs,
);

/** Each side once; all of them are in the long test, with the same token. */
const chosen = [
	"node.json set aside of joiner: joiner",
	"import planned of joiner: leader",
	"admitted of asked: asked",
];

test(
	"a side that dies at a step of a join: it is completed or undone and done again, and node and VM are there once",
	async () => {
		const cases = haltedJoins.filter(({ step, of, victim }) => chosen.includes(`${step} of ${of}: ${victim}`));
		expect(cases).toHaveLength(chosen.length);
		await using joins = await HaltedJoins.prepare();
		for (const each of cases) expect(await joins.join(each, { anotherToken: each.step === "admitted" })).toEqual([]);
	},
	limitMs,
);
