/**
 * Body of `POST /v1/volumes` (and of clone) + state → the record of the volume. Whether a source is at rest is decided
 * where the command applies.
 */

import type { Static } from "@sinclair/typebox";
import { type Placement, placeStorage } from "../../control/placement.ts";
import { AppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import { availableOn } from "../../model/pool-parts.ts";
import type { Pool, Volume, VolumeCreate, VolumeSource } from "../../model/storage.ts";
import { formatsOf, isCopiedWhole, isShared, provisioningObstacle, sharesData } from "../../model/storage-rules.ts";
import { checkWorks } from "../../store/apply/checks.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import type { StoreReader } from "../../store/store.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { checkEverybodyProvisions } from "../pools/plan-pool.ts";
import { newMetadata } from "../resources.ts";
import { checkSectors, chooseImage, choosePool, FieldErrors, placementState } from "../vms/plan-state.ts";

type Origin = { poolId: string; leastBytes: number; fullCopy: boolean };

/** `worker`: the node that makes it. `placement`: why it is that one, when it was chosen here. */
export type PlannedVolume = { volume: Volume; worker: string; placement: string | null };

export function planVolumeCreate(context: RequestContext, request: Static<typeof VolumeCreate>): PlannedVolume {
	const { store } = context.services;
	const errors = new FieldErrors();
	const { provisioning } = request;
	checkEverybodyProvisions(context, [request]);
	const source = completeSource(context, request.source ?? { kind: "empty" }, request, errors);
	errors.check("The volume cannot be made");
	const placed = placedBy(context, { ...request, source }, errors);
	errors.check("The volume cannot be made");
	const { nodeId } = placed;
	const node = store.get("node", nodeId);
	if (node) checkWorks(node);
	else errors.add("/nodeId", "There is no such node.");
	checkHeard(context, nodeId);
	const origin = originOf(context, source, nodeId, errors);
	const pool = choosePool(store, nodeId, request.poolId ?? origin?.poolId, "/poolId", errors);
	if (source.kind === "snapshot" && origin && pool && origin.poolId !== pool.id)
		errors.add("/poolId", "A volume that is made of a snapshot lies in the pool of its disk. Copy it from there.");
	else if (origin && !origin.fullCopy && pool && origin.poolId !== pool.id)
		errors.add("/source/fullCopy", "In another pool than its source only a full copy can be made.");
	const format = request.format ?? (pool ? formatsOf(pool)[0] : undefined) ?? "qcow2";
	if (pool && !formatsOf(pool).includes(format))
		errors.add("/format", `The pool ${pool.name} has no volumes of format ${format}.`);
	if (origin && !origin.fullCopy && pool && !sharesData(pool, format))
		errors.add("/source/fullCopy", "A copy-on-write volume must be qcow2; make a full copy for raw.");
	const shares = source.kind !== "empty" && source.fullCopy === false;
	const obstacle = pool && provisioningObstacle(pool, provisioning, { shares, nodeId });
	if (obstacle) errors.add("/provisioning", obstacle);
	const least = origin?.leastBytes ?? 0;
	const sizeBytes = request.sizeBytes ?? least;
	if (sizeBytes === 0) errors.add("/sizeBytes", "An empty volume needs a size.");
	if (sizeBytes < least) errors.add("/sizeBytes", `The source needs at least ${formatBytes(least)}.`);
	checkSectors(sizeBytes, "/sizeBytes", errors);
	errors.check("The volume cannot be made");
	if (!pool) throw new AppError("internal", "The pool is missing.");
	if (provisioning === "thick") checkRoom(pool, nodeId, sizeBytes);
	const volume: Volume = {
		...newMetadata(context),
		name: request.name,
		poolId: pool.id,
		nodeId: isShared(pool) ? null : nodeId,
		format,
		sizeBytes,
		allocatedBytes: null,
		...(provisioning === undefined ? {} : { provisioning }),
		source,
		phase: "pending",
		vmId: null,
		error: null,
	};
	return { volume, worker: nodeId, placement: placed.reason };
}

/**
 * As asked; a copy in the pool of its source where the source is worked on; else where the most room is in the pool, of the nodes where both
 * pools work.
 */
function placedBy(
	context: RequestContext,
	request: Static<typeof VolumeCreate> & { source: VolumeSource },
	errors: FieldErrors,
): Placement {
	const { nodeId, poolId, source, provisioning, sizeBytes } = request;
	const { store } = context.services;
	if (nodeId !== undefined) return { nodeId, reason: null };
	const copied =
		source.kind === "clone" || source.kind === "snapshot" ? store.get("volume", source.volumeId ?? "") : null;
	const image = source.kind === "image" ? store.get("image", source.imageId) : null;
	const fromId = copied?.poolId ?? image?.poolId ?? "";
	const pool = store.get("pool", poolId ?? fromId);
	const worker = copied && workerOfVolume(store, copied);
	const mayGo = source.kind === "clone" && pool !== null && pool.id !== fromId;
	if (worker && !mayGo) return { nodeId: worker, reason: null };
	const only = copied && onlyWorkerOf(store, copied);
	if (only && pool) {
		const name = store.get("node", only)?.name ?? "the node";
		if (!pool.nodeIds.includes(only))
			errors.add("/poolId", `The pool ${pool.name} is not on ${name}, where the volume is copied.`);
		return { nodeId: only, reason: null };
	}
	const leastBytes = copied?.sizeBytes ?? image?.virtualSizeBytes ?? 0;
	const bytes = provisioning === "thick" ? (sizeBytes ?? leastBytes) : 0;
	return placeStorage(placementState(store), { what: "The volume", pool, bytes, from: store.get("pool", fromId) });
}

/**
 * Null: any node that has its pool. The disk of a VM is copied on the VM's node, which alone keeps the VM from being started
 * meanwhile.
 */
function onlyWorkerOf(store: Pick<StoreReader, "get">, { nodeId, vmId }: Volume): string | null {
	return nodeId ?? (vmId === null ? null : (store.get("vm", vmId)?.nodeId ?? null));
}

function originOf(context: RequestContext, source: VolumeSource, nodeId: string, errors: FieldErrors): Origin | null {
	const { store } = context.services;
	if (source.kind === "empty") return null;
	if (source.kind === "image") {
		const image = chooseImage(store, nodeId, source.imageId, "disk", "/source/imageId", errors);
		if (!image) return null;
		return { poolId: image.poolId, leastBytes: image.virtualSizeBytes ?? 0, fullCopy: source.fullCopy };
	}
	if (source.kind === "snapshot") return snapshotOrigin(context, source, nodeId, errors);
	const volume = store.get("volume", source.volumeId);
	if (!volume) return errors.add("/source/volumeId", "There is no such volume.");
	const only = onlyWorkerOf(store, volume);
	if (only !== null && only !== nodeId)
		return errors.add(
			"/source/volumeId",
			volume.nodeId === null
				? "The volume is the disk of a VM on another node, and is copied there."
				: "The volume is on another node.",
		);
	const pool = store.get("pool", volume.poolId);
	if (only === null && !pool?.nodeIds.includes(nodeId))
		return errors.add(
			"/source/volumeId",
			`The volume ${volume.name} is in the pool ${pool?.name ?? "?"}, which is not on this node.`,
		);
	return { poolId: volume.poolId, leastBytes: volume.sizeBytes, fullCopy: source.fullCopy };
}

function snapshotOrigin(
	context: RequestContext,
	{ snapshotId, volumeId, fullCopy }: Extract<VolumeSource, { kind: "snapshot" }>,
	nodeId: string,
	errors: FieldErrors,
): Origin | null {
	const { store } = context.services;
	const disk = store.get("snapshot", snapshotId)?.disks.find((one) => one.volumeId === volumeId);
	const volume = disk && store.get("volume", disk.volumeId);
	if (!disk || !volume) return errors.add("/source/volumeId", "The snapshot holds no such disk.");
	if (volume.nodeId !== null && volume.nodeId !== nodeId)
		return errors.add("/source/snapshotId", "The disk is on another node.");
	return { poolId: volume.poolId, leastBytes: disk.sizeBytes, fullCopy: fullCopy === true };
}

/**
 * Which disk of a snapshot, and whether it is to share data with it: said in each volume that is made of one. Others are left as they
 * are.
 */
function completeSource(
	context: RequestContext,
	source: VolumeSource,
	request: Pick<VolumeCreate, "format" | "provisioning">,
	errors: FieldErrors,
): VolumeSource {
	if (source.kind !== "snapshot") return source;
	const { store, cluster } = context.services;
	if (!cluster.everybodyHas("storage-1"))
		throw new AppError("unsupported", "Not all nodes of the cluster know of snapshots yet: upgrade them first.");
	const snapshot = store.get("snapshot", source.snapshotId);
	if (!snapshot) return errors.add("/source/snapshotId", "There is no such snapshot.") ?? source;
	const [only, ...others] = snapshot.disks;
	const volumeId = source.volumeId ?? (others.length === 0 ? only?.volumeId : undefined);
	if (volumeId === undefined)
		return errors.add("/source/volumeId", "The snapshot has several disks: say which one.") ?? source;
	const volume = store.get("volume", volumeId);
	const pool = volume && store.get("pool", volume.poolId);
	const whole = !pool || isCopiedWhole(pool, { ...request, elsewhere: false });
	return { ...source, volumeId, fullCopy: source.fullCopy ?? whole };
}

/** What the node finds out too, before it makes anything: as it was last reported. */
function checkRoom(pool: Pool, worker: string, bytes: number): void {
	const available = availableOn(pool, worker);
	if (available === null || available >= bytes) return;
	throw new AppError(
		"no-space",
		`The storage pool ${pool.name} has ${formatBytes(available)} left; a thick volume of this size needs ${formatBytes(bytes)}.`,
	);
}

/** Volumes only grow. */
export function checkResize(volume: Volume, sizeBytes: number): void {
	const errors = new FieldErrors();
	if (sizeBytes < volume.sizeBytes)
		errors.add("/sizeBytes", `It cannot become smaller than it is (${formatBytes(volume.sizeBytes)}).`);
	checkSectors(sizeBytes, "/sizeBytes", errors);
	errors.check("The volume cannot be resized");
	if (volume.phase !== "ready") throw new AppError("wrong-state", `The volume is ${volume.phase}, not ready.`);
}
