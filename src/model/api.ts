/** Bodies of the API that are no objects of the state: requests of actions, answers of queries. */
import { type Static, Type } from "@sinclair/typebox";
import { NetworkLease } from "./network.ts";
import { Cluster } from "./node.ts";
import { consolePath } from "./permissions.ts";
import { PoolOrphan } from "./pool-orphan.ts";
import { Bytes, Id, Nullable, Strict, StringEnum, Timestamp } from "./schema.ts";
import { DeviceId, ForeignVm } from "./vm.ts";

/** RFC 9457, with the error's `code` and the bad fields. */
export const Problem = Strict(
	{
		type: Type.String({ description: "about:blank: the status says it all" }),
		title: Type.String(),
		status: Type.Integer({ minimum: 400, maximum: 599 }),
		detail: Type.String(),
		code: Type.String({ description: "What went wrong, for programs" }),
		errors: Type.Array(Strict({ path: Type.String(), message: Type.String() }), {
			description: "Bad fields: JSON pointers into the body, '?name' for query parameters, header names",
		}),
		instance: Type.Optional(Type.String({ description: "For status 500: what to look for in the log" })),
	},
	{ $id: "Problem" },
);
export type Problem = Static<typeof Problem>;

export const Health = Strict(
	{
		version: Type.String(),
		nodeId: Id,
		leader: Nullable(Id),
		quorum: Type.Boolean(),
		appliedIndex: Type.Integer({ minimum: 0 }),
		hypervisor: StringEnum(["connected", "connecting", "disconnected"] as const),
	},
	{ $id: "Health" },
);
export type Health = Static<typeof Health>;

export const ClusterInfo = Strict(
	{
		...Cluster.properties,
		version: Type.String(),
		quorum: Type.Boolean(),
		leaderNodeId: Nullable(Id),
		demoAvailable: Type.Boolean({ description: "POST /v1/vms/actions/create-demo can work here" }),
		firstRun: Type.Boolean({ description: "There are no VMs and no images yet" }),
	},
	{ $id: "ClusterInfo" },
);
export type ClusterInfo = Static<typeof ClusterInfo>;

export const PasswordReset = Strict(
	{
		newPassword: Type.String({ minLength: 12, maxLength: 1024, description: "12 characters at least" }),
		endTokens: Type.Optional(
			Type.Boolean({ default: true, description: "Also end the user's API tokens; false keeps them" }),
		),
	},
	{ $id: "PasswordReset" },
);

export const VmStart = Strict(
	{ paused: Type.Optional(Type.Boolean({ description: "Start with its CPUs halted" })) },
	{ $id: "VmStart" },
);
export const VmShutdown = Strict(
	{
		timeoutMs: Type.Optional(
			Type.Integer({ minimum: 1000, maximum: 3_600_000, description: "Default: the VM's shutdownTimeoutMs" }),
		),
	},
	{ $id: "VmShutdown" },
);
export const VmMediaChange = Strict(
	{ cdromId: DeviceId, imageId: Nullable(Id) },
	{ $id: "VmMediaChange", description: "imageId null ejects" },
);

export const ConsoleTicketCreate = Strict(
	{
		kind: StringEnum(["browser", "native"] as const, { description: "browser: only usable from our own pages" }),
		type: StringEnum(["vnc", "serial"] as const),
		viewOnly: Type.Optional(Type.Boolean()),
	},
	{ $id: "ConsoleTicketCreate" },
);
export const ConsoleTicket = Strict(
	{
		ticket: Type.String(),
		expiresAt: Timestamp,
		path: Type.Literal(consolePath),
		protocols: Type.Array(Type.String(), { description: "WebSocket subprotocols to ask for" }),
		viewOnly: Type.Boolean(),
	},
	{ $id: "ConsoleTicket" },
);

export const UploadProgress = Strict({ receivedBytes: Bytes() }, { $id: "UploadProgress" });
export const UploadStatus = Strict(
	{ receivedBytes: Bytes(), fileSizeBytes: Nullable(Bytes()) },
	{ $id: "UploadStatus" },
);
/** Of an answer that all nodes give together. */
const unanswered = Type.Optional(
	Type.Array(Strict({ nodeId: Id, nodeName: Type.String(), message: Type.String() }), {
		description: "Nodes that did not answer, and why; left out when all did",
	}),
);
export const NetworkLeaseList = Strict(
	{ items: Type.Array(Type.Ref(NetworkLease)), unanswered },
	{ $id: "NetworkLeaseList" },
);
export const PoolOrphanList = Strict(
	{ items: Type.Array(Type.Ref(PoolOrphan)), unanswered },
	{ $id: "PoolOrphanList" },
);
export const ForeignVmList = Strict({ items: Type.Array(Type.Ref(ForeignVm)), unanswered }, { $id: "ForeignVmList" });
