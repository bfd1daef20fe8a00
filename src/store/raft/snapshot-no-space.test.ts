/** A follower that needs a snapshot and has no room for it: it is not sent all the time only to be thrown away. */
import { expect, test } from "bun:test";
import { TestCluster } from "../../testing/raft/raft-cluster.ts";

test("a snapshot that does not fit is offered seldom, and arrives soon after it fits", async () => {
	const cluster = await TestCluster.start({ voters: ["a", "b", "c"] });
	const leader = await cluster.elect();
	const [away = ""] = cluster.others(leader.id);
	cluster.isolate(away);
	await cluster.fill(leader.id, "x", 60);
	for (const node of cluster.nodes.values())
		if (node.id !== away && node.state !== null) await node.up.compact(await node.state.checkpoint());
	const { files } = cluster.node(away);
	files.capacityBytes = files.usedBytes() + 300;
	let offers = 0;
	cluster.filter = (_, message) => {
		if (message.type === "offer") offers += 1;
		return true;
	};
	cluster.heal();
	await cluster.run(20_000);
	expect(offers).toBeGreaterThan(3);
	expect(offers).toBeLessThan(12);
	files.capacityBytes = Number.POSITIVE_INFINITY;
	expect(await cluster.run(5_000, () => cluster.node(away).state?.installs === 1)).toBe(true);
	expect((await cluster.converge()).length).toBe(60);
	await cluster.close();
});
