/** Whom the links know: the nodes of the state, or, before there is a state, those that the node was told of when it joined. Pure. */
import type { Node } from "../model/node.ts";
import { type Address, parseAddress } from "../peer/address.ts";
import type { PeerMember } from "../peer/peer.ts";
import type { Configuration } from "../raft/types.ts";
import type { MemberHint } from "./switch.ts";

export function peerMembers(
	nodes: readonly Node[],
	hints: readonly MemberHint[],
	{ voters, learners, removed }: Configuration,
): { members: PeerMember[]; removed: string[] } {
	const inRaft = (id: string) => voters.includes(id) || learners.includes(id);
	const left = nodes.filter(({ status }) => status.phase === "left").map(({ id }) => id);
	// A node that is to go stays reachable until Raft has let it go: it must hear that it has.
	const gone = [...removed, ...left].filter((id) => !inRaft(id));
	const known = nodes
		.filter(({ id }) => !gone.includes(id))
		.map(({ id, peerAddresses }) => [id, peerAddresses] as const);
	const members = nodes.length > 0 ? known : hints.map(({ nodeId, addresses }) => [nodeId, addresses] as const);
	return {
		members: members.map(([nodeId, addresses]) => ({
			nodeId,
			addresses: addresses.map(parseAddress).filter((address): address is Address => address !== null),
		})),
		removed: gone,
	};
}
