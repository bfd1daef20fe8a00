/**
 * Body of `POST /v1/volumes` (and of clone) + state → the record of the volume. Whether a source is at rest is decided
 * where the command applies.
 */

import type { Static } from "@sinclair/typebox";
import { type Placement, placeStorage } from "../../control/placement.ts";
import { AppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import type { Volume, VolumeCreate, VolumeSource } from "../../model/storage.ts";
import { formatsOf, isShared, sharesData } from "../../model/storage-rules.ts";
import { checkWorks } from "../../store/apply/checks.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { newMetadata } from "../resources.ts";
import { checkSectors, chooseImage, choosePool, FieldErrors, placementState } from "../vms/plan-state.ts";

type Origin = { poolId: string; leastBytes: number; fullCopy: boolean };

/** `worker`: the node that makes it. `placement`: why it is that one, when it was chosen here. */
export type PlannedVolume = { volume: Volume; worker: string; placement: string | null };

export function planVolumeCreate(context: RequestContext, request: Static<typeof VolumeCreate>): PlannedVolume {
	const { store } = context.services;
	const errors = new FieldErrors();
	const placed = placedBy(context, request);
	const { nodeId } = placed;
	const node = store.get("node", nodeId);
	if (node) checkWorks(node);
	else errors.add("/nodeId", "There is no such node.");
	checkHeard(context, nodeId);
	const source = request.source ?? { kind: "empty" };
	const origin = originOf(context, source, nodeId, errors);
	const pool = choosePool(store, nodeId, request.poolId ?? origin?.poolId, "/poolId", errors);
	if (origin && !origin.fullCopy && pool && origin.poolId !== pool.id)
		errors.add("/source/fullCopy", "In another pool than its source only a full copy can be made.");
	const format = request.format ?? (pool ? formatsOf(pool)[0] : undefined) ?? "qcow2";
	if (pool && !formatsOf(pool).includes(format))
		errors.add("/format", `The pool ${pool.name} has no volumes of format ${format}.`);
	if (origin && !origin.fullCopy && pool && !sharesData(pool, format))
		errors.add("/source/fullCopy", "A copy-on-write volume must be qcow2; make a full copy for raw.");
	const least = origin?.leastBytes ?? 0;
	const sizeBytes = request.sizeBytes ?? least;
	if (sizeBytes === 0) errors.add("/sizeBytes", "An empty volume needs a size.");
	if (sizeBytes < least) errors.add("/sizeBytes", `The source needs at least ${formatBytes(least)}.`);
	checkSectors(sizeBytes, "/sizeBytes", errors);
	errors.check("The volume cannot be made");
	if (!pool) throw new AppError("internal", "The pool is missing.");
	const volume: Volume = {
		...newMetadata(context),
		name: request.name,
		poolId: pool.id,
		nodeId: isShared(pool) ? null : nodeId,
		format,
		sizeBytes,
		allocatedBytes: null,
		source,
		phase: "pending",
		vmId: null,
		error: null,
	};
	return { volume, worker: nodeId, placement: placed.reason };
}

/** As asked; a clone where its source is; else where the most room is in the pool. */
function placedBy(context: RequestContext, { nodeId, poolId, source }: Static<typeof VolumeCreate>): Placement {
	const { store } = context.services;
	if (nodeId !== undefined) return { nodeId, reason: null };
	const origin = source?.kind === "clone" ? store.get("volume", source.volumeId) : null;
	const worker = origin && workerOfVolume(store, origin);
	// Where the copy is to be has to be reached from where its source is.
	const target = poolId === undefined ? null : store.get("pool", poolId);
	if (worker && (target === null || target.nodeIds.includes(worker))) return { nodeId: worker, reason: null };
	const image = source?.kind === "image" ? store.get("image", source.imageId) : null;
	const pool = store.get("pool", poolId ?? image?.poolId ?? "");
	return placeStorage(placementState(store), { what: "The volume", pool, bytes: 0 });
}

function originOf(context: RequestContext, source: VolumeSource, nodeId: string, errors: FieldErrors): Origin | null {
	const { store } = context.services;
	if (source.kind === "empty") return null;
	if (source.kind === "snapshot") return errors.add("/source/kind", "There are no snapshots yet.");
	if (source.kind === "image") {
		const image = chooseImage(store, nodeId, source.imageId, "disk", "/source/imageId", errors);
		if (!image) return null;
		return { poolId: image.poolId, leastBytes: image.virtualSizeBytes ?? 0, fullCopy: source.fullCopy };
	}
	const volume = store.get("volume", source.volumeId);
	if (!volume) return errors.add("/source/volumeId", "There is no such volume.");
	if (volume.nodeId !== null && volume.nodeId !== nodeId)
		return errors.add("/source/volumeId", "The volume is on another node.");
	return { poolId: volume.poolId, leastBytes: volume.sizeBytes, fullCopy: source.fullCopy };
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
