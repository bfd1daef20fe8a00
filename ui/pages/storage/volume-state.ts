/**
 * The state of a volume as people see it. Pending is two things: a task is about to make it; or its making with a VM was
 * called off, and it waits for the VM's next start, which may be never.
 */
import { live } from "../../api/live/live.ts";
import { runningTasks } from "../../api/tasks.ts";
import type { Task, Volume } from "../../api/types.ts";
import type { VolumeState } from "../../components/states.ts";

/** `unfinished`: null while the tasks are not known. Pure. */
export function volumeStateOf(
	{ id, phase, vmId }: Pick<Volume, "id" | "phase" | "vmId">,
	unfinished: readonly Pick<Task, "targets">[] | null,
): VolumeState {
	if (phase !== "pending" || vmId === null || unfinished === null) return phase;
	const about = unfinished.some(({ targets }) => targets.some((target) => target.id === id || target.id === vmId));
	return about ? phase : "unmade";
}

/** Follows the tasks in whatever renders it. */
export const volumeState = (volume: Volume): VolumeState =>
	volumeStateOf(volume, live.task.state.value === "ready" ? runningTasks.value : null);
