/**
 * Joins in which processes are killed: the node that joins, the member that it asks, or the leader, at any moment between the
 * command and the vote. The administrator starts what was killed and types the command again, with the same token. In the end each
 * node is a member, once.
 */
import { waitUntil } from "../lab/wait-until.ts";
import { Random } from "../simulation/random.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { healLimitMs, type LabCluster, statusOf } from "./lab-cluster.ts";

export type InterruptedJoins = {
	cluster: LabCluster;
	seed: number;
	/** How many nodes join, one after the other. */
	joins: number;
	killsOfEach: number;
};

/** A join takes about that long. */
const spanMs = 1_500;
const commandLimitMs = 20_000;

/** One sentence for each thing that is not as it must be. */
export async function interruptedJoins({ cluster, seed, joins, killsOfEach }: InterruptedJoins): Promise<string[]> {
	const random = new Random(seed);
	const problems: string[] = [];
	for (let number = 0; number < joins; number++) {
		const members = [...cluster.nodes];
		const node = await cluster.addNode();
		const before = node.nodeId;
		const word = await cluster.token(random.pick(members) ?? node);
		for (let kill = 0; kill <= killsOfEach; kill++) {
			const asked = random.pick(members) ?? node;
			const last = kill === killsOfEach;
			const victim = last ? null : (random.pick([node, node, asked, await cluster.leader()]) ?? null);
			// Answered before the node may be killed.
			const still = await isStill(node, before);
			const joining = still
				? node.joinWith(word, [asked.peerAddress], commandLimitMs).catch((error: Error) => error.message)
				: undefined;
			if (victim) {
				await Bun.sleep(random.below(spanMs));
				await victim.kill9();
			}
			const said = await joining;
			if (victim) await victim.start();
			if (last && said !== undefined) problems.push(`${node.name}, undisturbed, could not join: ${said}`);
			await cluster.leader();
		}
		await node.identify();
		if (node.nodeId === before) problems.push(`${node.name} is no member`);
		await waitUntil(`all members to vote after the join of ${node.name}`, healLimitMs, () =>
			cluster.haveVotes([...members, node]),
		).catch(async (error: Error) => {
			problems.push(`${error.message} ${JSON.stringify((await statusOf(members[0] ?? node))?.members)}`);
		});
		if (problems.length > 0) return problems;
	}
	return problems;
}

/** It has not begun anew as a member yet. */
async function isStill(node: ClusterNode, id: string): Promise<boolean> {
	await node.identify();
	return node.nodeId === id;
}
