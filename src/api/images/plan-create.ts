/** Body of `POST /v1/images` + state → the record of the image and the task that imports it. */
import { AppError } from "../../lib/errors.ts";
import type { Image, ImageCreate } from "../../model/storage.ts";
import type { CommandBody } from "../../store/command.ts";
import type { RequestContext } from "../context.ts";
import { refTo } from "../refs.ts";
import { newMetadata, newTask } from "../resources.ts";
import { choosePool, FieldErrors } from "../vms/plan-state.ts";
import { checkSourceUrl } from "./source-url.ts";

/** Who may name which source, and whether the source makes sense, is the caller's question (routes.ts). */
export function planImageCreate(
	context: RequestContext,
	request: ImageCreate,
): Extract<CommandBody, { kind: "imageCreate" }> {
	const { store, node } = context.services;
	const errors = new FieldErrors();
	const { source } = request;
	const volume = source.kind === "volume" ? store.get("volume", source.volumeId) : null;
	if (source.kind === "volume" && !volume) errors.add("/source/volumeId", "There is no such volume.");
	if (source.kind === "volume" && request.format === "iso")
		errors.add("/format", "A volume becomes a disk image: qcow2 or raw.");
	if (source.kind === "url") checkSourceUrl(source.url, errors);
	if (source.kind === "upload" && request.fileSizeBytes === undefined)
		errors.add("/fileSizeBytes", "An upload needs the length of its file.");
	const nodeId = volume?.nodeId ?? node.nodeId;
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
		nodeId: pool.type === "local" ? nodeId : null,
		source,
		fileSizeBytes: request.fileSizeBytes ?? null,
		virtualSizeBytes: null,
		expectedSha256: request.sha256 ?? null,
		sha256: null,
		phase: source.kind === "upload" ? "uploading" : "importing",
		receivedBytes: 0,
		error: null,
	};
	const task = newTask(context, "image.import", refTo("image", image), { nodeId, cancelable: true });
	return { kind: "imageCreate", image, task };
}

function checkVolumeAtRest(context: RequestContext, volume: { phase: string; vmId: string | null }): void {
	if (volume.phase !== "ready") throw new AppError("wrong-state", `The volume is ${volume.phase}, not ready.`);
	const vm = volume.vmId === null ? null : context.services.store.get("vm", volume.vmId);
	if (vm && vm.status.powerState !== "stopped")
		throw new AppError("in-use", `The VM ${vm.name} is using it. Shut it down first.`);
}
