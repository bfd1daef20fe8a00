/** Is a node off? Whoever says so is held to what all the members hear, and not to what the one that was asked does. */
import { expect, test } from "bun:test";
import { LabCluster, untilMissed } from "../cluster/lab-cluster.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";

test("a node that reaches one member only, and not the leader, is not removed by asking the leader", async () => {
	await using cluster = await LabCluster.start(3);
	const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
	await waitUntil("the first to lead", 40_000, async () => {
		const to = { nodeId: first.nodeId };
		await second.api.call("clusterLeaderTransfer", { body: to }).catch(() => {});
		return (await cluster.leader()) === first;
	});
	await cluster.partitions.separate([first.host], [second.host]);
	await untilMissed(first, second.nodeId);
	const remove = () =>
		first.api.call("nodeRemove", { path: { id: second.nodeId }, body: { confirmName: second.name } });
	// The link that it made itself ends a moment after the one to it.
	const refused = await waitUntil("the first to hear it no more", 10_000, async () => {
		const failure = await failureOf(remove());
		return failure.message.includes(`it answers ${first.name}.`) ? undefined : failure;
	});
	expect([refused.code, refused.message]).toEqual([
		"wrong-state",
		expect.stringContaining(`${second.name} is not off: it answers ${third.name}.`),
	]);
	await second.kill9();
	await remove();
}, 120_000);
