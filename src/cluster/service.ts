/**
 * What the API asks of this node's part in the cluster. `cluster.ts` implements it; tests have a fake. What only changes the
 * state (tokens, addresses, removing a node) is a command and does not come through here.
 */

import type { ClusterJoin, ClusterStatus, JoinPreview, NodeCertificateInfo } from "../model/cluster.ts";
import type { PoolCredentials } from "../model/pool-config.ts";
import type { TickDelays } from "../store/raft/ticker.ts";

export type NewJoinToken = { secret: string; secretHash: string };

/** Counted since the daemon started. */
export type ClusterFigures = {
	/** How often this node saw another leader than before. */
	leaderChanges: number;
	/** Messages to other nodes that were dropped because a link was too slow or away. */
	messagesDropped: number;
	/** Of the consensus. */
	tickDelays: TickDelays;
};

/** Seals what nobody but the nodes may read; see cluster-secrets.ts. */
export interface SecretSealer {
	/** For `sealedCredentials` of a command. */
	seal(poolId: string, credentials: PoolCredentials): Promise<string>;
}

export interface ClusterService {
	readonly nodeId: string;
	/** At once; what only the leader knows may be missing on another node. */
	status(): ClusterStatus;
	/** The same, once the leader has been asked: after a moment at most, whether it answers or not. */
	freshStatus(): Promise<ClusterStatus>;
	/**
	 * The name of a member that hears this node now or, when it was removed, that it asked a moment ago: it is not off then. All
	 * that can be reached are asked, for two seconds at most. Null when nobody does.
	 */
	whoHears(nodeId: string): Promise<string | null>;
	/** Not of one that went before the members of Raft had it, nor for ever: only so many ids are kept. */
	wasMember(nodeId: string): boolean;
	/** For /metrics. */
	figures(): ClusterFigures;
	/** Resolves to who leads afterwards. Goes to the leader, whoever it is. `wrong-state`, `unavailable`. */
	transferLeadership(to: string | null): Promise<string>;
	/** The text of a token with this id, with the CA's fingerprint and the members' addresses; it is kept nowhere. */
	makeJoinToken(tokenId: string): NewJoinToken;
	/**
	 * Looks at the cluster of the token and, unless it is a preview or something clashes, makes this node a member: it resolves
	 * when that is durable, and the daemon begins anew right after. `wrong-state` when this cluster has other members.
	 */
	join(request: ClusterJoin): Promise<JoinPreview>;
	/**
	 * This node becomes a cluster of its own again; resolves when the members have let it go. `remove` proposes the command
	 * that says so, in the name of who asked for it; it is not called when this node has been removed already.
	 */
	leave(remove: () => Promise<unknown>): Promise<void>;
	/** Why that node is at none of these addresses now, in words; null when it is, or when no other node is there to look. */
	whyUnreached(nodeId: string, addresses: readonly string[]): Promise<string | null>;
	/** A new key and certificate for this node's links, whether it is time or not. Nothing pauses. */
	renewCertificate(): Promise<NodeCertificateInfo>;
	/** True when every member knows this feature. */
	everybodyHas(feature: string): boolean;
	/** Members that do not have it, or have not said so yet, by name. */
	lacking(feature: string): string[];
}
