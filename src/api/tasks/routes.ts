/** Tasks: work that takes time. */

import { Type } from "@sinclair/typebox";
import { AppError } from "../../lib/errors.ts";
import { endsWithoutNode, isLost } from "../../model/lost-node.ts";
import { Strict } from "../../model/schema.ts";
import { isFinished, Task, TaskKind, TaskPage, TaskState } from "../../model/task.ts";
import { knownTask, lostNodes } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { anyOf, idParams, listQuery } from "../parameters.ts";
import { ok, taken } from "../reply.ts";
import { find, listed, listPage, shownTask, waitForTask } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "tasks" as const;

export const taskRoutes: Route[] = [
	route({
		operationId: "taskList",
		method: "GET",
		path: "/v1/tasks",
		summary: "List tasks, newest first",
		tag,
		query: listQuery(["createdAt"] as const, {
			state: anyOf(TaskState),
			kind: anyOf(TaskKind),
			targetId: anyOf(Type.String({ maxLength: 64 }), "Tasks that work on these objects"),
		}),
		responses: { 200: TaskPage },
		handler({ context, query }) {
			const { store } = context.services;
			if (lostNodes(store).length === 0) return listed(context, "task", query);
			const page = listPage(context, "task", query);
			return ok({ ...page, items: page.items.map((task) => knownTask(store, task)) });
		},
	}),
	route({
		operationId: "taskGet",
		method: "GET",
		path: "/v1/tasks/{id}",
		summary: "Get a task",
		tag,
		params: idParams,
		query: Strict({
			waitMs: Type.Optional(
				Type.Integer({
					minimum: 0,
					maximum: 30_000,
					description: "Answer when the task is finished, or after so long with its state then",
				}),
			),
		}),
		responses: { 200: Task },
		handler: async ({ context, params, query }) => ok(await waitForTask(context, params.id, query.waitMs ?? 0)),
	}),
	route({
		operationId: "taskCancel",
		method: "POST",
		path: "/v1/tasks/{id}/actions/cancel",
		summary: "Ask a task to stop",
		description:
			"Its node undoes what was done, and ends it. While nobody hears from that node it is ended at once, whatever it says of itself: what it held is free, and the node cleans up when it is back.",
		tag,
		params: idParams,
		responses: { 202: Task },
		idempotent: true,
		async handler({ context, params }) {
			await context.mutate(() => {
				const task = find(context, "task", params.id);
				if (isFinished(task.state)) throw new AppError("wrong-state", `The task is ${task.state} already.`);
				const endIfLost = mayEndAlone(context, task);
				if (!task.cancelable && !endIfLost) throw new AppError("wrong-state", "This task cannot be canceled now.");
				return { kind: "taskCancel", id: task.id, ...(endIfLost ? { endIfLost: true as const } : {}) };
			});
			const location = `/v1/tasks/${params.id}`;
			const headers = { location, taskLocation: location };
			return taken(shownTask(context, params.id), headers);
		},
	}),
];

/** Nobody is there to end it. Decided again where the command applies: the node may be back by then. */
function mayEndAlone({ services }: RequestContext, task: Task): boolean {
	const node = services.store.get("node", task.nodeId);
	const lost = node === null || isLost(node);
	return lost && endsWithoutNode(task) && services.cluster.everybodyHas("cancel-lost-1");
}
