// Generated from the routes in src/api by src/scripts/generate-client.ts. Do not edit.
import type { Static } from "@sinclair/typebox";
import type * as access from "../model/access.ts";
import type * as api from "../model/api.ts";
import type * as cluster from "../model/cluster.ts";
import type * as network from "../model/network.ts";
import type * as node from "../model/node.ts";
import type * as poolContent from "../model/pool-content.ts";
import type * as poolOrphan from "../model/pool-orphan.ts";
import type * as snapshot from "../model/snapshot.ts";
import type * as storage from "../model/storage.ts";
import type * as task from "../model/task.ts";
import type * as vm from "../model/vm.ts";

export const operations = {
	healthGet: { method: "GET", path: "/healthz", body: null, answer: "json", idempotent: false, ifMatch: false },
	metricsGet: { method: "GET", path: "/metrics", body: null, answer: "raw", idempotent: false, ifMatch: false },
	openapiGet: { method: "GET", path: "/v1/openapi.json", body: null, answer: "json", idempotent: false, ifMatch: false },
	eventsStream: { method: "GET", path: "/v1/events", body: null, answer: "raw", idempotent: false, ifMatch: false },
	sessionCreate: { method: "POST", path: "/v1/sessions", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	sessionList: { method: "GET", path: "/v1/sessions", body: null, answer: "json", idempotent: false, ifMatch: false },
	sessionDeleteCurrent: { method: "DELETE", path: "/v1/sessions/current", body: null, answer: "none", idempotent: false, ifMatch: false },
	sessionDelete: { method: "DELETE", path: "/v1/sessions/{id}", body: null, answer: "none", idempotent: false, ifMatch: false },
	meGet: { method: "GET", path: "/v1/me", body: null, answer: "json", idempotent: false, ifMatch: false },
	mePasswordChange: { method: "POST", path: "/v1/me/password", body: "application/json", answer: "none", idempotent: false, ifMatch: false },
	tokenList: { method: "GET", path: "/v1/tokens", body: null, answer: "json", idempotent: false, ifMatch: false },
	tokenCreate: { method: "POST", path: "/v1/tokens", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	tokenDelete: { method: "DELETE", path: "/v1/tokens/{id}", body: null, answer: "none", idempotent: false, ifMatch: true },
	userList: { method: "GET", path: "/v1/users", body: null, answer: "json", idempotent: false, ifMatch: false },
	userCreate: { method: "POST", path: "/v1/users", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	userGet: { method: "GET", path: "/v1/users/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	userUpdate: { method: "PATCH", path: "/v1/users/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	userDelete: { method: "DELETE", path: "/v1/users/{id}", body: null, answer: "none", idempotent: false, ifMatch: true },
	userPasswordReset: { method: "POST", path: "/v1/users/{id}/actions/reset-password", body: "application/json", answer: "none", idempotent: false, ifMatch: false },
	auditList: { method: "GET", path: "/v1/audit", body: null, answer: "json", idempotent: false, ifMatch: false },
	clusterGet: { method: "GET", path: "/v1/cluster", body: null, answer: "json", idempotent: false, ifMatch: false },
	clusterUpdate: { method: "PATCH", path: "/v1/cluster", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	clusterBackupGet: { method: "GET", path: "/v1/cluster/backup", body: null, answer: "raw", idempotent: false, ifMatch: false },
	nodeList: { method: "GET", path: "/v1/nodes", body: null, answer: "json", idempotent: false, ifMatch: false },
	nodeGet: { method: "GET", path: "/v1/nodes/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	nodeUpdate: { method: "PATCH", path: "/v1/nodes/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	nodeMetricsGet: { method: "GET", path: "/v1/nodes/{id}/metrics", body: null, answer: "json", idempotent: false, ifMatch: false },
	nodeMetricsHistoryGet: { method: "GET", path: "/v1/nodes/{id}/metrics/history", body: null, answer: "json", idempotent: false, ifMatch: false },
	clusterStatusGet: { method: "GET", path: "/v1/cluster/status", body: null, answer: "json", idempotent: false, ifMatch: false },
	clusterLeaderTransfer: { method: "POST", path: "/v1/cluster/actions/transfer-leader", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	clusterJoin: { method: "POST", path: "/v1/cluster/actions/join", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	nodeLeave: { method: "POST", path: "/v1/nodes/{id}/actions/leave", body: null, answer: "none", idempotent: false, ifMatch: false },
	nodeRemove: { method: "POST", path: "/v1/nodes/{id}/actions/remove", body: "application/json", answer: "none", idempotent: false, ifMatch: false },
	nodeCertificateRenew: { method: "POST", path: "/v1/nodes/{id}/actions/renew-certificate", body: null, answer: "json", idempotent: false, ifMatch: false },
	joinTokenList: { method: "GET", path: "/v1/cluster/tokens", body: null, answer: "json", idempotent: false, ifMatch: false },
	joinTokenCreate: { method: "POST", path: "/v1/cluster/tokens", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	joinTokenDelete: { method: "DELETE", path: "/v1/cluster/tokens/{id}", body: null, answer: "none", idempotent: false, ifMatch: true },
	taskList: { method: "GET", path: "/v1/tasks", body: null, answer: "json", idempotent: false, ifMatch: false },
	taskGet: { method: "GET", path: "/v1/tasks/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	taskCancel: { method: "POST", path: "/v1/tasks/{id}/actions/cancel", body: null, answer: "json", idempotent: true, ifMatch: false },
	vmList: { method: "GET", path: "/v1/vms", body: null, answer: "json", idempotent: false, ifMatch: false },
	vmCreate: { method: "POST", path: "/v1/vms", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	vmCreateDemo: { method: "POST", path: "/v1/vms/actions/create-demo", body: null, answer: "json", idempotent: true, ifMatch: false },
	vmGet: { method: "GET", path: "/v1/vms/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	vmUpdate: { method: "PATCH", path: "/v1/vms/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	vmDelete: { method: "DELETE", path: "/v1/vms/{id}", body: null, answer: "json", idempotent: false, ifMatch: true },
	vmStart: { method: "POST", path: "/v1/vms/{id}/actions/start", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	vmShutdown: { method: "POST", path: "/v1/vms/{id}/actions/shutdown", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	vmStop: { method: "POST", path: "/v1/vms/{id}/actions/stop", body: null, answer: "json", idempotent: true, ifMatch: false },
	vmReset: { method: "POST", path: "/v1/vms/{id}/actions/reset", body: null, answer: "json", idempotent: true, ifMatch: false },
	vmPause: { method: "POST", path: "/v1/vms/{id}/actions/pause", body: null, answer: "json", idempotent: true, ifMatch: false },
	vmResume: { method: "POST", path: "/v1/vms/{id}/actions/resume", body: null, answer: "json", idempotent: true, ifMatch: false },
	vmMediaChange: { method: "POST", path: "/v1/vms/{id}/actions/change-media", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	vmMove: { method: "POST", path: "/v1/vms/{id}/actions/move", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	vmMetricsGet: { method: "GET", path: "/v1/vms/{id}/metrics", body: null, answer: "json", idempotent: false, ifMatch: false },
	vmMetricsHistoryGet: { method: "GET", path: "/v1/vms/{id}/metrics/history", body: null, answer: "json", idempotent: false, ifMatch: false },
	vmScreenshotGet: { method: "GET", path: "/v1/vms/{id}/screenshot", body: null, answer: "raw", idempotent: false, ifMatch: false },
	vmSerialLogGet: { method: "GET", path: "/v1/vms/{id}/serial-log", body: null, answer: "raw", idempotent: false, ifMatch: false },
	vmDomainXmlGet: { method: "GET", path: "/v1/vms/{id}/domain-xml", body: null, answer: "raw", idempotent: false, ifMatch: false },
	vmConsoleTicketCreate: { method: "POST", path: "/v1/vms/{id}/console-tickets", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	foreignVmList: { method: "GET", path: "/v1/foreign-vms", body: null, answer: "json", idempotent: false, ifMatch: false },
	foreignVmAdopt: { method: "POST", path: "/v1/foreign-vms/{id}/actions/adopt", body: null, answer: "json", idempotent: true, ifMatch: false },
	snapshotList: { method: "GET", path: "/v1/vms/{id}/snapshots", body: null, answer: "json", idempotent: false, ifMatch: false },
	snapshotCreate: { method: "POST", path: "/v1/vms/{id}/snapshots", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	snapshotGet: { method: "GET", path: "/v1/snapshots/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	snapshotUpdate: { method: "PATCH", path: "/v1/snapshots/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	snapshotDelete: { method: "DELETE", path: "/v1/snapshots/{id}", body: null, answer: "json", idempotent: false, ifMatch: true },
	snapshotRevert: { method: "POST", path: "/v1/snapshots/{id}/actions/revert", body: null, answer: "json", idempotent: true, ifMatch: false },
	poolList: { method: "GET", path: "/v1/pools", body: null, answer: "json", idempotent: false, ifMatch: false },
	poolCreate: { method: "POST", path: "/v1/pools", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	poolProbe: { method: "POST", path: "/v1/pools/actions/probe", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	poolDiscover: { method: "POST", path: "/v1/pools/actions/discover", body: "application/json", answer: "json", idempotent: false, ifMatch: false },
	poolGet: { method: "GET", path: "/v1/pools/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	poolUpdate: { method: "PATCH", path: "/v1/pools/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	poolDelete: { method: "DELETE", path: "/v1/pools/{id}", body: null, answer: "json", idempotent: false, ifMatch: true },
	poolContentList: { method: "GET", path: "/v1/pools/{id}/content", body: null, answer: "json", idempotent: false, ifMatch: false },
	poolOrphanList: { method: "GET", path: "/v1/pools/{id}/orphans", body: null, answer: "json", idempotent: false, ifMatch: false },
	poolOrphanDelete: { method: "POST", path: "/v1/pools/{id}/orphans/actions/delete", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	poolOrphanAdopt: { method: "POST", path: "/v1/pools/{id}/orphans/actions/adopt", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	volumeList: { method: "GET", path: "/v1/volumes", body: null, answer: "json", idempotent: false, ifMatch: false },
	volumeCreate: { method: "POST", path: "/v1/volumes", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	volumeGet: { method: "GET", path: "/v1/volumes/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	volumeSnapshotList: { method: "GET", path: "/v1/volumes/{id}/snapshots", body: null, answer: "json", idempotent: false, ifMatch: false },
	volumeUpdate: { method: "PATCH", path: "/v1/volumes/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	volumeDelete: { method: "DELETE", path: "/v1/volumes/{id}", body: null, answer: "json", idempotent: false, ifMatch: true },
	volumeResize: { method: "POST", path: "/v1/volumes/{id}/actions/resize", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	volumeClone: { method: "POST", path: "/v1/volumes/{id}/actions/clone", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	volumeContentGet: { method: "GET", path: "/v1/volumes/{id}/content", body: null, answer: "raw", idempotent: false, ifMatch: false },
	volumeMove: { method: "POST", path: "/v1/volumes/{id}/actions/move", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	volumeCheck: { method: "POST", path: "/v1/volumes/{id}/actions/check", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	volumeFlatten: { method: "POST", path: "/v1/volumes/{id}/actions/flatten", body: null, answer: "json", idempotent: true, ifMatch: false },
	imageList: { method: "GET", path: "/v1/images", body: null, answer: "json", idempotent: false, ifMatch: false },
	imageCreate: { method: "POST", path: "/v1/images", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	imageGet: { method: "GET", path: "/v1/images/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	imageUpdate: { method: "PATCH", path: "/v1/images/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	imageDelete: { method: "DELETE", path: "/v1/images/{id}", body: null, answer: "json", idempotent: false, ifMatch: true },
	imageContentPut: { method: "PUT", path: "/v1/images/{id}/content", body: "application/octet-stream", answer: "json", idempotent: false, ifMatch: false },
	imageUploadStatus: { method: "GET", path: "/v1/images/{id}/upload", body: null, answer: "json", idempotent: false, ifMatch: false },
	imageContentGet: { method: "GET", path: "/v1/images/{id}/content", body: null, answer: "raw", idempotent: false, ifMatch: false },
	networkList: { method: "GET", path: "/v1/networks", body: null, answer: "json", idempotent: false, ifMatch: false },
	networkCreate: { method: "POST", path: "/v1/networks", body: "application/json", answer: "json", idempotent: true, ifMatch: false },
	networkGet: { method: "GET", path: "/v1/networks/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	networkUpdate: { method: "PATCH", path: "/v1/networks/{id}", body: "application/json", answer: "json", idempotent: false, ifMatch: true },
	networkDelete: { method: "DELETE", path: "/v1/networks/{id}", body: null, answer: "json", idempotent: false, ifMatch: true },
	networkLeaseList: { method: "GET", path: "/v1/networks/{id}/leases", body: null, answer: "json", idempotent: false, ifMatch: false },
} as const;
export type OperationName = keyof typeof operations;

/** One line of each, for help; apart, so that the UI need not carry it. */
export const operationSummaries: Record<OperationName, string> = {
	healthGet: "Is the node there?",
	metricsGet: "Figures for Prometheus",
	openapiGet: "This description",
	eventsStream: "Follow what changes",
	sessionCreate: "Sign in",
	sessionList: "List one's own sessions",
	sessionDeleteCurrent: "Sign out",
	sessionDelete: "End a session",
	meGet: "Who one is, and what one may do",
	mePasswordChange: "Change one's own password",
	tokenList: "List one's own API tokens",
	tokenCreate: "Create an API token",
	tokenDelete: "Delete an API token",
	userList: "List users",
	userCreate: "Create a user",
	userGet: "Get a user",
	userUpdate: "Change a user",
	userDelete: "Delete a user",
	userPasswordReset: "Give a user a new password",
	auditList: "List audit records, newest first",
	clusterGet: "Get the cluster",
	clusterUpdate: "Rename the cluster",
	clusterBackupGet: "Download the state of the cluster",
	nodeList: "List nodes",
	nodeGet: "Get a node",
	nodeUpdate: "Rename a node, or say where the others reach it",
	nodeMetricsGet: "Live figures of a node",
	nodeMetricsHistoryGet: "Figures of a node in the last hour",
	clusterStatusGet: "The members of the cluster and how they are",
	clusterLeaderTransfer: "Transfer leadership to another member",
	clusterJoin: "Make this node a member of another cluster",
	nodeLeave: "Take this node out of the cluster",
	nodeRemove: "Remove a node that is gone",
	nodeCertificateRenew: "Give a node a new key and certificate for the links between nodes",
	joinTokenList: "List join tokens",
	joinTokenCreate: "Create a join token",
	joinTokenDelete: "Delete a join token",
	taskList: "List tasks, newest first",
	taskGet: "Get a task",
	taskCancel: "Ask a task to stop",
	vmList: "List VMs",
	vmCreate: "Create a VM",
	vmCreateDemo: "Create and start the demo VM",
	vmGet: "Get a VM",
	vmUpdate: "Change a VM",
	vmDelete: "Delete a VM",
	vmStart: "Start a VM",
	vmShutdown: "Shut a VM down",
	vmStop: "Stop a VM at once, as if its power was cut",
	vmReset: "Reset a VM, as its reset button would",
	vmPause: "Halt the CPUs of a VM",
	vmResume: "Let the CPUs of a paused VM go on",
	vmMediaChange: "Put a disc into a CD-ROM drive, or eject it",
	vmMove: "Move a VM that is off to another node",
	vmMetricsGet: "Live figures of a VM",
	vmMetricsHistoryGet: "Figures of a VM in the last hour",
	vmScreenshotGet: "Picture of a VM's screen",
	vmSerialLogGet: "End of a VM's serial log",
	vmDomainXmlGet: "libvirt's definition of a VM",
	vmConsoleTicketCreate: "Get a ticket for a console",
	foreignVmList: "Domains that were made outside LimiQuantix, or whose VM another node has by now",
	foreignVmAdopt: "Make a foreign domain a VM of the cluster",
	snapshotList: "List the snapshots of a VM",
	snapshotCreate: "Take a snapshot of a VM",
	snapshotGet: "Get a snapshot",
	snapshotUpdate: "Rename or describe a snapshot",
	snapshotDelete: "Delete a snapshot",
	snapshotRevert: "Set a VM back to a snapshot",
	poolList: "List storage pools",
	poolCreate: "Create a storage pool",
	poolProbe: "Try a storage pool",
	poolDiscover: "What a storage server offers",
	poolGet: "Get a storage pool",
	poolUpdate: "Change a storage pool",
	poolDelete: "Delete a storage pool",
	poolContentList: "What lies in a folder of a storage pool, and whose it is",
	poolOrphanList: "What is in a storage pool and in no record, and records without content",
	poolOrphanDelete: "Delete content of a storage pool that is in no record",
	poolOrphanAdopt: "Make a volume of content that is in no record",
	volumeList: "List volumes",
	volumeCreate: "Create a volume",
	volumeGet: "Get a volume",
	volumeSnapshotList: "List the snapshots that hold a volume",
	volumeUpdate: "Rename a volume",
	volumeDelete: "Delete a volume and what is on it",
	volumeResize: "Enlarge a volume",
	volumeClone: "Copy a volume",
	volumeContentGet: "Download a volume",
	volumeMove: "Move a volume to another storage pool",
	volumeCheck: "Look for damage in a volume",
	volumeFlatten: "Make a copy-on-write copy independent",
	imageList: "List images",
	imageCreate: "Create an image",
	imageGet: "Get an image",
	imageUpdate: "Change name, description or tags of an image",
	imageDelete: "Delete an image",
	imageContentPut: "Upload a part of an image",
	imageUploadStatus: "How much of an upload is there",
	imageContentGet: "Download an image",
	networkList: "List networks",
	networkCreate: "Create a network",
	networkGet: "Get a network",
	networkUpdate: "Change name or description of a network",
	networkDelete: "Delete a network",
	networkLeaseList: "Addresses that guests on a network got",
};

export type AuditPage = Static<typeof access.AuditPage>;
export type Me = Static<typeof access.Me>;
export type PasswordChange = Static<typeof access.PasswordChange>;
export type SessionCreate = Static<typeof access.SessionCreate>;
export type SessionCreated = Static<typeof access.SessionCreated>;
export type SessionPage = Static<typeof access.SessionPage>;
export type TokenCreate = Static<typeof access.TokenCreate>;
export type TokenCreated = Static<typeof access.TokenCreated>;
export type TokenPage = Static<typeof access.TokenPage>;
export type User = Static<typeof access.User>;
export type UserCreate = Static<typeof access.UserCreate>;
export type UserPage = Static<typeof access.UserPage>;
export type UserUpdate = Static<typeof access.UserUpdate>;
export type ClusterInfo = Static<typeof api.ClusterInfo>;
export type ConsoleTicket = Static<typeof api.ConsoleTicket>;
export type ConsoleTicketCreate = Static<typeof api.ConsoleTicketCreate>;
export type ForeignVmList = Static<typeof api.ForeignVmList>;
export type Health = Static<typeof api.Health>;
export type NetworkLeaseList = Static<typeof api.NetworkLeaseList>;
export type PasswordReset = Static<typeof api.PasswordReset>;
export type PoolOrphanList = Static<typeof api.PoolOrphanList>;
export type UploadProgress = Static<typeof api.UploadProgress>;
export type UploadStatus = Static<typeof api.UploadStatus>;
export type VmMediaChange = Static<typeof api.VmMediaChange>;
export type VmShutdown = Static<typeof api.VmShutdown>;
export type VmStart = Static<typeof api.VmStart>;
export type ClusterJoin = Static<typeof cluster.ClusterJoin>;
export type ClusterStatus = Static<typeof cluster.ClusterStatus>;
export type JoinPreview = Static<typeof cluster.JoinPreview>;
export type JoinTokenCreate = Static<typeof cluster.JoinTokenCreate>;
export type JoinTokenCreated = Static<typeof cluster.JoinTokenCreated>;
export type JoinTokenPage = Static<typeof cluster.JoinTokenPage>;
export type LeaderTransfer = Static<typeof cluster.LeaderTransfer>;
export type NodeCertificateInfo = Static<typeof cluster.NodeCertificateInfo>;
export type NodeRemove = Static<typeof cluster.NodeRemove>;
export type VmMove = Static<typeof cluster.VmMove>;
export type Network = Static<typeof network.Network>;
export type NetworkCreate = Static<typeof network.NetworkCreate>;
export type NetworkPage = Static<typeof network.NetworkPage>;
export type NetworkUpdate = Static<typeof network.NetworkUpdate>;
export type Cluster = Static<typeof node.Cluster>;
export type ClusterUpdate = Static<typeof node.ClusterUpdate>;
export type Node = Static<typeof node.Node>;
export type NodeChange = Static<typeof node.NodeChange>;
export type NodeMetrics = Static<typeof node.NodeMetrics>;
export type NodeMetricsHistory = Static<typeof node.NodeMetricsHistory>;
export type NodePage = Static<typeof node.NodePage>;
export type VmMetrics = Static<typeof node.VmMetrics>;
export type VmMetricsHistory = Static<typeof node.VmMetricsHistory>;
export type PoolContent = Static<typeof poolContent.PoolContent>;
export type PoolOrphanAdopt = Static<typeof poolOrphan.PoolOrphanAdopt>;
export type PoolOrphanDelete = Static<typeof poolOrphan.PoolOrphanDelete>;
export type Snapshot = Static<typeof snapshot.Snapshot>;
export type SnapshotCreate = Static<typeof snapshot.SnapshotCreate>;
export type SnapshotPage = Static<typeof snapshot.SnapshotPage>;
export type SnapshotUpdate = Static<typeof snapshot.SnapshotUpdate>;
export type Image = Static<typeof storage.Image>;
export type ImageCreate = Static<typeof storage.ImageCreate>;
export type ImagePage = Static<typeof storage.ImagePage>;
export type ImageUpdate = Static<typeof storage.ImageUpdate>;
export type Pool = Static<typeof storage.Pool>;
export type PoolCreate = Static<typeof storage.PoolCreate>;
export type PoolDiscover = Static<typeof storage.PoolDiscover>;
export type PoolDiscovered = Static<typeof storage.PoolDiscovered>;
export type PoolPage = Static<typeof storage.PoolPage>;
export type PoolProbe = Static<typeof storage.PoolProbe>;
export type PoolProbed = Static<typeof storage.PoolProbed>;
export type PoolType = Static<typeof storage.PoolType>;
export type PoolUpdate = Static<typeof storage.PoolUpdate>;
export type Volume = Static<typeof storage.Volume>;
export type VolumeCheck = Static<typeof storage.VolumeCheck>;
export type VolumeClone = Static<typeof storage.VolumeClone>;
export type VolumeCreate = Static<typeof storage.VolumeCreate>;
export type VolumeMove = Static<typeof storage.VolumeMove>;
export type VolumePage = Static<typeof storage.VolumePage>;
export type VolumeResize = Static<typeof storage.VolumeResize>;
export type VolumeUpdate = Static<typeof storage.VolumeUpdate>;
export type Task = Static<typeof task.Task>;
export type TaskKind = Static<typeof task.TaskKind>;
export type TaskPage = Static<typeof task.TaskPage>;
export type TaskState = Static<typeof task.TaskState>;
export type PowerState = Static<typeof vm.PowerState>;
export type Vm = Static<typeof vm.Vm>;
export type VmCreate = Static<typeof vm.VmCreate>;
export type VmPage = Static<typeof vm.VmPage>;
export type VmUpdate = Static<typeof vm.VmUpdate>;

/** Of each operation: path, query and header parameters, body, and the answer's body. */
export type OperationTypes = {
	healthGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Health;
	};
	metricsGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Response;
	};
	openapiGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: { openapi: string };
	};
	eventsStream: {
		path: undefined;
		query: { after?: string };
		headers: { "last-event-id"?: string };
		body: undefined;
		response: Response;
	};
	sessionCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: SessionCreate;
		response: SessionCreated;
	};
	sessionList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "createdAt" | "-createdAt"; search?: string; all?: boolean; userId?: Array<string> };
		headers: undefined;
		body: undefined;
		response: SessionPage;
	};
	sessionDeleteCurrent: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: undefined;
	};
	sessionDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: undefined;
	};
	meGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Me;
	};
	mePasswordChange: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: PasswordChange;
		response: undefined;
	};
	tokenList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt"; search?: string; all?: boolean; userId?: Array<string> };
		headers: undefined;
		body: undefined;
		response: TokenPage;
	};
	tokenCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: TokenCreate;
		response: TokenCreated;
	};
	tokenDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: undefined;
	};
	userList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt"; search?: string };
		headers: undefined;
		body: undefined;
		response: UserPage;
	};
	userCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: UserCreate;
		response: User;
	};
	userGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: User;
	};
	userUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: UserUpdate;
		response: User;
	};
	userDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: undefined;
	};
	userPasswordReset: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: PasswordReset;
		response: undefined;
	};
	auditList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "time" | "-time"; search?: string; requesterName?: Array<string>; operation?: Array<string>; outcome?: Array<"accepted" | "rejected" | "denied"> };
		headers: undefined;
		body: undefined;
		response: AuditPage;
	};
	clusterGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: ClusterInfo;
	};
	clusterUpdate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: ClusterUpdate;
		response: Cluster;
	};
	clusterBackupGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Response;
	};
	nodeList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt"; search?: string };
		headers: undefined;
		body: undefined;
		response: NodePage;
	};
	nodeGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Node;
	};
	nodeUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: NodeChange;
		response: Node;
	};
	nodeMetricsGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: NodeMetrics;
	};
	nodeMetricsHistoryGet: {
		path: { id: string };
		query: { since?: string };
		headers: undefined;
		body: undefined;
		response: NodeMetricsHistory;
	};
	clusterStatusGet: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: ClusterStatus;
	};
	clusterLeaderTransfer: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: LeaderTransfer | undefined;
		response: { leaderNodeId: string };
	};
	clusterJoin: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: ClusterJoin;
		response: JoinPreview;
	};
	nodeLeave: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: undefined;
	};
	nodeRemove: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: NodeRemove;
		response: undefined;
	};
	nodeCertificateRenew: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: NodeCertificateInfo;
	};
	joinTokenList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "createdAt" | "-createdAt"; search?: string };
		headers: undefined;
		body: undefined;
		response: JoinTokenPage;
	};
	joinTokenCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: JoinTokenCreate;
		response: JoinTokenCreated;
	};
	joinTokenDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: undefined;
	};
	taskList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "createdAt" | "-createdAt"; search?: string; state?: Array<TaskState>; kind?: Array<TaskKind>; targetId?: Array<string> };
		headers: undefined;
		body: undefined;
		response: TaskPage;
	};
	taskGet: {
		path: { id: string };
		query: { waitMs?: number };
		headers: undefined;
		body: undefined;
		response: Task;
	};
	taskCancel: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	vmList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt" | "memoryBytes" | "-memoryBytes" | "vcpus" | "-vcpus"; search?: string; powerState?: Array<PowerState>; nodeId?: Array<string>; tag?: Array<string> };
		headers: undefined;
		body: undefined;
		response: VmPage;
	};
	vmCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: VmCreate;
		response: Vm;
	};
	vmCreateDemo: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Vm;
	};
	vmGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Vm;
	};
	vmUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VmUpdate;
		response: Vm;
	};
	vmDelete: {
		path: { id: string };
		query: { deleteVolumes?: boolean };
		headers: undefined;
		body: undefined;
		response: Task;
	};
	vmStart: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VmStart | undefined;
		response: Task;
	};
	vmShutdown: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VmShutdown | undefined;
		response: Task;
	};
	vmStop: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	vmReset: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	vmPause: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	vmResume: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	vmMediaChange: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VmMediaChange;
		response: Task;
	};
	vmMove: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VmMove;
		response: Task;
	};
	vmMetricsGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: VmMetrics;
	};
	vmMetricsHistoryGet: {
		path: { id: string };
		query: { since?: string };
		headers: undefined;
		body: undefined;
		response: VmMetricsHistory;
	};
	vmScreenshotGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Response;
	};
	vmSerialLogGet: {
		path: { id: string };
		query: { maxBytes?: number };
		headers: undefined;
		body: undefined;
		response: Response;
	};
	vmDomainXmlGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Response;
	};
	vmConsoleTicketCreate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: ConsoleTicketCreate;
		response: ConsoleTicket;
	};
	foreignVmList: {
		path: undefined;
		query: { nodeId?: string };
		headers: undefined;
		body: undefined;
		response: ForeignVmList;
	};
	foreignVmAdopt: {
		path: { id: string };
		query: { nodeId?: string };
		headers: undefined;
		body: undefined;
		response: Task;
	};
	snapshotList: {
		path: { id: string };
		query: { limit?: number; pageToken?: string; sort?: "createdAt" | "-createdAt" | "name" | "-name"; search?: string };
		headers: undefined;
		body: undefined;
		response: SnapshotPage;
	};
	snapshotCreate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: SnapshotCreate;
		response: Snapshot;
	};
	snapshotGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Snapshot;
	};
	snapshotUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: SnapshotUpdate;
		response: Snapshot;
	};
	snapshotDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	snapshotRevert: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	poolList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt"; search?: string; phase?: Array<"pending" | "ready" | "degraded" | "error" | "deleting">; type?: Array<PoolType> };
		headers: undefined;
		body: undefined;
		response: PoolPage;
	};
	poolCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: PoolCreate;
		response: Pool;
	};
	poolProbe: {
		path: undefined;
		query: { nodeId?: string };
		headers: undefined;
		body: PoolProbe;
		response: PoolProbed;
	};
	poolDiscover: {
		path: undefined;
		query: { nodeId?: string };
		headers: undefined;
		body: PoolDiscover;
		response: PoolDiscovered;
	};
	poolGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Pool;
	};
	poolUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: PoolUpdate;
		response: Pool;
	};
	poolDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	poolContentList: {
		path: { id: string };
		query: { folder?: string; nodeId?: string };
		headers: undefined;
		body: undefined;
		response: PoolContent;
	};
	poolOrphanList: {
		path: { id: string };
		query: { nodeId?: string };
		headers: undefined;
		body: undefined;
		response: PoolOrphanList;
	};
	poolOrphanDelete: {
		path: { id: string };
		query: { nodeId?: string };
		headers: undefined;
		body: PoolOrphanDelete;
		response: Task;
	};
	poolOrphanAdopt: {
		path: { id: string };
		query: { nodeId?: string };
		headers: undefined;
		body: PoolOrphanAdopt;
		response: Volume;
	};
	volumeList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt" | "sizeBytes" | "-sizeBytes"; search?: string; poolId?: Array<string>; vmId?: Array<string>; phase?: Array<"pending" | "creating" | "ready" | "resizing" | "deleting" | "error">; sourceVolumeId?: Array<string> };
		headers: undefined;
		body: undefined;
		response: VolumePage;
	};
	volumeCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: VolumeCreate;
		response: Volume;
	};
	volumeGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Volume;
	};
	volumeSnapshotList: {
		path: { id: string };
		query: { limit?: number; pageToken?: string; sort?: "createdAt" | "-createdAt" | "name" | "-name"; search?: string };
		headers: undefined;
		body: undefined;
		response: SnapshotPage;
	};
	volumeUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VolumeUpdate;
		response: Volume;
	};
	volumeDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	volumeResize: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VolumeResize;
		response: Task;
	};
	volumeClone: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VolumeClone;
		response: Volume;
	};
	volumeContentGet: {
		path: { id: string };
		query: { format?: "qcow2" | "raw" };
		headers: undefined;
		body: undefined;
		response: Response;
	};
	volumeMove: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VolumeMove;
		response: Task;
	};
	volumeCheck: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: VolumeCheck | undefined;
		response: Task;
	};
	volumeFlatten: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	imageList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt"; search?: string; phase?: Array<"uploading" | "importing" | "ready" | "error" | "deleting">; format?: Array<"raw" | "qcow2" | "vmdk" | "vhd" | "iso" | "ova">; poolId?: Array<string>; sourceVolumeId?: Array<string> };
		headers: undefined;
		body: undefined;
		response: ImagePage;
	};
	imageCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: ImageCreate;
		response: Image;
	};
	imageGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Image;
	};
	imageUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: ImageUpdate;
		response: Image;
	};
	imageDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	imageContentPut: {
		path: { id: string };
		query: undefined;
		headers: { "upload-offset": number };
		body: Blob | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
		response: UploadProgress;
	};
	imageUploadStatus: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: UploadStatus;
	};
	imageContentGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Response;
	};
	networkList: {
		path: undefined;
		query: { limit?: number; pageToken?: string; sort?: "name" | "-name" | "createdAt" | "-createdAt"; search?: string };
		headers: undefined;
		body: undefined;
		response: NetworkPage;
	};
	networkCreate: {
		path: undefined;
		query: undefined;
		headers: undefined;
		body: NetworkCreate;
		response: Network;
	};
	networkGet: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Network;
	};
	networkUpdate: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: NetworkUpdate;
		response: Network;
	};
	networkDelete: {
		path: { id: string };
		query: undefined;
		headers: undefined;
		body: undefined;
		response: Task;
	};
	networkLeaseList: {
		path: { id: string };
		query: { nodeId?: string };
		headers: undefined;
		body: undefined;
		response: NetworkLeaseList;
	};
};
