/** Storage pools. */

import { AppError } from "../../lib/errors.ts";
import { Pool, PoolCreate, PoolPage, PoolType, PoolUpdate } from "../../model/storage.ts";
import { Task } from "../../model/task.ts";
import { firstHeard } from "../as-known.ts";
import { checkHostPath } from "../host-path.ts";
import { anyOf, idParams, listQuery } from "../parameters.ts";
import { refTo } from "../refs.ts";
import { accepted, created, expected, find, findForWrite, listed, newMetadata, newTask, shown } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "pools" as const;

export const poolRoutes: Route[] = [
	route({
		operationId: "poolList",
		method: "GET",
		path: "/v1/pools",
		summary: "List storage pools",
		tag,
		query: listQuery(["name", "createdAt"] as const, { phase: anyOf(Pool.properties.phase), type: anyOf(PoolType) }),
		responses: { 200: PoolPage },
		handler: ({ context, query }) => listed(context, "pool", query),
	}),
	route({
		operationId: "poolCreate",
		method: "POST",
		path: "/v1/pools",
		summary: "Create a storage pool",
		description: "The folder is made when it is not there. It must not be one that the system or LimiQuantix uses.",
		tag,
		body: PoolCreate,
		responses: { 201: Pool },
		idempotent: true,
		handler: ({ context, body }) =>
			created(context, "pool", () => {
				const { store, node, dataDir } = context.services;
				const path = checkHostPath(body.config.path, "/config/path", { dataDir, use: "pool" });
				const nodeIds = body.nodeIds ?? [node.nodeId];
				for (const [index, nodeId] of nodeIds.entries())
					if (!store.get("node", nodeId) || nodeIds.indexOf(nodeId) !== index)
						throw new AppError("invalid", "The storage pool cannot be made: there is no such node.", {
							fields: [{ path: `/nodeIds/${index}`, message: "There is no such node, or it is named twice." }],
						});
				const pool: Pool = {
					...newMetadata(context),
					name: body.name,
					description: body.description ?? "",
					type: body.type,
					config: { path },
					nodeIds,
					phase: "pending",
					nodes: [],
				};
				const task = newTask(context, "pool.create", refTo("pool", pool), { nodeId: firstHeard(store, nodeIds) });
				return { kind: "poolCreate", pool, task };
			}),
	}),
	route({
		operationId: "poolGet",
		method: "GET",
		path: "/v1/pools/{id}",
		summary: "Get a storage pool",
		tag,
		params: idParams,
		responses: { 200: Pool },
		handler: ({ context, params }) => shown(find(context, "pool", params.id)),
	}),
	route({
		operationId: "poolUpdate",
		method: "PATCH",
		path: "/v1/pools/{id}",
		summary: "Change name or description of a storage pool",
		tag,
		params: idParams,
		body: PoolUpdate,
		responses: { 200: Pool },
		ifMatch: true,
		async handler({ context, params, body }) {
			await context.mutate(() => ({ kind: "poolUpdate", id: params.id, ...body, ...expected(context) }));
			return shown(find(context, "pool", params.id));
		},
	}),
	route({
		operationId: "poolDelete",
		method: "DELETE",
		path: "/v1/pools/{id}",
		summary: "Delete a storage pool",
		description: "Refused while volumes or images are in it.",
		tag,
		params: idParams,
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const pool = findForWrite(context, "pool", params.id);
				const nodeId = firstHeard(context.services.store, pool.nodeIds);
				return {
					kind: "poolDelete",
					id: pool.id,
					task: newTask(context, "pool.delete", refTo("pool", pool), { nodeId }),
				};
			}),
	}),
];
