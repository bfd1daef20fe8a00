/** Body of `POST /v1/images` + state → the record of the image and the task that imports it. */
import { type Placement, placeStorage } from "../../control/placement.ts";
import { AppError } from "../../lib/errors.ts";
import { diskReadObstacle } from "../../model/actions.ts";
import { isLost } from "../../model/lost-node.ts";
import type { Node } from "../../model/node.ts";
import { availableOn, bestNode, mayWorkOn } from "../../model/pool-parts.ts";
import type { Image, ImageCreate } from "../../model/storage.ts";
import { isShared, keepsImageFiles } from "../../model/storage-rules.ts";
import { checkWorks } from "../../store/apply/checks.ts";
import type { CommandBody } from "../../store/command.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import { checkHeard } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { checkEverybodyHas } from "../pools/plan-pool.ts";
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
	const origin = source.kind === "image" ? originOf(context, source.imageId, request, errors) : null;
	const format = request.format ?? origin?.format ?? null;
	if (format === null && source.kind !== "image") errors.add("/format", "Say what the file is: qcow2, raw or iso.");
	if (source.kind === "volume" && !volume) errors.add("/source/volumeId", "There is no such volume.");
	if (source.kind === "volume" && request.format === "iso")
		errors.add("/format", "A volume becomes a disk image: qcow2 or raw.");
	if (source.kind === "url") checkSourceUrl(source.url, errors);
	if (source.kind === "upload" && request.fileSizeBytes === undefined)
		errors.add("/fileSizeBytes", "An upload needs the length of its file.");
	errors.check("The image cannot be made");
	const worker = volume ? workerOfVolume(store, volume) : origin && workerOfCopy(context, origin, request);
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
	if (origin && pool && origin.poolId === pool.id && (isShared(pool) || origin.nodeId === nodeId))
		errors.add("/poolId", `The image ${origin.name} is in this storage pool.`);
	errors.check("The image cannot be made");
	if (!pool || format === null) throw new AppError("internal", "The pool is missing.");
	if (volume) checkVolumeAtRest(context, volume);
	const fileBytes = request.fileSizeBytes ?? origin?.fileSizeBytes ?? 0;
	if ((availableOn(pool, nodeId) ?? Infinity) < fileBytes)
		throw new AppError("no-space", `The pool ${pool.name} has less space left than the file is long.`);
	const image: Image = {
		...newMetadata(context),
		name: request.name,
		description: request.description ?? origin?.description ?? "",
		tags: request.tags ?? origin?.tags ?? [],
		format,
		poolId: pool.id,
		nodeId: isShared(pool) ? null : nodeId,
		source,
		fileSizeBytes: request.fileSizeBytes ?? null,
		virtualSizeBytes: null,
		expectedSha256: request.sha256 ?? (origin && sha256Of(context, origin)),
		sha256: null,
		phase: source.kind === "upload" ? "uploading" : "importing",
		receivedBytes: 0,
		error: null,
	};
	const input = placed.reason === null ? {} : { placement: placed.reason };
	const task = newTask(context, "image.import", refTo("image", image), { nodeId, cancelable: true, input });
	return { kind: "imageCreate", image, task: { ...task, message: placed.reason } };
}

function originOf(context: RequestContext, imageId: string, request: ImageCreate, errors: FieldErrors): Image | null {
	checkEverybodyHas(context, "image-copy-1");
	const { store } = context.services;
	const origin = store.get("image", imageId);
	if (!origin) return errors.add("/source/imageId", "There is no such image.");
	if (request.poolId === undefined) errors.add("/poolId", "Say the storage pool that the copy is to be in.");
	if (request.format !== undefined && request.format !== origin.format)
		errors.add("/format", `A copy of ${origin.name} has its format, ${origin.format}.`);
	if (origin.phase !== "ready")
		throw new AppError("wrong-state", `The image ${origin.name} is ${origin.phase}, not ready.`);
	return origin;
}

/** Where pools keep the files that came, the copy has to be that very file. */
function sha256Of({ services: { store } }: RequestContext, origin: Image): string | null {
	const pool = store.get("pool", origin.poolId);
	return pool && keepsImageFiles(pool) ? origin.sha256 : null;
}

/** A node of the pool that reaches the source as well, if there is one where both work; null: any that the pool has, to which the source is sent. */
function workerOfCopy(
	{ services: { store, node } }: RequestContext,
	origin: Image,
	request: ImageCreate,
): string | null {
	if (request.nodeId !== undefined) return null;
	const to = store.get("pool", request.poolId ?? "");
	const from = store.get("pool", origin.poolId);
	const reaches = (id: string) => (origin.nodeId === null ? from?.nodeIds.includes(id) === true : origin.nodeId === id);
	const isHeard = (id: string) => {
		const known = id === node.nodeId ? null : store.get("node", id);
		return known === null || !isLost(known);
	};
	const possible = [node.nodeId, ...(to?.nodeIds ?? [])].filter(
		(id) => to?.nodeIds.includes(id) && reaches(id) && isHeard(id),
	);
	const pools = [to, from].flatMap((pool) => pool ?? []);
	return bestNode(
		possible.filter((id) => pools.every((pool) => mayWorkOn(pool, id))),
		pools,
	);
}

/**
 * As asked; else on the node that was asked, which is where an upload arrives and where a path is looked for; elsewhere when
 * that node has no part of the pool, or has it where it does not work while it does on others.
 */
function placedBy(context: RequestContext, { nodeId, poolId, source, fileSizeBytes }: ImageCreate): Placement {
	const { store, node } = context.services;
	if (nodeId !== undefined) return { nodeId, reason: null };
	const here = { nodeId: node.nodeId, reason: null };
	const pool = poolId === undefined ? null : store.get("pool", poolId);
	if (source.kind === "path" || (poolId !== undefined && pool === null)) return here;
	const wanted = pool === null ? store.all("pool") : [pool];
	const parts = wanted.filter(({ nodeIds }) => nodeIds.includes(node.nodeId));
	const hasPart = store.get("node", node.nodeId)?.witness !== true && parts.length > 0;
	const isElsewhere = wanted.some((one) => one.nodeIds.some((id) => id !== node.nodeId && mayWorkOn(one, id)));
	if (hasPart && (!isElsewhere || parts.some((one) => mayWorkOn(one, node.nodeId)))) return here;
	return placeStorage(placementState(store), { what: "The image", pool, bytes: fileSizeBytes ?? 0 });
}

const isMember = (node: Node | null): boolean => node !== null && node.status.phase !== "left";

function checkVolumeAtRest(context: RequestContext, volume: { phase: string; vmId: string | null }): void {
	if (volume.phase !== "ready") throw new AppError("wrong-state", `The volume is ${volume.phase}, not ready.`);
	const vm = volume.vmId === null ? null : context.services.store.get("vm", volume.vmId);
	const obstacle = vm && diskReadObstacle(vm);
	if (obstacle !== null) throw new AppError("in-use", obstacle);
}
