/** What is in a pool and in no record, and the other way round; and what can be done about it. */
import type { Static } from "@sinclair/typebox";
import { PoolOrphanList } from "../../model/api.ts";
import { PoolOrphanAdopt, PoolOrphanDelete } from "../../model/pool-orphan.ts";
import { Volume } from "../../model/storage.ts";
import { isShared } from "../../model/storage-rules.ts";
import { Task } from "../../model/task.ts";
import { ofAllNodes } from "../all-nodes.ts";
import { checkHeard } from "../as-known.ts";
import { freeingSources } from "../freeing-sources.ts";
import { idParams, nodeQuery } from "../parameters.ts";
import { refTo } from "../refs.ts";
import { ok } from "../reply.ts";
import { accepted, created, find, newMetadata, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { at, atOne, checkOneNode, workerOf } from "./part.ts";
import { checkEverybodyHas, checkEverybodyProvisions } from "./plan-pool.ts";

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
		description:
			"By a task, one after the other: only what is in no record when its turn comes. What was kept, and why, is the message of the task, or its error when that was all of it. To call it off, cancel the task; what it was at is gone then, or is as it was.",
		tag,
		params: idParams,
		query: nodeQuery("Whose part of the pool, when each node has its own"),
		body: PoolOrphanDelete,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, query, body }) =>
			accepted(context, () => {
				checkEverybodyHas(context, "orphan-tasks-1");
				const pool = find(context, "pool", params.id);
				const nodeId = workerOf(context, pool, query.nodeId);
				checkHeard(context, nodeId);
				const options = { nodeId, cancelable: true, input: { ...body } };
				const task = newTask(context, "pool.deleteOrphans", refTo("pool", pool), options);
				return { kind: "poolOrphanDelete", id: pool.id, ...body, task };
			}),
	}),
	route({
		operationId: "poolOrphanAdopt",
		method: "POST",
		path: "/v1/pools/{id}/orphans/actions/adopt",
		summary: "Make a volume of content that is in no record",
		description:
			"Thick where it was made so. Snapshots of it that are in no record are deleted, or kept, as is said: deleted by the task that makes it a volume, once nothing else is in its way. It is ready when they are gone. When one of them cannot be deleted, or the task is canceled, the record goes, and what lies in the pool stays.",
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
				const { volume: found, snapshotIds } = await node.orphanVolume(pool.id, volumeId, snapshots);
				const deletes = snapshots === "delete" && snapshotIds.length > 0;
				checkEverybodyProvisions(context, [found]);
				if (deletes) checkEverybodyHas(context, "orphan-tasks-1");
				const volume: Volume = {
					...newMetadata(context),
					...found,
					...{ id: volumeId, name, poolId: pool.id, nodeId: isShared(pool) ? null : node.nodeId },
					...{ phase: "pending", vmId: null, error: null },
				};
				const options = { nodeId: node.nodeId, cancelable: deletes };
				const task = newTask(context, "volume.create", refTo("volume", volume), options);
				const going = deletes ? { snapshotIds } : {};
				return { kind: "volumeCreate", volume, task, ...going, ...freeingSources(context) };
			});
		},
	}),
];
