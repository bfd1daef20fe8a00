/**
 * THE table of permissions: every operation of the API and who may call it. `public` needs no credentials; the others
 * name the lowest role (viewer < operator < admin), or `root`: nobody but who has a node's local socket. A route that
 * is missing here does not start (api/), and a test compares the table with the routes. Pure; imported by the browser.
 */
import type { Role } from "./access.ts";

export type Access = "public" | "root" | Role;

export const permissions = {
	// service
	healthGet: "public",
	metricsGet: "viewer",
	openapiGet: "viewer",
	eventsStream: "viewer",
	// sessions and oneself
	sessionCreate: "public",
	sessionList: "viewer", // one's own; an admin sees all with ?all=true
	sessionDelete: "viewer", // one's own; an admin any
	sessionDeleteCurrent: "viewer",
	meGet: "viewer",
	mePasswordChange: "viewer",
	tokenList: "viewer",
	tokenCreate: "viewer", // a token's role is at most one's own
	tokenDelete: "viewer",
	// users
	userList: "admin",
	userCreate: "admin",
	userGet: "admin",
	userUpdate: "admin",
	userDelete: "admin",
	userPasswordReset: "admin",
	auditList: "admin",
	// cluster and nodes
	clusterGet: "viewer",
	clusterUpdate: "admin",
	clusterBackupGet: "root", // the hashes of all secrets are in it
	clusterStatusGet: "viewer",
	clusterLeaderTransfer: "admin",
	clusterJoin: "root", // this node gives up the cluster that it has, accounts and all
	joinTokenList: "admin",
	joinTokenCreate: "admin",
	joinTokenDelete: "admin",
	nodeList: "viewer",
	nodeGet: "viewer",
	nodeUpdate: "admin",
	nodeLeave: "admin",
	nodeRemove: "admin",
	nodeCertificateRenew: "admin",
	nodeMetricsGet: "viewer",
	nodeMetricsHistoryGet: "viewer",
	// tasks
	taskList: "viewer",
	taskGet: "viewer",
	taskCancel: "operator",
	// VMs
	vmList: "viewer",
	vmCreate: "operator",
	vmGet: "viewer",
	vmUpdate: "operator",
	vmDelete: "operator",
	vmStart: "operator",
	vmShutdown: "operator",
	vmStop: "operator",
	vmReset: "operator",
	vmPause: "operator",
	vmResume: "operator",
	vmMediaChange: "operator",
	vmMove: "operator",
	vmMetricsGet: "viewer",
	vmMetricsHistoryGet: "viewer",
	vmScreenshotGet: "viewer",
	vmSerialLogGet: "operator",
	vmConsoleTicketCreate: "viewer", // a viewer's ticket is view-only
	vmDomainXmlGet: "operator",
	vmCreateDemo: "operator",
	// snapshots of VMs
	snapshotList: "viewer",
	snapshotCreate: "operator",
	snapshotGet: "viewer",
	snapshotUpdate: "operator",
	snapshotDelete: "operator",
	snapshotRevert: "operator",
	foreignVmList: "admin",
	foreignVmAdopt: "admin",
	// storage
	poolList: "viewer",
	poolCreate: "admin",
	poolGet: "viewer",
	poolUpdate: "admin",
	poolProbe: "admin",
	poolDiscover: "admin",
	poolDelete: "admin",
	poolContentList: "operator",
	poolOrphanList: "operator",
	poolOrphanDelete: "admin",
	poolOrphanAdopt: "admin",
	volumeList: "viewer",
	volumeCreate: "operator",
	volumeGet: "viewer",
	volumeUpdate: "operator",
	volumeDelete: "operator",
	volumeResize: "operator",
	volumeClone: "operator",
	volumeMove: "operator",
	volumeCheck: "operator",
	volumeFlatten: "operator",
	volumeContentGet: "operator", // export
	volumeSnapshotList: "viewer",
	// images
	imageList: "viewer",
	imageCreate: "operator", // source "path" asks for admin, in the handler
	imageGet: "viewer",
	imageUpdate: "operator",
	imageDelete: "operator",
	imageContentPut: "operator",
	imageUploadStatus: "operator",
	imageContentGet: "operator",
	// networks
	networkList: "viewer",
	networkCreate: "admin",
	networkGet: "viewer",
	networkUpdate: "admin",
	networkDelete: "admin",
	networkLeaseList: "viewer",
} as const satisfies Record<string, Access>;
export type OperationId = keyof typeof permissions;

/** The one path that is a WebSocket and no operation: a ticket of vmConsoleTicketCreate opens it, nothing else does. */
export const consolePath = "/v1/console";

const rank: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export const roleAtLeast = (role: Role, needed: Role): boolean => rank[role] >= rank[needed];

/** May `role` (null: nobody is signed in) call this operation? `isRoot`: over a node's local socket. */
export function isAllowed(operation: OperationId, role: Role | null, isRoot = false): boolean {
	const access: Access = permissions[operation];
	if (access === "root") return isRoot;
	if (access === "public") return true;
	return role !== null && roleAtLeast(role, access);
}

export const operationsOf = (role: Role): OperationId[] =>
	(Object.keys(permissions) as OperationId[]).filter((operation) => isAllowed(operation, role));
