/**
 * What the leader does next so that the members of Raft are the nodes that the state lists: one change at a time, the first
 * that is possible. Pure; docs/decisions/0043-cluster.md has the table.
 */
import { maxMembers, maxVoters } from "../model/member-limits.ts";
import type { Node } from "../model/node.ts";
import type { Change, Configuration, PeerStatus } from "../raft/types.ts";

export type MembershipView = {
	nodes: readonly Node[];
	configuration: Configuration;
	/** Of the leader that asks. */
	peers: readonly PeerStatus[];
	lastIndex: number;
};

/** Entries that a learner may lack when it is proposed as a voter; the core checks again. */
const nearlyThere = 64;

/**
 * In the order in which they are tried: the core may refuse one for what only it knows, and another may be what helps. Nothing
 * that its limits on members do not allow.
 */
export function wantedChanges({ nodes, configuration, peers, lastIndex }: MembershipView): Change[] {
	const wanted = new Map(nodes.filter(({ status }) => status.phase !== "left").map((node) => [node.id, node]));
	const { voters, learners, removed } = configuration;
	const members = [...voters, ...learners];
	// First those that have gone: they count towards a quorum that they do not help to make.
	const gone = members.filter((id) => !wanted.has(id) && nodes.some((node) => node.id === id));
	const changes: Change[] = gone.map((node) => ({ kind: "remove", node }));
	for (const id of voters.length < maxVoters ? learners : []) {
		const node = wanted.get(id);
		const peer = peers.find((one) => one.id === id);
		if (node === undefined || peer === undefined || !peer.active || peer.mode !== "replicate") continue;
		if (peer.match + nearlyThere >= lastIndex) changes.push({ kind: "promote", node: id, witness: node.witness });
	}
	const missing = [...wanted.keys()].filter((id) => !members.includes(id) && !removed.includes(id));
	if (members.length < maxMembers) changes.push(...missing.map((node) => ({ kind: "add-learner", node }) as const));
	return changes;
}

/**
 * Nodes that were heard of before and are not now; `silentMs` says for how long each of them was not. `marks`: that is told
 * apart from one that said itself that it is not ready, so that is told of such a one, too.
 */
export function lostNodes(
	nodes: readonly Node[],
	silentMs: (nodeId: string) => number,
	limitMs: number,
	marks: boolean,
): Node[] {
	const reporting = ({ status: { phase, lost } }: Node) =>
		["ready", "maintenance", "draining"].includes(phase) || (marks && phase === "not-ready" && lost !== true);
	return nodes.filter((node) => reporting(node) && silentMs(node.id) >= limitMs);
}
