/** The cluster and its nodes. */
import { type Static, Type } from "@sinclair/typebox";
import { PeerAddresses } from "./cluster.ts";
import { Bytes, Metadata, Name, Nullable, PageOf, Strict, StringEnum, Timestamp } from "./schema.ts";

export const Cluster = Strict({ ...Metadata, name: Name }, { $id: "Cluster" });
export type Cluster = Static<typeof Cluster>;
export const ClusterUpdate = Strict({ name: Name }, { $id: "ClusterUpdate" });

export const NodeStatus = Strict(
	{
		phase: StringEnum(["joining", "ready", "not-ready", "maintenance", "draining", "left"] as const),
		reason: Nullable(Type.String()),
		/** The others said so, and it has not been heard of since: not-ready alone may be libvirt that is away. */
		lost: Type.Optional(Type.Boolean({ description: "True: the other nodes do not hear from it" })),
		version: Type.String(),
		/** What its program knows how to do. Absent: it has not said so yet. */
		features: Type.Optional(Type.Array(Type.String({ maxLength: 128 }), { maxItems: 256 })),
		hypervisor: StringEnum(["connected", "connecting", "disconnected"] as const),
		hypervisorVersion: Nullable(Type.String()),
		accelerator: Nullable(StringEnum(["kvm", "tcg"] as const)),
		/** Why this accelerator, for people ("KVM cannot run a guest here: …"). */
		acceleratorReason: Nullable(Type.String()),
		cpuModel: Nullable(Type.String()),
		cpuCount: Type.Integer(),
		memoryBytes: Bytes(),
		bridges: Type.Array(Type.String(), { description: "Linux bridges found on the host" }),
		bootedAt: Nullable(Timestamp),
		updatedAt: Timestamp,
	},
	{ $id: "NodeStatus" },
);
export type NodeStatus = Static<typeof NodeStatus>;

/** Of a node that has not said yet how it is. */
export const unreportedStatus = (
	known: Pick<NodeStatus, "reason" | "version" | "features" | "updatedAt">,
): NodeStatus => ({
	phase: "joining",
	hypervisor: "connecting",
	hypervisorVersion: null,
	accelerator: null,
	acceleratorReason: null,
	cpuModel: null,
	cpuCount: 0,
	memoryBytes: 0,
	bridges: [],
	bootedAt: null,
	...known,
});

export const Node = Strict(
	{
		...Metadata,
		name: Name,
		/** Where other nodes reach it. Empty until it is known. */
		peerAddresses: PeerAddresses,
		/** Votes, runs no VMs. */
		witness: Type.Boolean(),
		status: NodeStatus,
	},
	{ $id: "Node" },
);
export type Node = Static<typeof Node>;
export const NodePage = PageOf(Type.Ref(Node), "NodePage");
export const NodeUpdate = Strict(
	{ name: Type.Optional(Name), peerAddresses: Type.Optional(PeerAddresses) },
	{ $id: "NodeUpdate", minProperties: 1 },
);
export type NodeUpdate = Static<typeof NodeUpdate>;

/** What a client may ask for: more than what becomes of it. */
export const NodeChange = Strict(
	{
		...NodeUpdate.properties,
		confirmUnreached: Type.Optional(
			Type.Boolean({ description: "Take peerAddresses also when the node is at none of them now" }),
		),
	},
	{ $id: "NodeChange", minProperties: 1 },
);

/** Live figures of a node; never replicated. */
export const NodeMetrics = Strict(
	{
		sampledAt: Timestamp,
		cpuUsedRatio: Type.Number({ minimum: 0, maximum: 1 }),
		memoryTotalBytes: Bytes(),
		memoryUsedBytes: Bytes(),
		load1: Type.Number(),
		vmsRunning: Type.Integer(),
	},
	{ $id: "NodeMetrics" },
);
export type NodeMetrics = Static<typeof NodeMetrics>;

const noDiskFigures = "Null while so many VMs of the node hang that QEMU cannot be asked";
/** Live figures of a VM; never replicated. Rates are over the time since the sample before. */
export const VmMetrics = Strict(
	{
		sampledAt: Timestamp,
		cpuUsedRatio: Type.Number({ minimum: 0, description: "1 is all of its vCPUs busy" }),
		memoryUsedBytes: Nullable(Bytes()),
		diskReadBytesPerSecond: Nullable(Type.Number({ description: noDiskFigures })),
		diskWriteBytesPerSecond: Nullable(Type.Number({ description: noDiskFigures })),
		netReceivedBytesPerSecond: Type.Number(),
		netSentBytesPerSecond: Type.Number(),
	},
	{ $id: "VmMetrics" },
);
export type VmMetrics = Static<typeof VmMetrics>;

const history = { intervalMs: Type.Integer({ description: "Time between two samples of this history" }) };
const historyItems = "Oldest first. There are none for times without figures: off, or before the daemon started";
export const NodeMetricsHistory = Strict(
	{ ...history, items: Type.Array(Type.Ref(NodeMetrics), { description: historyItems }) },
	{ $id: "NodeMetricsHistory" },
);
export type NodeMetricsHistory = Static<typeof NodeMetricsHistory>;
export const VmMetricsHistory = Strict(
	{ ...history, items: Type.Array(Type.Ref(VmMetrics), { description: historyItems }) },
	{ $id: "VmMetricsHistory" },
);
export type VmMetricsHistory = Static<typeof VmMetricsHistory>;
