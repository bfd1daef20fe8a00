/** Tasks: pending → running → one of the ends. An end is final. */
import { AppError } from "../../lib/errors.ts";
import { endsWithoutNode, isLost } from "../../model/lost-node.ts";
import { isFinished, Task } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";

export const taskHandlers: Handlers<"taskUpdate" | "taskCancel"> = {
	taskUpdate(context, { kind: _kind, id, ...changes }) {
		const task = context.need("task", id);
		if (isFinished(task.state)) throw new AppError("wrong-state", `The task has ended: it ${ended(task.state)}.`);
		if (task.state === "running" && changes.state === "pending")
			throw new AppError("wrong-state", "The task is running; it does not become pending again.");
		const finished = isFinished(changes.state);
		const after: Task = {
			...task,
			...changes,
			startedAt: task.startedAt ?? (changes.state === "pending" ? null : context.time),
			finishedAt: finished ? context.time : null,
			...(finished ? { cancelable: false } : {}),
			...(changes.state === "succeeded" ? { progress: 100, error: null } : {}),
		};
		if (after.state === "failed" && after.error === null) throw new AppError("invalid", "A task that failed says why.");
		context.update("task", task, validated(Task, after, "The task"));
		return null;
	},

	taskCancel(context, body) {
		const task = context.need("task", body.id);
		if (isFinished(task.state)) throw new AppError("wrong-state", `The task has ended: it ${ended(task.state)}.`);
		if (body.endIfLost && endsWithoutNode(task) && endLost(context, task)) return task.id;
		if (!task.cancelable) throw new AppError("wrong-state", "This task cannot be canceled now.");
		context.update("task", task, { ...task, cancelRequested: true });
		return task.id;
	},
};

/**
 * Nobody is there to end it, and it may hold what others need: the VM of a move, the name of a network. False for a node that is heard of.
 * What is left half made there, the node itself puts in order when it is back.
 */
function endLost(context: ApplyContext, task: Task): boolean {
	const node = context.get("node", task.nodeId);
	if (node !== null && !isLost(node)) return false;
	const message = `Canceled while its node${node ? `, ${node.name},` : ""} was not heard of.`;
	const end = { finishedAt: context.time, cancelable: false };
	const canceled = { state: "canceled", error: { code: "canceled", message } } as const;
	const succeeded = { state: "succeeded", progress: 100, message: null, error: null } as const;
	context.update("task", task, { ...task, ...end, ...(hasMoved(context, task) ? succeeded : canceled) });
	return true;
}

/** All that it still had to do was to say so. */
function hasMoved(context: ApplyContext, { kind, targets, nodeId }: Task): boolean {
	const vm = targets.find((target) => target.kind === "vm");
	return kind === "vm.move" && vm !== undefined && context.get("vm", vm.id)?.nodeId === nodeId;
}

const ended = (state: Task["state"]): string => (state === "canceled" ? "was canceled" : state);
