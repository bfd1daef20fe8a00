/** Volumes: the disks of VMs. */

import { Type } from "@sinclair/typebox";
import { AppError } from "../../lib/errors.ts";
import { diskReadObstacle } from "../../model/actions.ts";
import { Id, Strict } from "../../model/schema.ts";
import { SnapshotPage } from "../../model/snapshot.ts";
import {
	Volume,
	VolumeClone,
	VolumeCreate,
	VolumeFormat,
	VolumePage,
	VolumeResize,
	VolumeUpdate,
} from "../../model/storage.ts";
import { isCopiedWhole } from "../../model/storage-rules.ts";
import { Task } from "../../model/task.ts";
import { workerOfVolume } from "../../store/storage-worker.ts";
import type { RequestContext } from "../context.ts";
import { freeingSources } from "../freeing-sources.ts";
import { anyOf, idParams, listQuery } from "../parameters.ts";
import { refTo } from "../refs.ts";
import { ok } from "../reply.ts";
import {
	accepted,
	created,
	expected,
	find,
	findForWrite,
	listed,
	newTask,
	nodeServiceFor,
	shown,
} from "../resources.ts";
import { type Route, route } from "../route.ts";
import { checkResize, type PlannedVolume, planVolumeCreate } from "./plan-create.ts";

const tag = "volumes" as const;

export const volumeRoutes: Route[] = [
	route({
		operationId: "volumeList",
		method: "GET",
		path: "/v1/volumes",
		summary: "List volumes",
		tag,
		query: listQuery(["name", "createdAt", "sizeBytes"] as const, {
			poolId: anyOf(Id),
			vmId: anyOf(Id),
			phase: anyOf(Volume.properties.phase),
			sourceVolumeId: anyOf(Id, "Made of these volumes, or of snapshots of them"),
		}),
		responses: { 200: VolumePage },
		handler: ({ context, query }) => listed(context, "volume", query),
	}),
	route({
		operationId: "volumeCreate",
		method: "POST",
		path: "/v1/volumes",
		summary: "Create a volume",
		tag,
		body: VolumeCreate,
		responses: { 201: Volume },
		idempotent: true,
		handler: ({ context, body }) =>
			created(context, "volume", () => {
				const plan = planVolumeCreate(context, body);
				const task = newVolumeTask(context, plan);
				return { kind: "volumeCreate", volume: plan.volume, task, ...freeingSources(context) };
			}),
	}),
	route({
		operationId: "volumeGet",
		method: "GET",
		path: "/v1/volumes/{id}",
		summary: "Get a volume",
		tag,
		params: idParams,
		responses: { 200: Volume },
		handler: ({ context, params }) => shown(find(context, "volume", params.id)),
	}),
	route({
		operationId: "volumeSnapshotList",
		method: "GET",
		path: "/v1/volumes/{id}/snapshots",
		summary: "List the snapshots that hold a volume",
		description:
			"Of whichever VM: one keeps those of a disk that was detached from it. The volume stays while there are some.",
		tag,
		params: idParams,
		query: listQuery(["createdAt", "name"] as const, {}),
		responses: { 200: SnapshotPage },
		handler({ context, params, query }) {
			const volume = find(context, "volume", params.id);
			return listed(context, "snapshot", query, { volumeId: volume.id });
		},
	}),
	route({
		operationId: "volumeUpdate",
		method: "PATCH",
		path: "/v1/volumes/{id}",
		summary: "Rename a volume",
		tag,
		params: idParams,
		body: VolumeUpdate,
		responses: { 200: Volume },
		ifMatch: true,
		async handler({ context, params, body }) {
			await context.mutate(() => ({ kind: "volumeUpdate", id: params.id, name: body.name, ...expected(context) }));
			return shown(find(context, "volume", params.id));
		},
	}),
	route({
		operationId: "volumeDelete",
		method: "DELETE",
		path: "/v1/volumes/{id}",
		summary: "Delete a volume and what is on it",
		description:
			"Refused while it is attached to a VM, is a part of snapshots, has copies that share its data, or is being copied.",
		tag,
		params: idParams,
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const volume = findForWrite(context, "volume", params.id);
				const nodeId = workerOfVolume(context.services.store, volume);
				const task = newTask(context, "volume.delete", refTo("volume", volume), { nodeId });
				return { kind: "volumeDelete", id: volume.id, task };
			}),
	}),
	route({
		operationId: "volumeResize",
		method: "POST",
		path: "/v1/volumes/{id}/actions/resize",
		summary: "Enlarge a volume",
		tag,
		params: idParams,
		body: VolumeResize,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body: { sizeBytes } }) =>
			accepted(context, () => {
				const volume = find(context, "volume", params.id);
				checkResize(volume, sizeBytes);
				const task = newTask(context, "volume.resize", refTo("volume", volume), {
					nodeId: workerOfVolume(context.services.store, volume),
					input: { sizeBytes },
				});
				return { kind: "volumeResize", id: volume.id, sizeBytes, task, ...freeingSources(context) };
			}),
	}),
	route({
		operationId: "volumeClone",
		method: "POST",
		path: "/v1/volumes/{id}/actions/clone",
		summary: "Copy a volume",
		description:
			"Copy-on-write where the pool can, unless fullCopy is true, the copy is to be thick in a pool that has thin ones as well, or it is in another pool. Where all volumes are thick, a copy-on-write copy has all of its space, too. In another pool it has that pool's usual format.",
		tag,
		params: idParams,
		body: VolumeClone,
		responses: { 201: Volume },
		idempotent: true,
		handler: ({ context, params, body }) =>
			created(context, "volume", () => {
				const { name, poolId } = body;
				const original = find(context, "volume", params.id);
				const elsewhere = poolId !== undefined && poolId !== original.poolId;
				const pool = context.services.store.get("pool", original.poolId);
				const { format } = original;
				const whole = !pool || isCopiedWhole(pool, { elsewhere, format, provisioning: body.provisioning });
				const fullCopy = body.fullCopy ?? whole;
				const plan = planVolumeCreate(context, {
					name,
					poolId: poolId ?? original.poolId,
					...(elsewhere ? {} : { format }),
					...(body.provisioning === undefined ? {} : { provisioning: body.provisioning }),
					source: { kind: "clone", volumeId: original.id, fullCopy },
				});
				const task = newVolumeTask(context, plan);
				return { kind: "volumeCreate", volume: plan.volume, task, ...freeingSources(context) };
			}),
	}),
	route({
		operationId: "volumeContentGet",
		method: "GET",
		path: "/v1/volumes/{id}/content",
		summary: "Download a volume",
		description: "Only while no VM is using it.",
		tag,
		params: idParams,
		query: Strict({ format: Type.Optional(VolumeFormat) }),
		responses: { 200: { contentType: "application/octet-stream", description: "A stand-alone disk image" } },
		longLived: true,
		at: ({ services, params }) => workerOfVolume(services.store, find({ services }, "volume", params.id)),
		async handler({ context, params, query }) {
			const volume = find(context, "volume", params.id);
			if (volume.phase !== "ready") throw new AppError("wrong-state", `The volume is ${volume.phase}, not ready.`);
			const vm = volume.vmId === null ? null : context.services.store.get("vm", volume.vmId);
			const obstacle = vm && diskReadObstacle(vm);
			if (obstacle !== null) throw new AppError("in-use", obstacle);
			const format = query.format ?? "qcow2";
			const service = nodeServiceFor(context, workerOfVolume(context.services.store, volume));
			// It is copied first, which takes minutes.
			const signal = AbortSignal.any([context.request.signal, context.credentialEnded]);
			const exporting = service.exportVolume(volume.id, format, signal).catch((error: unknown) => {
				context.credentialEnded.throwIfAborted();
				throw error;
			});
			const { sizeBytes, stream } = await exporting;
			const headers = { downloadName: `${volume.name}.${format}`, contentLength: sizeBytes };
			return ok(stream, headers);
		},
	}),
];

function newVolumeTask(context: RequestContext, { volume, worker, placement }: PlannedVolume): Task {
	const input = placement === null ? {} : { placement };
	const options = { nodeId: worker, cancelable: true, input };
	return { ...newTask(context, "volume.create", refTo("volume", volume), options), message: placement };
}
