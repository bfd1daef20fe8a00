/** Body of `POST /v1/volumes/{id}/actions/move` + state → where it goes, and which node does it. Decided again where it applies. */
import type { Static } from "@sinclair/typebox";
import { AppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import { availableOn, bestNode } from "../../model/pool-parts.ts";
import type { Pool, Volume, VolumeMove } from "../../model/storage.ts";
import { formatsOf, isShared, provisioningKept } from "../../model/storage-rules.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { checkEverybodyHas } from "../pools/plan-pool.ts";
import { FieldErrors } from "../vms/plan-state.ts";

export type PlannedMove = { poolId: string; nodeId: string | null; format: Volume["format"]; worker: string };

export function planVolumeMove(
	context: RequestContext,
	volume: Volume,
	request: Static<typeof VolumeMove>,
): PlannedMove {
	checkEverybodyHas(context);
	const { store } = context.services;
	const errors = new FieldErrors();
	const pool = store.get("pool", request.poolId);
	if (!pool) errors.add("/poolId", "There is no such storage pool.");
	else if (pool.id === volume.poolId) errors.add("/poolId", "The volume is in this storage pool.");
	const worker = pool ? workerOfMove(context, volume, pool, request.nodeId) : null;
	if (pool && worker === null)
		errors.add(
			request.nodeId === undefined ? "/poolId" : "/nodeId",
			`No node has both the volume and the storage pool ${pool.name}: it is copied on one.`,
		);
	const format =
		request.format ?? (pool && !formatsOf(pool).includes(volume.format) ? formatsOf(pool)[0] : null) ?? volume.format;
	if (pool && !formatsOf(pool).includes(format))
		errors.add("/format", `The pool ${pool.name} has no volumes of format ${format}.`);
	errors.check("The volume cannot be moved");
	if (!pool || worker === null) throw new AppError("internal", "The pool is missing.");
	checkHeard(context, worker);
	const isThick = provisioningKept(pool, volume, worker) === "thick";
	checkRoom(pool, worker, isThick ? { ...volume, allocatedBytes: volume.sizeBytes } : volume);
	return { poolId: pool.id, nodeId: isShared(pool) ? null : worker, format, worker };
}

/** Where the volume is, or may be; null when the pool is not there. */
function workerOfMove(
	{ services: { store } }: RequestContext,
	volume: Volume,
	pool: Pool,
	wanted: string | undefined,
): string | null {
	const vm = volume.vmId === null ? null : store.get("vm", volume.vmId);
	const fixed = volume.nodeId ?? vm?.nodeId;
	const from = store.get("pool", volume.poolId);
	const can = (nodeId: string): boolean =>
		pool.nodeIds.includes(nodeId) &&
		from?.nodeIds.includes(nodeId) === true &&
		(fixed === undefined || fixed === nodeId) &&
		(wanted === undefined || wanted === nodeId);
	const possible = [workerOfVolume(store, volume) ?? "", ...pool.nodeIds].filter(can);
	return bestNode(possible, from === null ? [pool] : [pool, from]);
}

/** What the node finds out too, after a while: as it was last reported. */
function checkRoom(pool: Pool, worker: string, { name, allocatedBytes }: Volume): void {
	const available = availableOn(pool, worker);
	if (available === null || allocatedBytes === null || available >= allocatedBytes) return;
	throw new AppError(
		"no-space",
		`The storage pool ${pool.name} has ${formatBytes(available)} left; ${name} takes ${formatBytes(allocatedBytes)}.`,
	);
}
