/** A cluster of several nodes: what joins them, who is a member and how far, and what a join would bring. */
import { type Static, Type } from "@sinclair/typebox";
import { clockBases, clockLimitMs, clockRightMs, joinClockLimitMs } from "./clock-rules.ts";
import { maxVoters } from "./member-limits.ts";
import { Id, Metadata, Name, Nullable, PageOf, Strict, StringEnum, Timestamp } from "./schema.ts";

/** HOST:PORT of a node's peer listener. */
export const PeerAddress = Type.String({
	maxLength: 300,
	pattern: "^(\\[[0-9a-fA-F:.]{2,45}\\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?):[0-9]{1,5}$",
	description: "HOST:PORT of a node's listener for other nodes",
});
/** Of `peer-listen`. */
export const defaultPeerPort = 8444;
export const maxPeerAddresses = 8;
export const PeerAddresses = Type.Array(PeerAddress, { maxItems: maxPeerAddresses });

/** What the state keeps of a token; its secret is kept as a hash, apart. */
export const JoinToken = Strict(
	{
		...Metadata,
		/** Who made it. */
		createdBy: Type.String(),
		expiresAt: Timestamp,
		usesLeft: Type.Integer({ minimum: 0, maximum: 64 }),
		/** Nodes that came with it, by the fingerprint of their key: the same node may ask again. */
		admitted: Type.Array(Strict({ nodeId: Id, keyFingerprint: Type.String({ pattern: "^[0-9a-f]{64}$" }) })),
	},
	{ $id: "JoinToken" },
);
export type JoinToken = Static<typeof JoinToken>;
export const JoinTokenPage = PageOf(Type.Ref(JoinToken), "JoinTokenPage");
export const joinTokenDefaultMs = 3_600_000;
export const joinTokenMaxMs = 24 * 3_600_000;
export const JoinTokenCreate = Strict(
	{
		uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 64, description: "Default 1" })),
		expiresInMs: Type.Optional(
			Type.Integer({ minimum: 60_000, maximum: joinTokenMaxMs, description: "Default an hour" }),
		),
	},
	{ $id: "JoinTokenCreate" },
);
export const JoinTokenCreated = Strict(
	{
		token: Type.Ref(JoinToken),
		secret: Type.String({ description: "The token's text, which the new node is given; shown this once" }),
		command: Type.String({ description: "To paste on the new node" }),
	},
	{ $id: "JoinTokenCreated" },
);
export type JoinTokenCreated = Static<typeof JoinTokenCreated>;

export const memberRoles = ["leader", "follower", "learner"] as const;
export const ClusterMember = Strict(
	{
		nodeId: Id,
		name: Name,
		role: StringEnum(memberRoles, {
			description: `learner: receives everything, and does not vote: not yet, or because ${maxVoters} others do, which is the most`,
		}),
		witness: Type.Boolean({ description: "Votes, runs no VMs" }),
		peerAddresses: PeerAddresses,
		/** As the leader sees it; as this node sees it when it knows no leader. */
		reachable: Type.Boolean(),
		/** Entries of the log that it does not have yet; null when that is not known here. */
		lagEntries: Nullable(Type.Integer({ minimum: 0 })),
		/** Its log was damaged: it does not vote before it has everything again. */
		recovering: Type.Boolean(),
		receivesSnapshot: Type.Boolean(),
		version: Nullable(Type.String({ description: "Of its program; null before it was heard of" })),
		features: Nullable(Type.Array(Type.String())),
		/** Round trip of this node's link to it; null without one, and for this node itself. */
		latencyMs: Nullable(Type.Number({ minimum: 0 })),
		certificateExpiresAt: Type.Union([Timestamp, Type.Null()], {
			description: "As it showed it when it was last linked to the node that answers; null before that",
		}),
		clockOffsetMs: Type.Union([Type.Number(), Type.Null()], {
			description:
				"How far its clock is ahead (behind, when negative) of the time that clockBasis says; where that is none, of the clock of the node that answers. Null when that node does not hear its clock",
		}),
		clockOff: Type.Boolean({
			description: `Its clock is off by more than ${clockLimitMs} ms, until it is off by no more than ${clockRightMs} ms; where clockBasis is none, all members whose clocks differ are`,
		}),
	},
	{ $id: "ClusterMember" },
);
export type ClusterMember = Static<typeof ClusterMember>;

export const ClusterStatus = Strict(
	{
		/** Of the node that answers. */
		nodeId: Id,
		leaderNodeId: Nullable(Id),
		quorum: Type.Boolean(),
		/** Voters that have to agree, and voters that there are. */
		quorumSize: Type.Integer(),
		voterCount: Type.Integer(),
		/** How many more voters may fail. */
		failuresTolerated: Type.Integer(),
		term: Type.Integer(),
		commitIndex: Type.Integer(),
		appliedIndex: Type.Integer(),
		/** This node was removed from the cluster: it changes nothing any more. */
		removed: Type.Boolean(),
		recoveredElsewhere: Type.Boolean({
			description:
				"A member that this node knows says that it is of another cluster now: this one was recovered, or restored from a backup, without this node",
		}),
		arriving: Type.Boolean({
			description:
				"This node was admitted to a cluster, and is not part of it yet: it has not received the state, or what it brings along is not in it",
		}),
		clockBasis: StringEnum(clockBases, {
			description:
				"What the clocks of members are held against by the node that answers. majority: the time that most of those that it hears agree on. kept: what they agreed on before; it hears no majority now, and its own clock was off then, so it goes by that. none: no majority agrees, as with two members, and which clock is right is not known",
		}),
		/** Null when nothing is wrong; else what, for people. */
		problem: Nullable(Type.String()),
		members: Type.Array(Type.Ref(ClusterMember)),
	},
	{ $id: "ClusterStatus" },
);
export type ClusterStatus = Static<typeof ClusterStatus>;

export const LeaderTransfer = Strict(
	{ nodeId: Type.Optional(Id) },
	{ $id: "LeaderTransfer", description: "Without nodeId: to the member best suited" },
);

/** Body of `POST /v1/cluster/actions/join`, on the node that joins. */
export const ClusterJoin = Strict(
	{
		token: Type.String({
			maxLength: 4096,
			description: "Its text, from `limiquantix cluster token create` on a member",
		}),
		/** Asked instead of those in the token. */
		addresses: Type.Optional(PeerAddresses),
		/** Where the members reach this node; else its own addresses. */
		ownAddresses: Type.Optional(PeerAddresses),
		witness: Type.Optional(Type.Boolean()),
		rename: Type.Optional(Type.Boolean({ description: "Rename what clashes by name to NAME-NODE" })),
		confirmName: Type.Optional(
			Type.String({
				maxLength: 300,
				description:
					"The name of this node, typed; wanted when its cluster was recovered elsewhere: what only this one knows is given up",
			}),
		),
		/** Only say what would happen. */
		preview: Type.Optional(Type.Boolean()),
	},
	{ $id: "ClusterJoin" },
);
export type ClusterJoin = Static<typeof ClusterJoin>;
export const JoinClash = Strict({
	kind: StringEnum(["node", "vm", "volume", "image", "network", "pool"] as const),
	name: Type.String(),
	message: Type.String(),
	/** A new name would do. */
	renamable: Type.Boolean(),
});
export type JoinClash = Static<typeof JoinClash>;
export const JoinPreview = Strict(
	{
		clusterId: Id,
		clusterName: Type.String(),
		memberNames: Type.Array(Type.String()),
		/** What comes along, by kind. */
		brings: Strict({
			vms: Type.Integer(),
			volumes: Type.Integer(),
			images: Type.Integer(),
			networks: Type.Integer(),
			pools: Type.Integer(),
		}),
		clashes: Type.Array(JoinClash),
		clockOffsetMs: Type.Union([Type.Number(), Type.Null()], {
			description: `How far this node's clock is ahead (behind, when negative) of the time that the member that was asked goes by, as most members agree on it; null when that one does not say. With ${joinClockLimitMs / 60_000} min or more the node does not join`,
		}),
		clockOf: Type.Union([Type.String(), Type.Null()], {
			description: "The name of that member; null when it does not say",
		}),
		recovered: Type.Boolean({
			description:
				"This node's own cluster was recovered, or restored, as that one. It joins like one that was removed: with what is still its own",
		}),
		/** The node begins anew as a member; false for a preview, and when something clashes. */
		joining: Type.Boolean(),
	},
	{ $id: "JoinPreview" },
);
export type JoinPreview = Static<typeof JoinPreview>;

export const NodeRemove = Strict(
	{
		confirmName: Type.String({
			description: "The node's name, typed: that it is off and stays off is confirmed with it",
		}),
	},
	{ $id: "NodeRemove" },
);
export const NodeCertificateInfo = Strict(
	{
		fingerprint: Type.String({ description: "SHA-256 of the node's certificate for the links between nodes" }),
		expiresAt: Timestamp,
	},
	{ $id: "NodeCertificateInfo" },
);
export type NodeCertificateInfo = Static<typeof NodeCertificateInfo>;
export const VmMove = Strict(
	{
		nodeId: Id,
		/** For a VM of a node that was removed or is not heard of: that node's name, typed: it is off. */
		confirmNodeOff: Type.Optional(Type.String()),
	},
	{ $id: "VmMove" },
);
