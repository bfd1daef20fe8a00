/** What handlers of all resources do alike: find, list, create, start work. */

import { toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Page, ResourceRef } from "../model/schema.ts";
import { isFinished, type Task, type TaskKind } from "../model/task.ts";
import type { CommandBody } from "../store/command.ts";
import type { Applied, ListQuery, TableName, Tables } from "../store/store.ts";
import { knownTask } from "./as-known.ts";
import type { RequestContext } from "./context.ts";
import { defaultPageSize } from "./parameters.ts";
import { made, ok, taken } from "./reply.ts";
import { JsonText } from "./route.ts";

const nouns: Record<TableName, string> = {
	cluster: "cluster",
	node: "node",
	vm: "VM",
	volume: "volume",
	snapshot: "snapshot",
	pool: "storage pool",
	image: "image",
	network: "network",
	task: "task",
	user: "user",
	session: "session",
	token: "token",
	joinToken: "join token",
	audit: "audit record",
};

/** The object, or `not-found`. */
export function find<T extends TableName>(
	{ services }: Pick<RequestContext, "services">,
	table: T,
	id: string,
): Tables[T] {
	const object = services.store.get(table, id);
	if (object === null) throw new AppError("not-found", `There is no ${nouns[table]} with the id ${id}.`);
	return object;
}

/** As `find`, and its generation is the one that the request expects (If-Match). */
export function findForWrite<T extends TableName>(context: RequestContext, table: T, id: string): Tables[T] {
	const object = find(context, table, id);
	const expected = context.expectedGeneration;
	if (expected !== undefined && "generation" in object && object.generation !== expected)
		throw new AppError("stale-etag", `The ${nouns[table]} has changed: its generation is ${object.generation}.`);
	return object;
}

/** The one cluster; `unavailable` before it is made. */
export function theCluster(context: RequestContext): Tables["cluster"] {
	const [cluster] = context.services.store.all("cluster");
	if (!cluster) throw new AppError("unavailable", "The cluster is not set up yet.", { retryAfterMs: 1000 });
	return cluster;
}

type ListParameters = { limit?: number; pageToken?: string; sort?: string; search?: string };

/** One page; whatever is no paging parameter is a filter. `fixed` filters cannot be overridden. */
export function listPage<T extends TableName>(
	context: RequestContext,
	table: T,
	query: ListParameters & Record<string, unknown>,
	fixed: NonNullable<ListQuery["filter"]> = {},
) {
	return context.services.store.list(table, queryOf(query, fixed));
}

/** 200 with such a page as it is stored: a hundred objects are neither parsed nor written again. */
export function listed<T extends TableName>(
	context: RequestContext,
	table: T,
	query: ListParameters & Record<string, unknown>,
	fixed: NonNullable<ListQuery["filter"]> = {},
) {
	const { itemsJson, nextPageToken } = context.services.store.listJson(table, queryOf(query, fixed));
	const page = `{"items":${itemsJson},"nextPageToken":${JSON.stringify(nextPageToken)}}`;
	return ok(new JsonText<Page<Tables[T]>>(page));
}

function queryOf(
	{ limit, pageToken, sort, search, ...filters }: ListParameters & Record<string, unknown>,
	fixed: NonNullable<ListQuery["filter"]>,
): ListQuery {
	return {
		limit: limit ?? defaultPageSize,
		filter: { ...(filters as NonNullable<ListQuery["filter"]>), ...fixed },
		...(pageToken === undefined ? {} : { pageToken }),
		...(sort === undefined ? {} : { sort }),
		...(search === undefined ? {} : { search }),
	};
}

/** 200 with the object and its ETag. */
export const shown = <T extends { generation: number }>(object: T) => ok(object, { etag: object.generation });

const maxRebases = 5;

/**
 * `mutate`, for plans that merge a change into the object as it is and insist on that generation: when somebody else
 * was quicker, and the client did not ask for a certain generation itself, the change is planned again.
 */
export async function mutateRebased(
	context: RequestContext,
	plan: () => CommandBody | Promise<CommandBody>,
): Promise<Applied> {
	for (let attempt = 1; ; attempt++) {
		try {
			return await context.mutate(plan);
		} catch (error) {
			const again = isAppError(error, "stale-etag") && context.expectedGeneration === undefined;
			if (!again || attempt >= maxRebases) throw error;
		}
	}
}

/**
 * Runs a command that makes an object and reads the object back: the id is taken from what was applied, so that a
 * repeated Idempotency-Key answers with the first object.
 */
export async function create<T extends TableName>(
	context: RequestContext,
	table: T,
	plan: () => CommandBody | Promise<CommandBody>,
): Promise<{ object: Tables[T]; applied: Applied; taskLocation?: string }> {
	const applied = await mutateRebased(context, plan);
	const made = applied.targets.find((target) => target.kind === table);
	if (!made) throw new AppError("internal", "The command applied without naming what it made.");
	const object = find(context, table, made.id);
	return { object, applied, ...(applied.taskId ? { taskLocation: `/v1/tasks/${applied.taskId}` } : {}) };
}

/** 201 for what `create` made; `plural` is the path segment. */
export async function created<T extends Exclude<TableName, "task" | "audit" | "session">>(
	context: RequestContext,
	table: T,
	plan: () => CommandBody | Promise<CommandBody>,
) {
	const { object, taskLocation } = await create(context, table, plan);
	return made(object, {
		etag: object.generation,
		location: `/v1/${table}s/${object.id}`,
		...(taskLocation ? { taskLocation } : {}),
	});
}

/** 202 with the task that does the work. */
export async function accepted(context: RequestContext, plan: () => CommandBody | Promise<CommandBody>) {
	const applied = await mutateRebased(context, plan);
	if (applied.taskId === null) throw new AppError("internal", "The command applied without a task.");
	const location = `/v1/tasks/${applied.taskId}`;
	return taken(shownTask(context, applied.taskId), { location, taskLocation: location });
}

/**
 * Who does what any node can do: the node asked. A witness carries nothing out, so that with it the task would be pending for
 * ever: instead of it, one that is ready, or comes back soonest.
 */
function workingNodeId({ services: { store, node } }: RequestContext): string {
	if (store.get("node", node.nodeId)?.witness !== true) return node.nodeId;
	const others = store
		.all("node")
		.filter(({ witness, status: { phase } }) => !witness && phase !== "joining" && phase !== "left");
	const ready = others.find(({ status }) => status.phase === "ready");
	const chosen = ready ?? others.find(({ status }) => !status.lost) ?? others[0];
	if (!chosen) throw new AppError("wrong-state", "All nodes of this cluster are witnesses: they only vote.");
	return chosen.id;
}

/** The record of a task that a command carries; `pending` until its node takes it up. By default any node can do it. */
export function newTask(
	context: RequestContext,
	kind: TaskKind,
	target: ResourceRef,
	options: { nodeId?: string | null; input?: Record<string, unknown>; cancelable?: boolean; parentId?: string } = {},
): Task {
	const { clock, ids } = context.services;
	return {
		id: ids.newId(),
		kind,
		state: "pending",
		progress: null,
		message: null,
		targets: [target],
		requester: context.caller().requester,
		nodeId: options.nodeId ?? workingNodeId(context),
		parentId: options.parentId ?? null,
		createdAt: toRfc3339(clock.nowMs()),
		startedAt: null,
		finishedAt: null,
		cancelable: options.cancelable ?? false,
		cancelRequested: false,
		error: null,
		input: options.input ?? {},
	};
}

/** id, generation and times of a new object. */
export function newMetadata(context: RequestContext) {
	const now = toRfc3339(context.services.clock.nowMs());
	return { id: context.services.ids.newId(), generation: 1, createdAt: now, updatedAt: now };
}

/** `expectedGeneration` for a command that takes it. */
export const expected = (context: RequestContext): { expectedGeneration?: number } =>
	context.expectedGeneration === undefined ? {} : { expectedGeneration: context.expectedGeneration };

/** The node of a nodeQuery, as a route's `at`; `not-found` for one that is not there. */
export const nodeOfQuery = ({
	services,
	query,
}: {
	services: RequestContext["services"];
	query: { nodeId?: string };
}) => (query.nodeId === undefined ? null : find({ services }, "node", query.nodeId).id);

/** This node's service, for an object of this node: the route's `at` has seen to that. It may have moved a moment ago. */
export function nodeServiceFor(context: RequestContext, nodeId: string | null) {
	const { node } = context.services;
	if (nodeId !== null && nodeId !== node.nodeId)
		throw new AppError("unavailable", "It is on another node now. Try again.", { retryAfterMs: 1000 });
	return node;
}

/** The task when it is finished, or as it is after `limitMs`. */
export async function waitForTask(context: RequestContext, id: string, limitMs: number): Promise<Task> {
	const first = shownTask(context, id);
	if (isFinished(first.state) || limitMs <= 0) return first;
	const { credentialEnded, request, services } = context;
	await services.taskWaits.wait(id, limitMs, AbortSignal.any([request.signal, credentialEnded]));
	credentialEnded.throwIfAborted();
	return shownTask(context, id);
}

/** The task, with what it waits for. */
export const shownTask = (context: Pick<RequestContext, "services">, id: string): Task =>
	knownTask(context.services.store, find(context, "task", id));
