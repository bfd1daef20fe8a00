/** Joining real nodes, at length: many kills, a token that expires, one token for two. */
import { expect, test } from "bun:test";
import { HaltedJoins } from "../cluster/halted-joins.ts";
import { interruptedJoins } from "../cluster/interrupted-joins.ts";
import { haltedJoins } from "../cluster/join-steps.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { chosenSeed } from "./crash-points.ts";

test("each side of a join dies at each of its steps", async () => {
	await using joins = await HaltedJoins.prepare();
	for (const each of haltedJoins) expect(await joins.join(each)).toEqual([]);
}, 1_800_000);

test("either side of a join dies at any moment, thirty times", async () => {
	for (let round = 0; round < 3; round++) {
		await using cluster = await LabCluster.start(2);
		const seed = chosenSeed() + round;
		const problems = await interruptedJoins({ cluster, seed, joins: 3, killsOfEach: 4 });
		expect({ seed, problems }).toEqual({ seed, problems: [] });
	}
}, 900_000);

test("a token is over when it says so, and is good for one of two that come at once", async () => {
	await using cluster = await LabCluster.start(1);
	const first = cluster.node(0);
	await first.cli(30_000, "cluster", "init", "--address", first.peerAddress);
	const created = await first.api.call("joinTokenCreate", { body: { expiresInMs: 60_000 } });
	const { token, secret } = created.body;

	const once = await cluster.token(first);
	const comers = [await cluster.addNode(), await cluster.addNode()];
	const join = (node: (typeof comers)[number]) =>
		node.joinWith(once, [first.peerAddress], 60_000).then(
			() => "joined",
			(error: Error) => error.message,
		);
	const said = await Promise.all(comers.map(join));
	expect(said.filter((what) => what === "joined")).toHaveLength(1);
	await waitUntil("two members", 60_000, async () => (await statusOf(first))?.members.length === 2);

	const late = comers[said.indexOf("joined") === 0 ? 1 : 0];
	if (!late) throw new Error("One of them has not joined.");
	await waitUntil("the token to expire", 90_000, () => Date.now() > Date.parse(token.expiresAt), { everyMs: 1000 });
	const body = { token: secret, addresses: [first.peerAddress], ownAddresses: [late.peerAddress] };
	// It is still in the state: what is over is looked for a minute after the start, when this one was good, and hourly then.
	const { body: kept } = await first.api.call("joinTokenList");
	expect(kept.items.map(({ id }) => id)).toContain(token.id);
	expect((await failureOf(late.api.call("clusterJoin", { body }))).message).toContain("The token has expired");
}, 300_000);
