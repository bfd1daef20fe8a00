/** Work on a volume that goes on while it is ready: moving it to another pool, checking it, making a copy independent. Said by its task. */
import { live } from "../../api/live/live.ts";
import { runningTasks } from "../../api/tasks.ts";
import type { Task, Volume } from "../../api/types.ts";
import { storage as t } from "../../strings/storage.ts";

const isAbout = ({ targets }: Pick<Task, "targets">, volumeId: string): boolean =>
	targets[0]?.kind === "volume" && targets[0].id === volumeId;

/** Follows the tasks in whatever renders it. */
export const workOn = ({ id }: Volume): Task | undefined =>
	runningTasks.value.find(({ kind, ...task }) => kind in workTexts && isAbout(task, id));

const workTexts: Partial<Record<Task["kind"], string>> = {
	"volume.move": t.isMoving,
	"volume.check": t.isChecking,
	"volume.flatten": t.isFlattening,
};

/** The newest check that has ended, as long as its task is known. */
export const lastCheck = ({ id }: Volume): Task | undefined =>
	live.task.items.value
		.filter((task) => task.kind === "volume.check" && task.finishedAt !== null && isAbout(task, id))
		.reduce<Task | undefined>((one, other) => ((one?.createdAt ?? "") > other.createdAt ? one : other), undefined);

/** Why other work has to wait. */
export function workObstacle(volume: Volume): string | null {
	const work = workOn(volume);
	return work ? workText([work], volume.id) : null;
}

/** What the first of the tasks that is such work does with the volume. */
export function workText(tasks: readonly Task[], volumeId: string): string | null {
	const work = tasks.find((task) => task.kind in workTexts && isAbout(task, volumeId));
	return (work && workTexts[work.kind]) ?? null;
}
