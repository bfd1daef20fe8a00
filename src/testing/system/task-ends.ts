/**
 * How the tasks of VMs must have ended when the daemon was killed and started again, whatever it was doing: each did what
 * it was to do, or a later one made it pointless. Pure.
 */
import type { Task } from "../../model/task.ts";

type Ended = Pick<Task, "kind" | "state" | "createdAt" | "finishedAt" | "message"> & {
	targets: readonly { kind: string; id: string; name?: string | null }[];
	error: { message: string } | null;
};

const overtakers: readonly string[] = ["vm.stop", "vm.delete"];

/** One sentence for each task that ended otherwise. All have finished; `vmIds`: VMs that there are now. */
export function wrongEnds(tasks: readonly Ended[], vmIds: ReadonlySet<string>): string[] {
	const wrong: string[] = [];
	for (const task of tasks) {
		const target = task.targets.find(({ kind }) => kind === "vm");
		if (!target) continue;
		const name = `${task.kind} of ${target.name ?? target.id}`;
		const later = tasks.filter(
			(other) =>
				other !== task && other.targets.some(({ id }) => id === target.id) && other.createdAt >= task.createdAt,
		);
		const deleted = later.some(({ kind, state }) => kind === "vm.delete" && state === "succeeded");
		if (task.state === "failed") wrong.push(`${name} failed: ${task.error?.message}`);
		else if (task.state === "canceled" && !later.some(({ kind }) => overtakers.includes(kind)))
			wrong.push(`${name} was canceled (${task.message}), and nothing came after it`);
		if (task.kind === "vm.create" && vmIds.has(target.id) === deleted)
			wrong.push(`${name} ended as ${task.state}, and the VM is ${deleted ? "still" : "not"} there`);
		if (task.kind === "vm.delete" && task.state === "succeeded" && vmIds.has(target.id))
			wrong.push(`${name} succeeded, and the VM is still there`);
	}
	return wrong;
}

/** Tasks that were accepted and not finished at that moment. */
export const underWay = <T extends Pick<Task, "createdAt" | "finishedAt">>(tasks: readonly T[], atMs: number): T[] =>
	tasks.filter(
		({ createdAt, finishedAt }) => Date.parse(createdAt) <= atMs && (!finishedAt || Date.parse(finishedAt) > atMs),
	);
