/**
 * Leave to overwrite what is on a LUN that becomes a pool. It is given by name to one task, that of making the pool, which is carried
 * out by the node that makes the volume group; nothing else keeps it, and it ends with the task (docs/decisions/0054-iscsi-lvm.md).
 */
import { AppError } from "../lib/errors.ts";
import type { Task } from "../model/task.ts";
import type { NodeContext } from "./context.ts";
import { limits } from "./limits.ts";

/** Names of what may go; none when nothing was confirmed. Fails for what was confirmed too long ago: something else may be there now. */
export function overwriteOf({ clock }: Pick<NodeContext, "clock">, { input, createdAt }: Task): string[] {
	const { overwrite } = input;
	if (!Array.isArray(overwrite)) return [];
	const names = overwrite.filter((name) => typeof name === "string");
	if (names.length > 0 && clock.nowMs() - Date.parse(createdAt) > limits.overwriteMs)
		throw new AppError(
			"timeout",
			"That what is on the LUN may go was confirmed too long ago. Nothing was changed: delete the pool and make it again.",
		);
	return names;
}
