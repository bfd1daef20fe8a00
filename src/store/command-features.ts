/**
 * What members of a cluster must know before something is proposed to them. A node that does not know a command stops, and one
 * that reads a document otherwise than the others would keep another state, so whatever is new waits until every member
 * has its feature: kinds of commands by this table, anything else (a new field, a new member of a document, a rule that
 * changes) by asking `everybodyHas` where it is proposed. CONTRIBUTING.md, "Add a command".
 *
 * A feature is added with what needs it and stays for ever.
 */
import type { CommandKind } from "./command.ts";

const everyFeature = [
	"cluster-1",
	"vm-move-1",
	"runs-once-1",
	"cancel-lost-1",
	"storage-1",
	"live-merge-1",
	"thick-1",
	"image-copy-1",
	"flatten-1",
	"host-ids-1",
	"free-sources-1",
	"revert-rest-1",
	"volume-usage-1",
	"orphan-tasks-1",
] as const;
export type Feature = (typeof everyFeature)[number];

/** Set by builds for tests only: a build without these features, and the commands that need them, stands for yesterday's. */
declare const LIMIQUANTIX_WITHOUT: string | undefined;
const without: readonly string[] = typeof LIMIQUANTIX_WITHOUT === "string" ? LIMIQUANTIX_WITHOUT.split(",") : [];

/** Of this build. */
export const features: readonly Feature[] = everyFeature.filter((feature) => !without.includes(feature));

/** Null: of before there were clusters of several nodes. */
export const featureOf: Readonly<Record<CommandKind, Feature | null>> = {
	clusterInit: null,
	clusterUpdate: null,
	nodeUpdate: null,
	nodeStatus: null,
	authoritySet: "cluster-1",
	joinTokenCreate: "cluster-1",
	joinTokenDelete: "cluster-1",
	nodeAdmit: "cluster-1",
	nodeAddresses: "cluster-1",
	nodeLost: "cluster-1",
	nodeImport: "cluster-1",
	nodeRemove: "cluster-1",
	nodeGone: "cluster-1",
	userCreate: null,
	userUpdate: null,
	userPasswordSet: null,
	userDelete: null,
	sessionCreate: null,
	sessionDelete: null,
	tokenCreate: null,
	tokenDelete: null,
	auditAppend: null,
	vmCreate: null,
	vmUpdate: null,
	vmAction: null,
	vmDelete: null,
	vmStatus: null,
	vmGone: null,
	vmAdopt: null,
	vmUnadopt: null,
	vmMove: "vm-move-1",
	vmMoved: "vm-move-1",
	vmElsewhere: "runs-once-1",
	poolCreate: null,
	poolUpdate: null,
	poolDelete: null,
	poolNodeStatus: null,
	poolGone: null,
	poolOrphanDelete: "orphan-tasks-1",
	secretsKeySet: "storage-1",
	volumeCreate: null,
	volumeUpdate: null,
	volumeResize: null,
	volumeDelete: null,
	volumeStatus: null,
	volumeGone: null,
	volumeUnadopt: "orphan-tasks-1",
	snapshotCreate: "storage-1",
	snapshotUpdate: "storage-1",
	snapshotStatus: "storage-1",
	snapshotRevert: "storage-1",
	snapshotReverted: "storage-1",
	snapshotDelete: "storage-1",
	snapshotGone: "storage-1",
	volumeMove: "storage-1",
	volumeMoved: "storage-1",
	volumeCheck: "storage-1",
	volumeFlatten: "flatten-1",
	volumeFlattened: "flatten-1",
	volumeUsage: "volume-usage-1",
	imageCreate: null,
	imageUpdate: null,
	imageDelete: null,
	imageStatus: null,
	imageGone: null,
	networkCreate: null,
	networkUpdate: null,
	networkDelete: null,
	networkNodeStatus: null,
	networkGone: null,
	taskUpdate: null,
	taskCancel: null,
	prune: null,
};

/** Does this build know the command? */
export const isKnown = (kind: CommandKind): boolean => {
	const feature = featureOf[kind];
	return feature === null || features.includes(feature);
};
