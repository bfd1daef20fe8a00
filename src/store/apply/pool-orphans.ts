/**
 * Content of a pool that no record names: it is deleted, or becomes a volume, and not both at the same time. Tasks of these kinds are there only
 * once all members know them ("orphan-tasks-1"), so members of before decide the same.
 */
import { AppError } from "../../lib/errors.ts";
import { deletedOrphans, snapshotsToGo } from "../../model/orphan-tasks.ts";
import { PoolOrphanDelete } from "../../model/pool-orphan.ts";
import { ErrorInfoSchema } from "../../model/schema.ts";
import type { Pool, Volume } from "../../model/storage.ts";
import { isShared } from "../../model/storage-rules.ts";
import { Task } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import { createTask, endTasksOf, unfinishedTasks } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { checkPoolUsable } from "./pool.ts";

export const poolOrphanHandlers: Handlers<"poolOrphanDelete" | "volumeUnadopt"> = {
	poolOrphanDelete(context, body) {
		context.need("pool", body.id);
		const { volumeIds, imageIds } = body;
		const input = validated(PoolOrphanDelete, { volumeIds, imageIds }, "What is to be deleted");
		const chosen = [...volumeIds, ...imageIds];
		if (chosen.length === 0) throw new AppError("invalid", "Nothing was chosen to be deleted.");
		const pool = checkPoolUsable(context, body.id, body.task.nodeId);
		for (const id of chosen) checkStays(context, id, { pool, nodeId: body.task.nodeId });
		return createTask(context, { ...body.task, input }, ["pool.deleteOrphans"]);
	},

	volumeUnadopt(context, body) {
		const volume = context.need("volume", body.id);
		const task = unfinishedTasks(context, volume.id).find(({ id }) => id === body.taskId);
		if (!task || snapshotsToGo(task).length === 0 || volume.phase !== "pending")
			throw new AppError("wrong-state", `The volume ${volume.name} is not being adopted.`);
		const error = validated(ErrorInfoSchema, body.error, "The error");
		const state = error.code === "canceled" ? ("canceled" as const) : ("failed" as const);
		const end = { state, finishedAt: context.time, cancelable: false, error };
		context.update("task", task, validated(Task, { ...task, ...end }, "The task"));
		endTasksOf(context, volume.id, "volume.create", "volume");
		context.remove("volume", volume);
		return null;
	},
};

/** For what gets a record, or comes to that part of the pool, under this id. `pool` null: whatever pool of the node. */
export function checkStays(
	context: ApplyContext,
	id: string,
	{ pool, nodeId }: { pool: Pool | null; nodeId: string | null },
): void {
	const isThere = (task: Task) =>
		(pool === null || task.targets.some((target) => target.id === pool.id)) &&
		((pool !== null && isShared(pool)) || task.nodeId === nodeId);
	const going = context.state.unfinishedTasksOfKind("pool.deleteOrphans").filter(isThere).map(deletedOrphans);
	if (going.some(({ volumeIds, imageIds }) => volumeIds.includes(id) || imageIds.includes(id)))
		throw new AppError(
			"wrong-state",
			`What lies in the storage pool under the id ${id} is being deleted. Wait for that, or cancel it.`,
		);
}

/** What a person may not do yet with the volume. */
export function checkNotAdopting(context: ApplyContext, { id, name }: Pick<Volume, "id" | "name">): void {
	if (unfinishedTasks(context, id).some((task) => snapshotsToGo(task).length > 0))
		throw new AppError("wrong-state", `The volume ${name} is being adopted: snapshots of it are being deleted.`);
}
