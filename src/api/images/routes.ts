/** Images: disk images and ISO files. Uploads come in parts, so that they can go on after an interruption. */

import { Type } from "@sinclair/typebox";
import { AppError, toAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { UploadProgress, UploadStatus } from "../../model/api.ts";
import { roleAtLeast } from "../../model/permissions.ts";
import { Id, Strict } from "../../model/schema.ts";
import { Image, ImageCreate, ImageFormat, ImagePage, ImageUpdate } from "../../model/storage.ts";
import { Task } from "../../model/task.ts";
import { workerOfImage } from "../../store/storage-worker.ts";
import type { ApiServices, RequestContext } from "../context.ts";
import { checkHostPath } from "../host-path.ts";
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
import { planImageCreate } from "./plan-create.ts";

const tag = "images" as const;
/** A part of an upload; bounds what a connection can make the node hold. */
export const maxUploadPartBytes = 64 * MiB;

const nodeOfImage = ({ services, params }: { services: ApiServices; params: { id: string } }) =>
	workerOfImage(services.store, find({ services }, "image", params.id));

export const imageRoutes: Route[] = [
	route({
		operationId: "imageList",
		method: "GET",
		path: "/v1/images",
		summary: "List images",
		tag,
		query: listQuery(["name", "createdAt"] as const, {
			phase: anyOf(Image.properties.phase),
			format: anyOf(ImageFormat),
			poolId: anyOf(Image.properties.poolId),
			sourceVolumeId: anyOf(Id, "Made of these volumes"),
		}),
		responses: { 200: ImagePage },
		handler: ({ context, query }) => listed(context, "image", query),
	}),
	route({
		operationId: "imageCreate",
		method: "POST",
		path: "/v1/images",
		summary: "Create an image",
		description:
			"From an upload (send the parts to /v1/images/{id}/content next), from a URL, from a volume, from an image of another storage pool, or from a file on the node (administrators only). On the node that is asked, unless `nodeId` names another one: that node fetches, and its files are meant.",
		tag,
		body: ImageCreate,
		responses: { 201: Image },
		idempotent: true,
		handler: ({ context, body }) =>
			created(context, "image", () => {
				const { source } = body;
				if (source.kind === "path") {
					if (!roleAtLeast(context.caller().role, "admin"))
						throw new AppError("forbidden", "Only an administrator may import files of the node.");
					const { dataDir } = context.services;
					const path = checkHostPath(source.path, "/source/path", { dataDir, use: "image" });
					return planImageCreate(context, { ...body, source: { kind: "path", path } });
				}
				return planImageCreate(context, body);
			}),
	}),
	route({
		operationId: "imageGet",
		method: "GET",
		path: "/v1/images/{id}",
		summary: "Get an image",
		tag,
		params: idParams,
		responses: { 200: Image },
		handler: ({ context, params }) => shown(find(context, "image", params.id)),
	}),
	route({
		operationId: "imageUpdate",
		method: "PATCH",
		path: "/v1/images/{id}",
		summary: "Change name, description or tags of an image",
		tag,
		params: idParams,
		body: ImageUpdate,
		responses: { 200: Image },
		ifMatch: true,
		async handler({ context, params, body }) {
			await context.mutate(() => ({ kind: "imageUpdate", id: params.id, ...body, ...expected(context) }));
			return shown(find(context, "image", params.id));
		},
	}),
	route({
		operationId: "imageDelete",
		method: "DELETE",
		path: "/v1/images/{id}",
		summary: "Delete an image",
		description: "Also ends its upload or import. Refused while volumes depend on it.",
		tag,
		params: idParams,
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const image = findForWrite(context, "image", params.id);
				const task = newTask(context, "image.delete", refTo("image", image), {
					nodeId: workerOfImage(context.services.store, image),
				});
				return { kind: "imageDelete", id: image.id, task };
			}),
	}),
	route({
		operationId: "imageContentPut",
		method: "PUT",
		path: "/v1/images/{id}/content",
		summary: "Upload a part of an image",
		description: `Appends the body at Upload-Offset, which must be the number of bytes received so far; at most ${maxUploadPartBytes / MiB} MiB at a time. After the last byte the import goes on by itself.`,
		tag,
		direct: true,
		params: idParams,
		headers: Strict({
			"upload-offset": Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: "In bytes" }),
		}),
		body: { contentType: "application/octet-stream", description: "Bytes of the file", maxBytes: maxUploadPartBytes },
		responses: { 200: UploadProgress },
		longLived: true,
		at: nodeOfImage,
		async handler({ context, params, headers, body }) {
			const image = find(context, "image", params.id);
			if (image.phase !== "uploading")
				throw new AppError("wrong-state", `The image is ${image.phase}; it takes no upload.`);
			const service = nodeServiceFor(context, workerOfImage(context.services.store, image));
			const offset = headers["upload-offset"];
			const written = service.writeImageContent(image.id, offset, body);
			return ok(await (offset === 0 ? withBeginRecorded(context, image, written) : written));
		},
	}),
	route({
		operationId: "imageUploadStatus",
		method: "GET",
		path: "/v1/images/{id}/upload",
		summary: "How much of an upload is there",
		tag,
		params: idParams,
		responses: { 200: UploadStatus },
		at({ services, params }) {
			const image = find({ services }, "image", params.id);
			return image.phase === "uploading" ? workerOfImage(services.store, image) : null;
		},
		async handler({ context, params }) {
			const image = find(context, "image", params.id);
			const receivedBytes =
				image.phase === "uploading"
					? await nodeServiceFor(context, workerOfImage(context.services.store, image)).imageUploadOffset(image.id)
					: image.receivedBytes;
			return ok({ receivedBytes, fileSizeBytes: image.fileSizeBytes });
		},
	}),
	route({
		operationId: "imageContentGet",
		method: "GET",
		path: "/v1/images/{id}/content",
		summary: "Download an image",
		tag,
		params: idParams,
		responses: { 200: { contentType: "application/octet-stream", description: "The file as it is stored" } },
		longLived: true,
		at: nodeOfImage,
		async handler({ context, params }) {
			const image = find(context, "image", params.id);
			if (image.phase !== "ready") throw new AppError("wrong-state", `The image is ${image.phase}, not ready.`);
			const { sizeBytes, stream } = await nodeServiceFor(
				context,
				workerOfImage(context.services.store, image),
			).openImage(image.id);
			const headers = { downloadName: `${image.name}.${image.format}`, contentLength: sizeBytes };
			return ok(stream, headers);
		},
	}),
];

/** The parts of an upload are one change: its beginning, taken or not, is what the audit has of it. */
async function withBeginRecorded<T>(context: RequestContext, image: Image, first: Promise<T>): Promise<T> {
	const { operation, remoteAddress, services } = context;
	const record = (errorCode: string | null) =>
		services.auth.recordUse({
			...{ identity: context.caller(), operation, remoteAddress, errorCode },
			...{ outcome: errorCode === null ? "accepted" : "rejected", targets: [refTo("image", image)] },
		});
	try {
		const result = await first;
		await record(null);
		return result;
	} catch (error) {
		await record(toAppError(error).code);
		throw error;
	}
}
