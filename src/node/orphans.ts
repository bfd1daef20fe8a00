/**
 * What a pool has and no record names, and records whose content the pool does not have. Content comes after its record and goes before
 * it, so an orphan is what the pool had before the state was read and still has afterwards. Left out is what work that is not finished
 * is about, and what this node's own records name (moves, copies of images): that is being put in order without anybody's help.
 */
import { AppError } from "../lib/errors.ts";
import { deletedOrphans } from "../model/orphan-tasks.ts";
import type { PoolOrphan } from "../model/pool-orphan.ts";
import type { Volume, VolumeSource } from "../model/storage.ts";
import { isShared } from "../model/storage-rules.ts";
import type { Task } from "../model/task.ts";
import type { ListedVolume, StorageDriver, VolumeInfo } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { copyRecords } from "./image-copies.ts";
import { bounds, limits } from "./limits.ts";
import { moveRecords } from "./moves.ts";
import { isHere, type Pools } from "./pools.ts";
import { readRecords } from "./record-file.ts";
import { volumeMoveRecords } from "./volume-moves.ts";

export type OrphanParts = { context: NodeContext; pools: Pick<Pools, "driver"> };

export async function findOrphans(parts: OrphanParts, poolId: string): Promise<PoolOrphan[]> {
	const { context } = parts;
	const { store, nodeId } = context;
	const pool = store.get("pool", poolId);
	if (!pool || !isHere(pool, nodeId)) return [];
	const driver = await parts.pools.driver(poolId);
	const before = await contentOf(context, driver);
	await store.readIndex();
	const named = await namedIds(context, poolId);
	const busy = await busyIds(context, poolId);
	const after = await contentOf(context, driver);
	const isOrphan = (id: string) => !named.has(id) && !busy.has(id);
	const found: PoolOrphan[] = [];
	for (const [id, info] of after.volumes)
		if (before.volumes.has(id) && isOrphan(id)) {
			const { format, sizeBytes, allocatedBytes } = info;
			const snapshots = (await unrecorded(context, driver, id)).length;
			const sizes = { format, sizeBytes, allocatedBytes };
			found.push({ ...bare(nodeId, "volume", id, "no-record"), ...sizes, ...(snapshots > 0 ? { snapshots } : {}) });
		}
	for (const id of after.images)
		if (before.images.has(id) && isOrphan(id)) {
			const info = await driver.getImage(id);
			const sizes = { sizeBytes: info?.virtualSizeBytes ?? null, allocatedBytes: info?.fileSizeBytes ?? null };
			found.push({ ...bare(nodeId, "image", id, "no-record"), format: info?.format ?? null, ...sizes });
		}
	return [...found, ...(await withoutContent(context, driver, poolId, after.images, busy))];
}

const bare = (nodeId: string, kind: PoolOrphan["kind"], id: string, found: PoolOrphan["found"]): PoolOrphan => ({
	...{ nodeId, kind, id, found, name: null, format: null, sizeBytes: null, allocatedBytes: null, reason: null },
});

type Content = { volumes: Map<string, ListedVolume>; images: Set<string> };

async function contentOf(context: NodeContext, driver: StorageDriver): Promise<Content> {
	const list = async () => ({ volumes: await driver.listVolumes(), images: await driver.listImages() });
	const { volumes, images } = await limited(context, "Listing what the pool has", limits.quickStorageMs, list);
	return { volumes: new Map(volumes.map((info) => [info.id, info])), images: new Set(images) };
}

const isOf = (nodeId: string) => (object: { nodeId: string | null }) =>
	object.nodeId === null || object.nodeId === nodeId;

/** Of this node's part of the pool. */
async function namedIds(context: NodeContext, poolId: string): Promise<Set<string>> {
	const { store, nodeId } = context;
	const records = [...store.all("volume", { poolId }), ...store.all("image", { poolId })].filter(isOf(nodeId));
	const copies = [...(await readRecords(context, copyRecords))].map(([id]) => id);
	return new Set([...records.map(({ id }) => id), ...copies]);
}

/** The same for one of them: a pool may have ten thousand. */
async function isNamed(context: NodeContext, poolId: string, id: string): Promise<boolean> {
	const { store, nodeId } = context;
	const records = [store.get("volume", id), store.get("image", id)].filter((one) => one !== null);
	if (records.some((one) => one.poolId === poolId && isOf(nodeId)(one))) return true;
	return (await readRecords(context, copyRecords)).has(id);
}

/** What unfinished work of any node but that of one task, or a record of this one, is about. */
async function busyIds(context: NodeContext, poolId: string, exceptTaskId?: string): Promise<Set<string>> {
	const { store } = context;
	const busy = new Set<string>();
	for (const task of store.all("task", { state: ["pending", "running"] })) {
		for (const { kind, id } of task.targets) {
			busy.add(id);
			if (kind === "vm") for (const volume of store.all("volume", { vmId: id })) busy.add(volume.id);
		}
		if (typeof task.input.volumeId === "string") busy.add(task.input.volumeId);
		if (task.id !== exceptTaskId && isDeletionIn(context, task, poolId)) {
			const { volumeIds, imageIds } = deletedOrphans(task);
			for (const id of [...volumeIds, ...imageIds]) busy.add(id);
		}
	}
	for (const [, { volumes }] of await readRecords(context, moveRecords)) for (const { id } of volumes) busy.add(id);
	for (const [id] of await readRecords(context, volumeMoveRecords)) busy.add(id);
	return busy;
}

/** Each node has its own part of a pool that is not shared. */
function isDeletionIn({ store, nodeId }: NodeContext, task: Task, poolId: string): boolean {
	if (task.kind !== "pool.deleteOrphans" || !task.targets.some(({ id }) => id === poolId)) return false;
	const pool = store.get("pool", poolId);
	return task.nodeId === nodeId || (pool !== null && isShared(pool));
}

async function withoutContent(
	context: NodeContext,
	driver: StorageDriver,
	poolId: string,
	images: ReadonlySet<string>,
	busy: ReadonlySet<string>,
): Promise<PoolOrphan[]> {
	const { store, nodeId } = context;
	const mine = isOf(nodeId);
	// One that was never made has none.
	const volumes = store
		.all("volume", { poolId, phase: ["ready", "error"] })
		.filter((volume) => mine(volume) && volume.allocatedBytes !== null && !busy.has(volume.id));
	const byId = new Map(volumes.map((volume) => [volume.id, volume]));
	const ids = [...byId.keys()];
	const found: PoolOrphan[] = [];
	for (let at = 0; at < ids.length; at += bounds.volumesPerCheck) {
		const part = ids.slice(at, at + bounds.volumesPerCheck);
		const look = () => driver.damagedVolumes(part);
		for (const { id, error } of await limited(context, "Looking at volumes", limits.quickStorageMs, look)) {
			const { name, format, sizeBytes, allocatedBytes } = byId.get(id) as Volume;
			const volume = { name, format, sizeBytes, allocatedBytes, reason: error.message };
			found.push({ ...bare(nodeId, "volume", id, "no-content"), ...volume });
		}
	}
	for (const { id, name, format, ...image } of store.all("image", { poolId, phase: "ready" }).filter(mine))
		if (!images.has(id) && !busy.has(id)) {
			const sizes = { sizeBytes: image.virtualSizeBytes, allocatedBytes: image.fileSizeBytes };
			const reason = "The file of the image is missing.";
			found.push({ ...bare(nodeId, "image", id, "no-content"), name, format, ...sizes, reason });
		}
	return found;
}

/** Fails, as a sentence, for what a record or unfinished work names, but for that of the task that asks. */
export async function requireOrphan(
	{ context }: OrphanParts,
	poolId: string,
	id: string,
	taskId?: string,
): Promise<void> {
	await context.store.readIndex();
	if (await isNamed(context, poolId, id))
		throw new AppError("wrong-state", "It is no orphan: there is a record of it.");
	if ((await busyIds(context, poolId, taskId)).has(id))
		throw new AppError("wrong-state", "It is no orphan: work on it is under way.");
}

export type OrphanVolume = Pick<Volume, "format" | "sizeBytes" | "allocatedBytes" | "source" | "provisioning">;
/** What becomes of its snapshots, which no record names. */
export type OrphanSnapshots = "delete" | "keep";
/** What its record would say, and which snapshots it has that no record names. */
export type FoundOrphan = { volume: OrphanVolume; snapshotIds: string[] };

/** Changes nothing. `snapshots` undefined: `wrong-state` when it has some. */
export async function orphanVolume(
	parts: OrphanParts,
	poolId: string,
	id: string,
	snapshots?: OrphanSnapshots,
): Promise<FoundOrphan> {
	const { context, pools } = parts;
	const driver = await pools.driver(poolId);
	await requireOrphan(parts, poolId, id);
	const get = async () => {
		const info = await driver.getVolume(id);
		if (!info) throw new AppError("not-found", "There is no such volume in the pool.");
		return info;
	};
	const info = await limited(context, "Looking for the volume", limits.quickStorageMs, get);
	const { format, sizeBytes, allocatedBytes, provisioning } = info;
	const way = provisioning === undefined ? {} : { provisioning };
	const volume = { format, sizeBytes, allocatedBytes, source: sourceOf(parts, info), ...way };
	const snapshotIds = await unrecorded(context, driver, id);
	if (snapshots !== undefined || snapshotIds.length === 0) return { volume, snapshotIds };
	throw new AppError(
		"wrong-state",
		`It has snapshots that are in no record: ${snapshotIds.length}. As a volume it could not go back to them, and would not move to another pool. Say whether they are deleted first, or kept.`,
		{ fields: [{ path: "/snapshots", message: "is to be said: delete or keep" }] },
	);
}

/** Ids of snapshots of the volume that are in no record. */
async function unrecorded(context: NodeContext, { snapshots }: StorageDriver, volumeId: string): Promise<string[]> {
	if (snapshots === null) return [];
	const list = () => snapshots.list(volumeId);
	const found = await limited(context, "Looking for snapshots", limits.quickStorageMs, list);
	return found.map(({ id }) => id).filter((id) => context.store.get("snapshot", id) === null);
}

/** What it rests on needs a record, or nobody would know that it is needed. */
function sourceOf({ context: { store } }: OrphanParts, { backing }: VolumeInfo): VolumeSource {
	const [below] = backing;
	if (!below) return { kind: "empty" };
	if (store.get(below.kind, below.id) === null)
		throw new AppError("wrong-state", `It rests on the ${below.kind} ${below.id}, which has no record either.`);
	if (below.kind === "image") return { kind: "image", imageId: below.id, fullCopy: false };
	return { kind: "clone", volumeId: below.id, fullCopy: false };
}
