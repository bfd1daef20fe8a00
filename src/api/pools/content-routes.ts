/** What really lies in a pool, ours or not: a look, folder by folder. */
import { Type } from "@sinclair/typebox";
import { PoolContent } from "../../model/pool-content.ts";
import { Strict } from "../../model/schema.ts";
import { idParams, nodeQuery } from "../parameters.ts";
import { ok } from "../reply.ts";
import { find } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { atOne, checkOneNode } from "./part.ts";

export const poolContentRoutes: Route[] = [
	route({
		operationId: "poolContentList",
		method: "GET",
		path: "/v1/pools/{id}/content",
		summary: "What lies in a folder of a storage pool, and whose it is",
		description:
			"Files and folders, images of RBD or logical volumes, as the node finds them now; links are not followed. At most 10,000: `truncated` says that there is more.",
		tag: "pools",
		params: idParams,
		query: Strict({
			folder: Type.Optional(
				Type.String({ maxLength: 4096, description: "Below the top of the pool, without '..'; default: the top" }),
			),
			...nodeQuery("Whose part of the pool, when each node has its own").properties,
		}),
		responses: { 200: PoolContent },
		longLived: true,
		at: atOne,
		async handler({ context, params, query }) {
			const pool = find(context, "pool", params.id);
			checkOneNode(context, pool, query.nodeId);
			return ok(await context.services.node.poolContent(pool.id, query.folder ?? ""));
		},
	}),
];
