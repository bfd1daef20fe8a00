/** Rules of pools, volumes and images that need nothing but the object. */
import { isInside } from "./host-paths.ts";
import type { NfsPoolConfig, PoolConfig } from "./pool-config.ts";
import { isWorking } from "./pool-parts.ts";
import type { Image, Pool, PoolCapabilities, Provisioning, Volume, VolumeFormat } from "./storage.ts";

/** The phase of a pool follows from what its nodes report: degraded while one of them is not healthy. */
export function poolPhase(pool: Pick<Pool, "phase" | "nodeIds" | "nodes">): Pool["phase"] {
	if (pool.phase === "deleting") return "deleting";
	const reports = pool.nodes.filter((node) => pool.nodeIds.includes(node.nodeId));
	if (reports.length === 0) return "pending";
	if (reports.length === pool.nodeIds.length && reports.every((node) => node.health === "healthy")) return "ready";
	return reports.every((node) => node.health === "error" || node.health === "unmounted") ? "error" : "degraded";
}

/**
 * Whether a node may report that a volume went from one phase to another. Deleting is entered by a person only; pending
 * again is what was being made with a VM and was called off: the VM's next start makes it.
 */
export function volumePhaseObstacle(from: Volume["phase"], to: Volume["phase"]): string | null {
	if (from === to) return null;
	if (to === "deleting") return "Only a request to delete it makes a volume deleting.";
	if (from === "deleting" && to !== "error") return "The volume is being deleted.";
	if (to === "pending" && from !== "creating") return "A volume does not become pending again.";
	return null;
}

export function imagePhaseObstacle(from: Image["phase"], to: Image["phase"]): string | null {
	if (from === to) return null;
	if (to === "deleting") return "Only a request to delete it makes an image deleting.";
	if (from === "deleting" && to !== "error") return "The image is being deleted.";
	if (from === "ready" && to !== "error") return "The image is complete.";
	return null;
}

/** True when the volume's file needs its source to stay where it is: copy-on-write, or a copy that is not finished. */
export function needsSource(volume: Pick<Volume, "source" | "phase">): boolean {
	const { source } = volume;
	if (source.kind === "empty") return false;
	return !source.fullCopy || volume.phase === "pending" || volume.phase === "creating";
}

/**
 * Whether copy-on-write copies of volumes hold what they were made of for themselves, so that it may be written to, and grow: clones of RBD rest
 * on a snapshot, thin logical volumes on blocks. Where volumes are files, or thick logical volumes, a copy rests on a layer that its source has too.
 */
export const copiesStandAlone = ({ type, config }: Pick<Pool, "type" | "config">): boolean =>
	type === "ceph-rbd" || ("layout" in config && config.layout === "thin");

/** Whether an image is being made, and what it is made of has to stay. */
export const isBeingMade = ({ phase }: Pick<Image, "phase">): boolean => phase === "uploading" || phase === "importing";

/**
 * Why a volume is not made to stand alone now, by what it was made of and by what its pool can do while a VM has it open; null when it can be.
 * `isOff`: no VM runs with it.
 */
export function flattenObstacle(
	{ name, source }: Pick<Volume, "name" | "source">,
	pool: Pick<Pool, "nodes"> | null | undefined,
	isOff: boolean,
): string | null {
	if (source.kind === "empty" || source.fullCopy) return `The volume ${name} depends on nothing.`;
	const why = isOff ? undefined : flattensOffline(pool);
	return why === undefined ? null : `The VM of ${name} runs: shut it down first. ${why}`;
}

/**
 * Why the pool makes copies stand alone only while no VM has them open, nor what rests on them; undefined where that does not matter. That it has
 * no reason says so only of a node that tells how volumes get their space: others are of a version that gives no such reason, or have said nothing.
 */
export function flattensOffline(pool: Pick<Pool, "nodes"> | null | undefined): string | undefined {
	const told = pool?.nodes.flatMap(({ capabilities }) => capabilities ?? []) ?? [];
	const reason = told.find(({ reasons }) => reasons.flattenOnline !== undefined)?.reasons.flattenOnline;
	if (reason !== undefined || told.some(({ provisioning }) => provisioning !== undefined)) return reason;
	return "No node has said yet whether its pool can do that while a VM runs.";
}

/** The folder of this host that a pool of type local is; undefined for any other. */
export const localPath = ({ config }: { config: PoolConfig }): string | undefined =>
	"path" in config ? config.path : undefined;

/**
 * Whether two pools of one type are in one place: joined, they are one. Servers may have several names, so "no" is not proof; the
 * mark of a pool in its place is.
 */
export function isSamePlace(one: PoolConfig, other: PoolConfig): boolean {
	// Whatever is on it: a LUN holds one pool.
	if ("wwid" in one && "wwid" in other) return bareWwid(one.wwid) === bareWwid(other.wwid);
	if (fixedPart(one) !== fixedPart(other)) return false;
	if ("exportPath" in one && "exportPath" in other) return one.server === other.server;
	if ("cephPool" in one && "cephPool" in other) return one.monitors.some((monitor) => other.monitors.includes(monitor));
	return true;
}

/**
 * Whether one of two NFS pools of a server would lie in the other, or where it is: each would take what is the other's for leftovers. As they are
 * written; of servers with several names, and of other clusters, the mark of the outer one says it where the inner one is made. Where pools of type local
 * are, each node says for itself.
 */
export function isInOneTree(one: PoolConfig, other: PoolConfig): boolean {
	if (!("exportPath" in one && "exportPath" in other) || one.server !== other.server) return false;
	const folderOf = ({ exportPath, folder }: NfsPoolConfig) => `/${normalPath(`${exportPath}/${folder ?? ""}`)}`;
	return isInside(folderOf(one), folderOf(other)) || isInside(folderOf(other), folderOf(one));
}

/** What of its configuration says which data a pool holds. The rest says how they are reached, and may be changed. */
export function fixedPart(config: PoolConfig): string {
	if ("path" in config) return normalPath(config.path);
	if ("exportPath" in config) return `${normalPath(config.exportPath)}/${config.folder ?? ""}`;
	if ("cephPool" in config) return `${config.cephPool}/${config.namespace ?? ""}/${config.dataPool ?? ""}`;
	return `${config.wwid} ${config.layout}`;
}

/** Formats of the pool's volumes, the usual one first: as its nodes say, or as its type has them. */
export function formatsOf({ type, config, nodes }: Pick<Pool, "type" | "config" | "nodes">): VolumeFormat[] {
	const known = nodes.find(({ capabilities }) => capabilities !== null)?.capabilities?.formats;
	if (known && known.length > 0) return known;
	return type === "ceph-rbd" || ("layout" in config && config.layout === "thin") ? ["raw"] : ["qcow2", "raw"];
}

/** Whether a copy-on-write copy can have this format: where volumes are files it is qcow2 that shares data. */
export const sharesData = (pool: Pick<Pool, "type" | "config" | "nodes">, format: VolumeFormat): boolean =>
	format === "qcow2" || !formatsOf(pool).includes("qcow2");

type ToldPool = Pick<Pool, "type" | "config" | "nodes">;

/** What that node says of the pool, else the first that has said. */
const capabilitiesOn = ({ nodes }: ToldPool, nodeId?: string): PoolCapabilities | null => {
	const told = nodes.filter(({ capabilities }) => capabilities !== null);
	return (told.find((node) => node.nodeId === nodeId) ?? told[0])?.capabilities ?? null;
};

/** How volumes of the pool get their space, the usual way first: as a node says, or as its type has it. */
export function provisioningOf(pool: ToldPool, nodeId?: string): Provisioning[] {
	const told = capabilitiesOn(pool, nodeId)?.provisioning;
	if (told && told.length > 0) return told;
	return "layout" in pool.config ? [pool.config.layout] : ["thin"];
}

/**
 * Why a new volume of the pool cannot be thick, or thin, as a sentence; null when it can, or when nothing is asked for. `shares`: it is a
 * copy-on-write copy. `nodeId`: who makes it.
 */
export function provisioningObstacle(
	pool: ToldPool,
	wanted: Provisioning | undefined,
	{ shares, nodeId }: { shares: boolean; nodeId?: string },
): string | null {
	if (wanted === undefined) return null;
	const can = provisioningOf(pool, nodeId);
	if (!can.includes(wanted))
		return capabilitiesOn(pool, nodeId)?.reasons.provisioning ?? `Volumes of this pool are ${can.join(" or ")}.`;
	// Where all volumes are thick, the space of a copy is its own from the beginning, too.
	if (wanted === "thick" && shares && can.includes("thin"))
		return "A copy-on-write copy takes space as it is written to. Ask for a full copy.";
	return null;
}

type Copy = {
	/** In another pool than its source. */
	elsewhere: boolean;
	/** Undefined: the usual one there. */
	format?: VolumeFormat | undefined;
	provisioning?: Provisioning | undefined;
	nodeId?: string;
};

/** Whether a copy that is made in the pool is a full one, when nobody says: where a copy-on-write copy cannot be what is asked for. */
export const isCopiedWhole = (pool: ToldPool, { elsewhere, format, provisioning, nodeId }: Copy): boolean =>
	elsewhere ||
	!sharesData(pool, format ?? formatsOf(pool)[0] ?? "qcow2") ||
	provisioningObstacle(pool, provisioning, { shares: true, ...(nodeId === undefined ? {} : { nodeId }) }) !== null;

/** What a volume is that comes to the pool: as it is, where the pool can; else as the pool has it. */
export const provisioningKept = (
	pool: ToldPool,
	{ provisioning }: Pick<Volume, "provisioning">,
	nodeId?: string,
): Provisioning | undefined =>
	provisioning !== undefined && provisioningOf(pool, nodeId).includes(provisioning) ? provisioning : undefined;

/**
 * Whether the volume would lose space that it is to keep when its guest discards: thick, and in a file. The space of a logical volume is
 * the volume group's, whatever is discarded.
 */
export const losesByDiscard = (
	{ provisioning }: Pick<Volume, "provisioning">,
	pool: Pick<Pool, "type"> | null,
): boolean => provisioning === "thick" && pool?.type !== "iscsi-lvm";

/**
 * How QEMU keeps what a disk in such a pool reads and writes, where nobody has said. In front of a Ceph cluster RBD has a cache of its own,
 * in QEMU: it holds only what the guest has not flushed, and gathers what would else go to the cluster in small pieces.
 */
export const usualCache = (pool: Pick<Pool, "type"> | null | undefined): "none" | "writeback" =>
	pool?.type === "ceph-rbd" ? "writeback" : "none";

/** Why the pool is not deleted: volumes or images are in it, or `comes`, a volume that is being moved to it. */
export function poolContentObstacle(
	{ name }: Pick<Pool, "name">,
	{ comes, volumes, images }: { comes: boolean; volumes: boolean; images: boolean },
): string | null {
	if (comes) return `A volume is being moved to the storage pool ${name}.`;
	if (volumes) return `The storage pool ${name} holds volumes.`;
	return images ? `The storage pool ${name} holds images.` : null;
}

/** Volumes and images of such a pool are on no node of their own. */
export const isShared = ({ type }: Pick<Pool, "type">): boolean => type !== "local";

const bareWwid = (wwid: string): string => wwid.trim().replace(/\s+/g, " ").toLowerCase();

const normalPath = (path: string): string =>
	path
		.split("/")
		.filter((part) => part !== "" && part !== ".")
		.join("/");

/** Images there are the very files that came, so their checksum is that of the file; other pools keep raw disks. */
export const keepsImageFiles = ({ type }: Pick<Pool, "type">): boolean => type === "local" || type === "nfs";

/** Where it is, as people write it: a folder, "server:/export", a Ceph pool, a target. */
export function poolPlace(config: PoolConfig): string {
	if ("path" in config) return config.path;
	if ("exportPath" in config) {
		const server = config.server.includes(":") ? `[${config.server}]` : config.server;
		const folder = config.folder === null ? "" : `${config.exportPath.endsWith("/") ? "" : "/"}${config.folder}`;
		return `${server}:${config.exportPath}${folder}`;
	}
	if ("cephPool" in config)
		return config.namespace === null ? config.cephPool : `${config.cephPool}/${config.namespace}`;
	return config.target;
}

export type PoolUsage = {
	usedBytes: number;
	totalBytes: number;
	availableBytes: number;
	/** It works on no node now: this is what was seen last. */
	isOld: boolean;
	/** Nodes whose own space is not in it, since nobody knows how it is now. */
	leftOut: string[];
};

/**
 * How full it is; null while no node has reported, or those on which it works have not said. Local pools are a space on each node and add up; one that nodes share is the
 * same space seen from each, and the newest report of it counts. Where it works on some nodes only those count.
 */
export function poolUsage(pool: Pick<Pool, "nodes" | "nodeIds" | "type">): PoolUsage | null {
	const known = pool.nodes.flatMap((part) => {
		const { nodeId, usedBytes, totalBytes, availableBytes, updatedAt } = part;
		if (usedBytes === null || totalBytes === null) return [];
		return [{ nodeId, usedBytes, totalBytes, availableBytes: availableBytes ?? 0, updatedAt, works: isWorking(part) }];
	});
	const working = known.filter(({ works }) => works);
	const isOld = !pool.nodes.some(isWorking);
	const [first, ...others] = isOld ? known : working;
	if (first === undefined) return null;
	const newest = others.reduce((one, other) => (other.updatedAt > one.updatedAt ? other : one), first);
	const counted = isShared(pool) ? [newest] : [first, ...others];
	const isLeftOut = (id: string) => !isShared(pool) && !counted.some(({ nodeId }) => nodeId === id);
	const sum = (member: "usedBytes" | "totalBytes" | "availableBytes") =>
		counted.reduce((bytes, part) => bytes + part[member], 0);
	return {
		...{ usedBytes: sum("usedBytes"), totalBytes: sum("totalBytes"), availableBytes: sum("availableBytes") },
		...{ isOld, leftOut: pool.nodeIds.filter(isLeftOut) },
	};
}
