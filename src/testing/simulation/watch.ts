/**
 * What nodes may not do although no log is damaged by it: disturb a working leader, lead without a quorum, be moved by a
 * stranger. Looked at when a message is delivered that could make a node do so, and every few ticks.
 */
import type { AppendAnswer, Message } from "../../raft/messages.ts";
import type { Configuration, NodeId, Status } from "../../raft/types.ts";
import type { Cluster } from "./cluster.ts";
import type { SimulatedNode } from "./node.ts";
import type { SimulatedProcess } from "./process.ts";
import { unsafe } from "./violation.ts";

export function watchDelivery(
	cluster: Cluster,
	to: SimulatedNode,
	process: SimulatedProcess,
	message: Message,
	forged: boolean,
): void {
	if (message.type === "heartbeat" && cluster.quarantine.has(to.id)) {
		const { commit, commitTerm } = message;
		const { lastIndex, commitIndex } = process.vitals;
		const lacks =
			commit > lastIndex || (commitTerm > 0 && commit > commitIndex && process.termAt(commit) !== commitTerm);
		process.receive(message);
		if (to.process === process && lacks && !process.vitals.recovering)
			unsafe(`recovery: ${to.id} has an old disk, is told that it had ${commit}, and goes on at ${lastIndex}`);
		return;
	}
	const stranger = message.clusterId !== "cluster";
	const election = message.type === "vote" || message.type === "pre-vote" || message.type === "campaign-now";
	const gone = cluster.checker.removed.size > 0 && cluster.checker.removed.has(message.from);
	if (!forged && !gone) cluster.checker.exchanges.delivered(message, cluster.queue.steps);
	if (!forged && message.type === "append-answer" && cluster.checker.exchanges.isLate(message)) {
		watchLateAnswer(cluster, to, process, message);
		return;
	}
	if (!stranger && !election && !gone) {
		process.receive(message);
		return;
	}
	const before = process.status();
	if (message.type === "vote" && !forged) {
		const own = process.termAt(before.lastIndex) ?? 0;
		if (message.lastTerm > own || (message.lastTerm === own && message.lastIndex >= before.lastIndex))
			cluster.checker.exchanges.mayHaveVote(to.id, message.term, message.from);
	}
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
	const mayNot = before.recovering || isOutside(before);
	if (message.type === "campaign-now" && mayNot && after.role === "candidate")
		unsafe(`elections: ${to.id} campaigns when asked, and may not`);
	if (message.type === "pre-vote" && after.term > before.term)
		unsafe(`elections: a pre-vote raised the term of ${to.id}`);
	const hears = before.role === "leader" || (before.role === "follower" && before.leader !== null && before.quorum);
	if (message.type === "vote" && !message.transfer && hears && after.term > before.term)
		unsafe(`elections: ${to.id} hears its leader and was moved by ${message.from} to term ${after.term}`);
}

/**
 * A node with an old disk has forgotten what it acknowledged, and nothing on it says so: only the leader that heard it knows. So
 * until it has been told it hears nobody else, and nobody else hears it; more than that nobody survives.
 */
export function isHeardInQuarantine(quarantine: Cluster["quarantine"], to: NodeId, message: Message): boolean {
	const { from, type, term } = message;
	const own = quarantine.get(to);
	if (own !== undefined) return from === own.leader && term === own.term && (type === "heartbeat" || type === "append");
	const sender = quarantine.get(from);
	if (sender === undefined) return true;
	return to === sender.leader && term === sender.term && (type === "heartbeat-answer" || type === "append-answer");
}

export function watchNode(cluster: Cluster, node: SimulatedNode): void {
	const { process } = node;
	if (process === null) return;
	const { vitals } = process;
	cluster.trace.add(vitals.term);
	cluster.trace.add(vitals.commitIndex);
	if (!sameMembers(vitals.configuration, process.configuration().configuration))
		unsafe(`members: ${node.id} counts by another configuration than the last one in its log`);
	node.watchRecovery(vitals.recovering);
	const leads = cluster.checker.leaderOf(vitals.term);
	if (process.leader !== null && leads !== null && process.leader !== leads)
		unsafe(`elections: ${node.id} follows ${process.leader} in term ${vitals.term}, which ${leads} leads`);
	if (vitals.role !== "leader") return;
	if (!vitals.quorum) unsafe(`elections: ${node.id} leads term ${vitals.term} without hearing a quorum`);
	const { voters } = vitals.configuration;
	if (!voters.includes(node.id) && vitals.configurationIndex <= vitals.commitIndex)
		unsafe(`members: ${node.id} leads term ${vitals.term} and is no voter any more`);
	// Who sends nothing is seen here.
	if (vitals.commitIndex > cluster.checker.maxClaimed) cluster.checker.checkHeld(vitals.commitIndex, node.id, process);
}

/** No voter, for all that is committed; whoever is being removed may still campaign. */
const isOutside = ({ nodeId, configuration, configurationIndex, commitIndex }: Status): boolean =>
	configurationIndex <= commitIndex && !configuration.voters.includes(nodeId);

const sameMembers = (a: Configuration, b: Configuration): boolean =>
	a === b || (a.voters.join() === b.voters.join() && a.learners.join() === b.learners.join());

/** A late answer of a node whose log was damaged since: nothing follows from it. */
function watchLateAnswer(cluster: Cluster, to: SimulatedNode, process: SimulatedProcess, message: AppendAnswer): void {
	process.receive(message);
	if (to.process !== process) return;
	const { term, peers } = process.status();
	const peer = peers.find(({ id }) => id === message.from);
	const most = cluster.checker.exchanges.acknowledged(to.id, message.from, term);
	if (peer !== undefined && most !== null && peer.match > most)
		unsafe(`recovery: ${to.id} believes that ${message.from} has ${peer.match}, as before its log was damaged`);
}
