/** Body of `POST /v1/images` + state → the record of the image and the task that imports it. */
import { type Placement, placeStorage } from "../../control/placement.ts";
import { AppError } from "../../lib/errors.ts";
import type { Node } from "../../model/node.ts";
import type { Image, ImageCreate, Pool } from "../../model/storage.ts";
import { isShared } from "../../model/storage-rules.ts";
import { checkWorks } from "../../store/apply/checks.ts";
import type { CommandBody } from "../../store/command.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { refTo } from "../refs.ts";
import { newMetadata, newTask } from "../resources.ts";
import { choosePool, FieldErrors, placementState } from "../vms/plan-state.ts";
import { checkSourceUrl } from "./source-url.ts";

/** Who may name which source, and whether the source makes sense, is the caller's question (routes.ts). */
export function planImageCreate(
	context: RequestContext,
	request: ImageCreate,
): Extract<CommandBody, { kind: "imageCreate" }> {
	const { store } = context.services;
	const errors = new FieldErrors();
	const { source } = request;
	const volume = source.kind === "volume" ? store.get("volume", source.volumeId) : null;
	if (source.kind === "volume" && !volume) errors.add("/source/volumeId", "There is no such volume.");
	if (source.kind === "volume" && request.format === "iso")
		errors.add("/format", "A volume becomes a disk image: qcow2 or raw.");
	if (source.kind === "url") checkSourceUrl(source.url, errors);
	if (source.kind === "upload" && request.fileSizeBytes === undefined)
		errors.add("/fileSizeBytes", "An upload needs the length of its file.");
	const worker = volume && workerOfVolume(store, volume);
	const placed = worker ? { nodeId: worker, reason: null } : placedBy(context, request);
	const { nodeId } = placed;
	if (request.nodeId !== undefined && !isMember(store.get("node", request.nodeId)))
		errors.add("/nodeId", "There is no such node.");
	else if (request.nodeId !== undefined && request.nodeId !== nodeId)
		errors.add("/nodeId", "The image must be on the node that the volume is on.");
	errors.check("The image cannot be made");
	const node = store.get("node", nodeId);
	if (node) checkWorks(node);
	checkHeard(context, nodeId);
	const pool = choosePool(store, nodeId, request.poolId ?? volume?.poolId, "/poolId", errors);
	if (volume && pool && volume.poolId !== pool.id)
		errors.add("/poolId", "The image must be in the pool that the volume is in.");
	errors.check("The image cannot be made");
	if (!pool) throw new AppError("internal", "The pool is missing.");
	if (volume) checkVolumeAtRest(context, volume);
	const local = pool.nodes.find((status) => status.nodeId === nodeId);
	if (request.fileSizeBytes !== undefined && (local?.availableBytes ?? Infinity) < request.fileSizeBytes)
		throw new AppError("no-space", `The pool ${pool.name} has less space left than the file is long.`);
	const image: Image = {
		...newMetadata(context),
		name: request.name,
		description: request.description ?? "",
		tags: request.tags ?? [],
		format: request.format,
		poolId: pool.id,
		nodeId: isShared(pool) ? null : nodeId,
		source,
		fileSizeBytes: request.fileSizeBytes ?? null,
		virtualSizeBytes: null,
		expectedSha256: request.sha256 ?? null,
		sha256: null,
		phase: source.kind === "upload" ? "uploading" : "importing",
		receivedBytes: 0,
		error: null,
	};
	const input = placed.reason === null ? {} : { placement: placed.reason };
	const task = newTask(context, "image.import", refTo("image", image), { nodeId, cancelable: true, input });
	return { kind: "imageCreate", image, task: { ...task, message: placed.reason } };
}

/**
 * As asked; else on the node that was asked, which is where an upload arrives and where a path is looked for; elsewhere when
 * that node has no part of the pool.
 */
function placedBy(context: RequestContext, { nodeId, poolId, source, fileSizeBytes }: ImageCreate): Placement {
	const { store, node } = context.services;
	if (nodeId !== undefined) return { nodeId, reason: null };
	const isWanted = (pool: Pool) => pool.nodeIds.includes(node.nodeId) && (poolId === undefined || pool.id === poolId);
	const hasPart = store.get("node", node.nodeId)?.witness !== true && store.all("pool").some(isWanted);
	const pool = poolId === undefined ? null : store.get("pool", poolId);
	if (hasPart || source.kind === "path" || (poolId !== undefined && pool === null))
		return { nodeId: node.nodeId, reason: null };
	return placeStorage(placementState(store), { what: "The image", pool, bytes: fileSizeBytes ?? 0 });
}

const isMember = (node: Node | null): boolean => node !== null && node.status.phase !== "left";

function checkVolumeAtRest(context: RequestContext, volume: { phase: string; vmId: string | null }): void {
	if (volume.phase !== "ready") throw new AppError("wrong-state", `The volume is ${volume.phase}, not ready.`);
	const vm = volume.vmId === null ? null : context.services.store.get("vm", volume.vmId);
	if (vm && vm.status.powerState !== "stopped")
		throw new AppError("in-use", `The VM ${vm.name} is using it. Shut it down first.`);
}
