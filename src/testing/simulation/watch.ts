/**
 * What nodes may not do although no log is damaged by it: disturb a working leader, lead without a quorum, be moved by a
 * stranger. Looked at when a message is delivered that could make a node do so, and every few ticks.
 */
import type { Message } from "../../raft/messages.ts";
import type { Cluster } from "./cluster.ts";
import type { SimulatedNode } from "./node.ts";
import type { SimulatedProcess } from "./process.ts";
import { unsafe } from "./violation.ts";

export function watchDelivery(cluster: Cluster, to: SimulatedNode, process: SimulatedProcess, message: Message): void {
	const stranger = message.clusterId !== "cluster";
	const election = message.type === "vote" || message.type === "pre-vote";
	const gone = cluster.checker.removed.size > 0 && cluster.checker.removed.has(message.from);
	if (!stranger && !election && !gone) {
		process.receive(message);
		return;
	}
	const before = process.status();
	process.receive(message);
	// A process that ended meanwhile has no opinion.
	if (to.process !== process) return;
	const after = process.status();
	if (
		stranger &&
		after.dropped.otherCluster + after.dropped.invalid === before.dropped.otherCluster + before.dropped.invalid
	)
		unsafe(`strangers: ${to.id} heard a ${message.type} of another cluster`);
	const knows =
		gone && before.configurationIndex <= before.commitIndex && before.configuration.removed.includes(message.from);
	if (
		knows &&
		!stranger &&
		!before.removed &&
		after.dropped.removed + after.dropped.invalid === before.dropped.removed + before.dropped.invalid
	)
		unsafe(`strangers: ${to.id} heard a ${message.type} of ${message.from}, which was removed`);
	if (message.type === "pre-vote" && after.term > before.term)
		unsafe(`elections: a pre-vote raised the term of ${to.id}`);
	const hears = before.role === "leader" || (before.role === "follower" && before.leader !== null && before.quorum);
	if (message.type === "vote" && !message.transfer && hears && after.term > before.term)
		unsafe(`elections: ${to.id} hears its leader and was moved by ${message.from} to term ${after.term}`);
}

export function watchNode(cluster: Cluster, node: SimulatedNode): void {
	const { process } = node;
	if (process === null) return;
	const status = process.status();
	cluster.trace.add(status.term);
	cluster.trace.add(status.commitIndex);
	if (status.role !== "leader") return;
	if (!status.quorum) unsafe(`elections: ${node.id} leads term ${status.term} without hearing a quorum`);
	const { voters } = status.configuration;
	if (!voters.includes(node.id) && status.configurationIndex <= status.commitIndex)
		unsafe(`members: ${node.id} leads term ${status.term} and is no voter any more`);
	// Who sends nothing is seen here.
	if (status.commitIndex > cluster.checker.maxClaimed) cluster.checker.checkHeld(status.commitIndex, node.id, process);
}
