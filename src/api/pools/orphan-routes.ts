/** What is in a pool and in no record, and the other way round; and what can be done about it. */
import type { Static } from "@sinclair/typebox";
import { PoolOrphanList } from "../../model/api.ts";
import { PoolOrphanAdopt, PoolOrphanDelete, PoolOrphansDeleted } from "../../model/pool-orphan.ts";
import { Volume } from "../../model/storage.ts";
import { isShared } from "../../model/storage-rules.ts";
import { ofAllNodes } from "../all-nodes.ts";
import { freeingSources } from "../freeing-sources.ts";
import { idParams, nodeQuery } from "../parameters.ts";
import { recorded } from "../recorded.ts";
import { refTo } from "../refs.ts";
import { ok } from "../reply.ts";
import { created, find, newMetadata, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { at, atOne, checkOneNode } from "./part.ts";
import { checkAdoptable } from "./plan-adopt.ts";

const tag = "pools" as const;

const listRoute: Route = route({
	operationId: "poolOrphanList",
	method: "GET",
	path: "/v1/pools/{id}/orphans",
	summary: "What is in a storage pool and in no record, and records without content",
	description:
		"What is being made, moved or deleted is not among it. Of one node, or of all that answer when each has its own part of the pool: `unanswered` names the others.",
	tag,
	params: idParams,
	query: nodeQuery("Default: all nodes"),
	responses: { 200: PoolOrphanList },
	longLived: true,
	at,
	async handler({ context, params, query }) {
		const pool = find(context, "pool", params.id);
		const own = () => context.services.node.poolOrphans(pool.id);
		if (isShared(pool) || query.nodeId !== undefined || context.passedOn) return ok({ items: await own() });
		const isOf = (item: Static<typeof PoolOrphanList>["items"][number], nodeId: string) => item.nodeId === nodeId;
		return ok(await ofAllNodes(context, { route: listRoute, params, answer: PoolOrphanList, own, isOf }));
	},
});

export const poolOrphanRoutes: Route[] = [
	listRoute,
	route({
		operationId: "poolOrphanDelete",
		method: "POST",
		path: "/v1/pools/{id}/orphans/actions/delete",
		summary: "Delete content of a storage pool that is in no record",
		description: "Only what is in no record when it is deleted; the answer names what was kept, and why.",
		tag,
		params: idParams,
		query: nodeQuery("Whose part of the pool, when each node has its own"),
		body: PoolOrphanDelete,
		responses: { 200: PoolOrphansDeleted },
		longLived: true,
		direct: true,
		at: atOne,
		async handler({ context, params, query, body }) {
			const pool = find(context, "pool", params.id);
			checkOneNode(context, pool, query.nodeId);
			const targets = [
				refTo("pool", pool),
				...body.volumeIds.map((id) => ({ kind: "volume" as const, id, name: null })),
				...body.imageIds.map((id) => ({ kind: "image" as const, id, name: null })),
			];
			return ok(await recorded(context, targets, () => context.services.node.deleteOrphans(pool.id, body)));
		},
	}),
	route({
		operationId: "poolOrphanAdopt",
		method: "POST",
		path: "/v1/pools/{id}/orphans/actions/adopt",
		summary: "Make a volume of content that is in no record",
		description:
			"Thick where it was made so. Snapshots of it that are in no record are deleted, or kept, as is said: deleted when nothing else is in the way of the volume.",
		tag,
		params: idParams,
		query: nodeQuery("Whose part of the pool, when each node has its own"),
		body: PoolOrphanAdopt,
		responses: { 201: Volume },
		idempotent: true,
		longLived: true,
		at: atOne,
		async handler({ context, params, query, body: { volumeId, name, snapshots } }) {
			const pool = find(context, "pool", params.id);
			checkOneNode(context, pool, query.nodeId);
			const { node } = context.services;
			return created(context, "volume", async () => {
				const look = () => node.orphanVolume(pool.id, volumeId, snapshots);
				let { volume: found, snapshotIds } = await look();
				checkAdoptable(context, pool, name, found);
				if (snapshots === "delete" && snapshotIds.length > 0) {
					const gone = snapshotIds.map((id) => ({ kind: "snapshot" as const, id, name: null }));
					const targets = [refTo("pool", pool), { kind: "volume" as const, id: volumeId, name }, ...gone];
					await recorded(context, targets, () => node.deleteOrphanSnapshots(pool.id, volumeId));
					found = (await look()).volume;
				}
				const volume: Volume = {
					...newMetadata(context),
					...found,
					...{ id: volumeId, name, poolId: pool.id, nodeId: isShared(pool) ? null : node.nodeId },
					...{ phase: "pending", vmId: null, error: null },
				};
				const task = newTask(context, "volume.create", refTo("volume", volume), { nodeId: node.nodeId });
				return { kind: "volumeCreate", volume, task, ...freeingSources(context) };
			});
		},
	}),
];
