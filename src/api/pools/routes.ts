/** Storage pools. */

import { AppError } from "../../lib/errors.ts";
import { Pool, PoolCreate, PoolPage, PoolType, PoolUpdate } from "../../model/storage.ts";
import { Task } from "../../model/task.ts";
import { firstHeard, knownPool, lostNodes } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
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
	listPage,
	newMetadata,
	newTask,
	shown,
} from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "pools" as const;

const showPool = (context: RequestContext, id: string) =>
	shown(knownPool(context.services.store, find(context, "pool", id)));

export const poolRoutes: Route[] = [
	route({
		operationId: "poolList",
		method: "GET",
		path: "/v1/pools",
		summary: "List storage pools",
		description:
			"While a node is not heard of (its status.lost), what it last said of its part is not given: that part is in error, with the reason, here and wherever pools are answered.",
		tag,
		query: listQuery(["name", "createdAt"] as const, { phase: anyOf(Pool.properties.phase), type: anyOf(PoolType) }),
		responses: { 200: PoolPage },
		handler({ context, query }) {
			const { store } = context.services;
			if (lostNodes(store).length === 0) return listed(context, "pool", query);
			const wanted = query.phase;
			// Those that are worse only because of their node are stored as what they were.
			const more = wanted?.some((phase) => phase === "degraded" || phase === "error")
				? { phase: [...new Set([...wanted, "ready", "degraded"])] }
				: {};
			const page = listPage(context, "pool", { ...query, ...more });
			const items = page.items.map((pool) => knownPool(store, pool));
			return ok({ ...page, items: items.filter(({ phase }) => wanted?.includes(phase) ?? true) });
		},
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
		handler: ({ context, params }) => showPool(context, params.id),
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
			return showPool(context, params.id);
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
