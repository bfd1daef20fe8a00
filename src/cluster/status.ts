/** The members as an administrator sees them: the nodes of the state, Raft's view of them, and the links. Pure. */
import { toRfc3339 } from "../lib/clock.ts";
import { endsSoon } from "../model/certificate-rules.ts";
import type { ClockVerdict } from "../model/clock-rules.ts";
import { wrongClocks } from "../model/clock-words.ts";
import type { ClusterMember, ClusterStatus } from "../model/cluster.ts";
import type { Node } from "../model/node.ts";
import type { PeerStatus as LinkStatus } from "../peer/peer.ts";
import { majority } from "../raft/quorum.ts";
import type { Status } from "../raft/types.ts";
import type { MemberHint } from "./switch.ts";

/** What only the leader knows; of some moments ago when another node asks it. */
export type LeaderView = Pick<Status, "peers" | "lastIndex" | "configuration"> & { nodeId: string };

export type StatusParts = {
	nodes: readonly Node[];
	raft: Status;
	appliedIndex: number;
	/** Null when no leader is known. */
	leaderView: LeaderView | null;
	links: readonly LinkStatus[];
	own: { version: string; features: readonly string[]; certificateExpiresMs: number | null };
	clocks: ClockVerdict;
	removed: boolean;
	/** Why this node, which has left, does not begin anew. */
	hindrance: string | null;
	/** As what this node was admitted, when it has not arrived yet. */
	arriving: MemberHint | null;
	nowMs: number;
};

export function clusterStatus(parts: StatusParts): ClusterStatus {
	const { raft, leaderView, removed, nodes } = parts;
	const { voters } = (leaderView ?? raft).configuration;
	const quorumSize = voters.length === 0 ? 0 : majority(voters.length);
	const members = nodes.filter(({ status }) => status.phase !== "left").map((node) => memberOf(node, parts));
	const elsewhere = members.filter(({ nodeId }) => isElsewhere(nodeId, parts)).map(({ name }) => name);
	const ending = members.filter(({ certificateExpiresAt: at }) => at !== null && endsSoon(Date.parse(at), parts.nowMs));
	const reachableVoters = members.filter(({ nodeId, reachable }) => reachable && voters.includes(nodeId)).length;
	return {
		nodeId: raft.nodeId,
		leaderNodeId: removed ? null : raft.leader,
		quorum: raft.quorum && !removed,
		quorumSize,
		voterCount: voters.length,
		failuresTolerated: Math.max(0, reachableVoters - quorumSize),
		term: raft.term,
		commitIndex: raft.commitIndex,
		appliedIndex: parts.appliedIndex,
		removed,
		recoveredElsewhere: elsewhere.length > 0 && !removed,
		arriving: parts.arriving !== null,
		clockBasis: parts.clocks.basis,
		problem: problemOf(parts, { quorumSize, reachableVoters, elsewhere, ending }),
		members,
	};
}

function memberOf(node: Node, { raft, leaderView, links, own, clocks }: StatusParts): ClusterMember {
	const { id, name, witness, peerAddresses } = node;
	const isSelf = id === raft.nodeId;
	const link = links.find(({ nodeId }) => nodeId === id);
	const seen = leaderView?.peers.find((peer) => peer.id === id);
	const isLeader = raft.leader === id;
	const configuration = (leaderView ?? raft).configuration;
	const reachable =
		isSelf || isLeader || (leaderView === null ? link?.link.state === "connected" : (seen?.active ?? false));
	const lag = leaderView === null ? null : isLeader ? 0 : seen ? Math.max(0, leaderView.lastIndex - seen.match) : null;
	// Alone, there is nothing to hold its clock against, but what was agreed on before.
	const aheadMs = clocks.aheadMs.size > 1 || clocks.agreedMs !== null ? clocks.aheadMs.get(id) : undefined;
	const certificateEndsMs = isSelf ? own.certificateExpiresMs : (link?.peer?.certificateNotAfterMs ?? null);
	return {
		nodeId: id,
		...{ name, witness, peerAddresses, reachable },
		role: isLeader ? "leader" : configuration.voters.includes(id) ? "follower" : "learner",
		lagEntries: lag,
		recovering: isSelf ? raft.recovering : (seen?.recovering ?? false),
		receivesSnapshot: seen?.mode === "snapshot",
		version: isSelf ? own.version : (link?.peer?.build ?? null),
		features: isSelf ? [...own.features] : link?.peer ? [...link.peer.features] : null,
		latencyMs: isSelf ? null : (link?.link.rttMs ?? null),
		certificateExpiresAt: certificateEndsMs === null ? null : toRfc3339(certificateEndsMs),
		clockOffsetMs: aheadMs === undefined ? null : Math.round(aheadMs),
		clockOff: clocks.off.includes(id),
	};
}

/** It has another authority, and says that it is of another cluster. */
const isElsewhere = (nodeId: string, { links }: Pick<StatusParts, "links">): boolean =>
	links.some(
		({ nodeId: id, link }) => id === nodeId && link.state !== "connected" && link.lastClose?.code === "wrong-cluster",
	);

export const recoveredElsewhere =
	"This node belongs to a cluster that was recovered elsewhere, or restored from a backup.";

type Findings = {
	quorumSize: number;
	reachableVoters: number;
	elsewhere: readonly string[];
	/** Whose certificates are near their end. */
	ending: readonly ClusterMember[];
};

function problemOf(parts: StatusParts, { quorumSize, reachableVoters, elsewhere, ending }: Findings): string | null {
	const { raft, removed, leaderView } = parts;
	const others = elsewhere.join(", ");
	if (parts.hindrance !== null) return parts.hindrance;
	if (removed && parts.arriving !== null)
		return "This node was removed from the cluster before it had arrived there. `limiquantix cluster join` makes it a member again, with its VMs; `limiquantix cluster leave` makes it what it was before.";
	if (removed)
		return "This node was removed from the cluster. What it shows is old, and it changes nothing. `limiquantix cluster join` makes it a member again.";
	const isLost = raft.leader === null || !raft.quorum;
	if (isLost && elsewhere.length > 0)
		return `${recoveredElsewhere} ${others} ${elsewhere.length === 1 ? "is a member" : "are members"} of another one now, and nothing can be changed here. With a token of that one, \`limiquantix cluster join\` takes this node in, with the VMs that are still its own.`;
	if (parts.arriving !== null && parts.nodes.length === 0) return notArrived(parts.arriving, parts.links);
	if (isLost && isUnheard(parts)) return notReached(parts);
	if (isLost)
		return [
			`No quorum: ${quorumSize} of ${raft.configuration.voters.length} voting nodes have to reach each other. Nothing can be changed until they do.`,
			...notTrusted(parts),
			// By what it judges who may sign in here meanwhile.
			...(parts.clocks.basis === "kept" ? wrongClocksOf(parts) : []),
		].join(" ");
	if (elsewhere.length > 0)
		return `${others} ${elsewhere.length === 1 ? "says that it is a member" : "say that they are members"} of another cluster now, made by a recovery or of a backup: there are two clusters with the same VMs. Stop the members of one of them but one: without a quorum it joins the other, then the next one does.`;
	if (raft.recovering) return "The log of this node was damaged. It does not vote until it has everything again.";
	const lost = [...oneWay(parts), ...notTrusted(parts), ...wrongClocksOf(parts)];
	if (leaderView !== null && reachableVoters < leaderView.configuration.voters.length)
		return ["Not all voting nodes can be reached.", ...lost].join(" ");
	if (lost.length > 0) return lost.join(" ");
	const [first] = ending;
	if (first !== undefined)
		return `The certificate of ${first.name} for the links between nodes ends at ${first.certificateExpiresAt}, and was not renewed by itself: its log says why. \`limiquantix cluster renew-certificate ${first.name}\` tries it again.`;
	return null;
}

const wrongClocksOf = ({ nodes, raft, clocks }: StatusParts) => wrongClocks({ nodes, ownId: raft.nodeId, clocks });

/** Longer than it takes the others to link to a node that has just been started. */
const heardWithinMs = 8_000;
const hasIncoming = ({ incoming }: LinkStatus): boolean => Object.values(incoming).some((count) => count > 0);

/** This node has reached others for a while, and none of them comes to it. */
const isUnheard = ({ links, nowMs }: StatusParts): boolean =>
	!links.some(hasIncoming) &&
	links.some(({ link }) => link.connectedSinceMs !== null && nowMs - link.connectedSinceMs >= heardWithinMs);

function notReached({ nodes, raft }: StatusParts): string {
	const own = nodes.find(({ id }) => id === raft.nodeId);
	const where = own?.peerAddresses.join(", ") || "any address";
	return `The other nodes do not reach this node at ${where}, though it reaches them. Nothing can be changed here until they do. \`limiquantix cluster readdress ${own?.name ?? "NODE"} HOST:PORT\` on another node says where they do.`;
}

/** Who comes to this node, or has just been admitted, and is not found where it is said to be. */
function oneWay({ nodes, links }: StatusParts): string[] {
	return links.flatMap((each) => {
		const { state, lastClose } = each.link;
		const isLost = state !== "connected" && ["unreachable", "timeout", "other-node"].includes(lastClose?.code ?? "");
		const node = nodes.find(({ id, status }) => id === each.nodeId && status.phase !== "left");
		if (!isLost || node === undefined) return [];
		const what = hasIncoming(each) ? "reaches this node" : node.status.phase === "joining" ? "was admitted" : null;
		if (what === null) return [];
		const where = node.peerAddresses.join(", ") || "any address";
		return [
			`${node.name} ${what}, and is not reached at ${where}: \`limiquantix cluster readdress ${node.name} HOST:PORT\` says where it is.`,
		];
	});
}

/** Whom this node has no link to because one of the two does not take the certificate of the other. */
function notTrusted({ nodes, links }: StatusParts): string[] {
	const refused = links.flatMap((each) => {
		const node = nodes.find(({ id, status }) => id === each.nodeId && status.phase !== "left");
		return node !== undefined && isRefused(each) ? [{ name: node.name, why: each.link.lastClose?.message ?? "" }] : [];
	});
	const [first, ...others] = refused;
	if (first === undefined) return [];
	const more = others.map(({ name }) => name).join(", ");
	return [
		`There is no link to ${first.name}: ${first.why}`,
		...(more === "" ? [] : [`Nor is there one to ${more}, for such a reason.`]),
	];
}

/** One of the two does not take the certificate of the other. */
export const isRefused = ({ link }: LinkStatus): boolean =>
	link.state !== "connected" && link.lastClose?.code === "bad-certificate";

/** It goes by itself once the members reach it; for a moment, every node that joins says so. */
function notArrived({ name, addresses }: MemberHint, links: readonly LinkStatus[]): string {
	const where = addresses.join(", ");
	const reaches = links.some(({ link }) => link.state === "connected");
	const why = reaches
		? `the members do not reach it at ${where}: \`limiquantix cluster readdress ${name} HOST:PORT\` on one of them says where they do`
		: "it does not reach the members, nor they it";
	return `This node was admitted to a cluster as ${name}, and has not received its state yet. If that lasts, ${why}. \`limiquantix cluster leave\` here gives up joining: the node is what it was before, with its VMs.`;
}
