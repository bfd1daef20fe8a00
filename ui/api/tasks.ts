/**
 * Tasks as people see them: what this tab has started is followed to its end (a failure is told), and finished ones
 * stay in the drawer until they are dismissed, in all tabs.
 */
import { computed, signal } from "@preact/signals";
import { readStored, writeStored } from "../lib/storage.ts";
import { isFinished } from "../lib/task-state.ts";
import { tasks as t } from "../strings/tasks.ts";
import { ensureTask, live } from "./live/live.ts";
import { toastFailureText, toastSuccess } from "./notify.ts";
import type { Task } from "./types.ts";

export const taskTitle = (task: Task): string => t.kinds[task.kind] ?? task.kind;

/** The object that the task is about: its first target. */
export const taskTarget = (task: Task) => task.targets[0] ?? null;

const keepFinishedForMs = 24 * 3600_000;
const mostDismissed = 500;

type Dismissed = { before: string; ids: string[] };
const dismissed = signal<Dismissed>(readStored("local", "tasks.dismissed", { before: "", ids: [] }));

export function startTaskStore(): void {
	window.addEventListener("storage", (event) => {
		if (event.key === "lqx.tasks.dismissed") {
			dismissed.value = readStored("local", "tasks.dismissed", { before: "", ids: [] });
		}
	});
}

const setDismissed = (value: Dismissed): void => {
	dismissed.value = value;
	writeStored("local", "tasks.dismissed", value);
};

export const dismissTask = (id: string): void =>
	setDismissed({ ...dismissed.peek(), ids: [...dismissed.peek().ids, id].slice(-mostDismissed) });

/** All that are finished now; running ones stay. */
export const dismissFinished = (): void => setDismissed({ before: new Date().toISOString(), ids: [] });

export const runningTasks = computed<readonly Task[]>(() =>
	live.task.items.value.filter(({ state }) => !isFinished(state)).sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1)),
);

/** Running first, then what finished within a day and was not dismissed, newest first. */
export const drawerTasks = computed<readonly Task[]>(() => {
	const { before, ids } = dismissed.value;
	const oldest = new Date(Date.now() - keepFinishedForMs).toISOString();
	const finished = live.task.items.value.filter(
		({ id, state, finishedAt }) =>
			isFinished(state) && finishedAt !== null && finishedAt > oldest && finishedAt > before && !ids.includes(id),
	);
	return [...runningTasks.value, ...finished.sort((a, b) => ((a.finishedAt ?? "") < (b.finishedAt ?? "") ? 1 : -1))];
});

export const failedTasks = computed<number>(() => drawerTasks.value.filter(({ state }) => state === "failed").length);

/** What could not be done at once ("Waits for the next start: …"), or was not there to be set back. */
const saysMore: readonly Task["kind"][] = ["vm.update", "vm.revert"];

const saysWhatStays: readonly Task["kind"][] = ["pool.delete", "pool.deleteOrphans"];

/** Follows a task started here: its failure is shown until read. Resolves with the finished task, or null if lost. */
export async function followTask(id: string): Promise<Task | null> {
	await ensureTask(id).catch(() => {});
	if (!live.task.peek(id)) return null;
	const finished = await new Promise<Task | null>((resolve) => {
		let stop: (() => void) | null = null;
		const done = (task: Task | null) => {
			queueMicrotask(() => stop?.());
			resolve(task);
		};
		stop = live.task.one(id).subscribe((task) => {
			if (task === undefined) done(null);
			else if (isFinished(task.state)) done(task);
		});
	});
	if (finished?.state === "failed") {
		const title = t.failure(taskTitle(finished), taskTarget(finished)?.name ?? "");
		toastFailureText(title, finished.error?.message ?? "", taskDetails(finished));
	}
	// What stays has to be read.
	if (finished?.state === "succeeded" && saysWhatStays.includes(finished.kind) && finished.message)
		toastFailureText(taskTarget(finished)?.name ?? taskTitle(finished), finished.message, taskDetails(finished));
	if (finished?.state === "succeeded" && saysMore.includes(finished.kind) && finished.message) {
		toastSuccess(`${taskTarget(finished)?.name ?? ""}: ${finished.message}`);
	}
	return finished;
}

/** Plain text for the clipboard. */
export function taskDetails(task: Task): string {
	const target = taskTarget(task);
	return [
		`${taskTitle(task)}${target ? ` ${target.name ?? target.id}` : ""}: ${task.state}`,
		task.error ? `${task.error.message} (${task.error.code})` : task.message,
		...(task.error?.fields ?? []).map(({ path, message }) => `field ${path}: ${message}`),
		`task: ${task.id} (${task.kind})`,
		target ? `object: ${target.kind} ${target.id}` : null,
		`node: ${task.nodeId}`,
		`by: ${task.requester.name}`,
		`created: ${task.createdAt}`,
		task.finishedAt ? `finished: ${task.finishedAt}` : null,
	]
		.filter((line) => line !== null)
		.join("\n");
}
