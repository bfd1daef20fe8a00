/**
 * What the leader does next so that the members of Raft are the nodes that the state lists: one change at a time, the first
 * that is possible. Pure; docs/decisions/0043-cluster.md has the table.
 */
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

export function nextChange({ nodes, configuration, peers, lastIndex }: MembershipView): Change | null {
	const wanted = new Map(nodes.filter(({ status }) => status.phase !== "left").map((node) => [node.id, node]));
	const { voters, learners, removed } = configuration;
	// First those that have gone: they count towards a quorum that they do not help to make.
	for (const id of [...voters, ...learners])
		if (!wanted.has(id) && nodes.some((node) => node.id === id)) return { kind: "remove", node: id };
	for (const id of learners) {
		const node = wanted.get(id);
		const peer = peers.find((one) => one.id === id);
		if (node === undefined || peer === undefined || !peer.active || peer.mode !== "replicate") continue;
		if (peer.match + nearlyThere >= lastIndex) return { kind: "promote", node: id, witness: node.witness };
	}
	for (const id of wanted.keys())
		if (!voters.includes(id) && !learners.includes(id) && !removed.includes(id))
			return { kind: "add-learner", node: id };
	return null;
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
