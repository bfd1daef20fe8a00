/**
 * Waiting for tasks. Verbs that start work wait for its end unless --no-wait is given, and fail when the task failed.
 * The task belongs to the node: whoever stops waiting (Ctrl-C, --timeout) does not stop it.
 */
import { delay } from "../lib/clock.ts";
import { AppError, errorCodes, isAppError } from "../lib/errors.ts";
import { formatDuration } from "../lib/units.ts";
import { isFinished, type Task } from "../model/task.ts";
import type { Cli } from "./cli.ts";
import { interrupted } from "./failure.ts";
import { fullTime } from "./format.ts";
import { duration, onUnlessOff } from "./options.ts";
import type { Field } from "./output.ts";
import { createProgress, drawsProgress } from "./progress.ts";

export const waitOptions = {
	wait: onUnlessOff("--wait", "wait until the work is done; this is the default", "do not wait until the work is done"),
	timeout: duration("--timeout <time>", "wait so long at most, for example 5m; the work then goes on"),
} as const;
export type WaitOptions = { wait: boolean; timeout: number | undefined };

/** How long one request waits at the node; shorter where somebody watches. */
const drawnWaitMs = 1000;
const plainWaitMs = 20_000;
/** A node that is restarted is waited for; its tasks go on after it. */
const outageLimitMs = 60_000;
const outageRetryMs = 1000;

export const taskIdOf = (taskLocation: string | null): string | null =>
	taskLocation === null ? null : (/\/v1\/tasks\/([^/?#]+)$/.exec(taskLocation)?.[1] ?? null);

/** "vm.start demo" */
export const taskTitle = (task: Task): string =>
	[task.kind, ...task.targets.map((target) => target.name ?? target.id)].join(" ");

/** The finished task, whatever became of it. Fails with `timeout`, `canceled` (Ctrl-C), or as requests do. */
export async function awaitTask(cli: Cli, id: string, timeoutMs: number | undefined): Promise<Task> {
	const { clock } = cli.io;
	const startedMs = clock.monotonicMs();
	const leftMs = () =>
		timeoutMs === undefined ? Number.POSITIVE_INFINITY : timeoutMs - (clock.monotonicMs() - startedMs);
	const stepMs = drawsProgress(cli) ? drawnWaitMs : plainWaitMs;
	const first = (await read(cli, id, 0)).body;
	const progress = createProgress(cli, taskTitle(first));
	let task = first;
	try {
		while (!isFinished(task.state)) {
			if (leftMs() <= 0)
				throw new AppError("timeout", `The task is not finished after ${formatDuration(timeoutMs ?? 0)}; it goes on.`, {
					context: { taskId: id, hint: waitHint(id) },
				});
			await progress.show(task.progress, task.message ?? (task.state === "pending" ? "waiting for its turn" : null));
			task = await next(cli, id, Math.ceil(Math.min(stepMs, leftMs())));
		}
		return task;
	} catch (error) {
		if (cli.interrupt.aborted) throw interrupted(`Interrupted. The task goes on; ${waitHint(id)}`);
		throw error;
	} finally {
		await progress.clear();
	}
}

const waitHint = (id: string): string => `to wait for it again: limiquantix task wait ${id}`;

const read = (cli: Cli, id: string, waitMs: number) => cli.call("taskGet", { path: { id }, query: { waitMs } });

/** One look, with patience for a node that is away for a moment. */
async function next(cli: Cli, id: string, waitMs: number): Promise<Task> {
	const { clock } = cli.io;
	const startedMs = clock.monotonicMs();
	while (true) {
		try {
			return (await read(cli, id, waitMs)).body;
		} catch (error) {
			const away = isAppError(error, "unavailable") || isAppError(error, "timeout");
			if (!away || clock.monotonicMs() - startedMs > outageLimitMs) throw error;
			await delay(clock, error.retryAfterMs ?? outageRetryMs, cli.interrupt);
		}
	}
}

/** Fails when the task did not succeed; the error carries the task's own. */
export function mustHaveSucceeded(task: Task): Task {
	if (task.state === "succeeded") return task;
	const context = { taskId: task.id };
	const title = taskTitle(task);
	if (task.state === "canceled") throw new AppError("canceled", `${title} was canceled.`, { context });
	const { code, message, fields } = task.error ?? { code: "internal", message: "no reason is known", fields: [] };
	const known = errorCodes.find((one) => one === code) ?? "internal";
	throw new AppError(known, `${title} failed: ${message}`, { context, ...(fields ? { fields } : {}) });
}

/**
 * Ends a verb that started a task and made nothing: waits, and shows the task. One that is over already is not asked for: what was
 * done without a quorum is in no state that could be read (api/vms/actions.ts).
 */
export async function finishTask(cli: Cli, task: Task, options: WaitOptions): Promise<Task> {
	const isOver = isFinished(task.state);
	const shown = options.wait && !isOver ? await awaitTask(cli, task.id, options.timeout) : task;
	if (options.wait || isOver) mustHaveSucceeded(shown);
	if (isOver && shown.message !== null) await cli.note(shown.message);
	const quietId = options.wait ? (shown.targets[0]?.id ?? shown.id) : shown.id;
	if (!cli.output.forPeople) await cli.output.object(shown, taskFields(cli, shown), quietId);
	else if (options.wait || isOver) await cli.output.say(`${taskTitle(shown)}: done${took(shown)}`);
	else await cli.output.say(`${taskTitle(shown)}: started, ${waitHint(shown.id)}`);
	return shown;
}

function took(task: Task): string {
	if (task.startedAt === null || task.finishedAt === null) return "";
	return ` (${formatDuration(Date.parse(task.finishedAt) - Date.parse(task.startedAt))})`;
}

/**
 * Ends a verb that made or changed an object: waits for the task behind it, if there is one, and answers with the
 * object as it is then.
 */
export async function finishObject<T>(
	cli: Cli,
	result: { body: T; taskLocation: string | null },
	options: WaitOptions,
	again: () => Promise<{ body: T }>,
): Promise<T> {
	const taskId = taskIdOf(result.taskLocation);
	if (taskId === null) return result.body;
	if (!options.wait) {
		await cli.note(`The work goes on; ${waitHint(taskId)}`);
		return result.body;
	}
	mustHaveSucceeded(await awaitTask(cli, taskId, options.timeout));
	return (await again()).body;
}

export function taskFields(cli: Cli, task: Task): Field[] {
	const now = cli.io.clock.nowMs();
	return [
		["id", task.id],
		["kind", task.kind],
		["state", task.state],
		["progress", task.progress === null ? null : `${Math.floor(task.progress)} %`],
		["message", task.message],
		...task.targets.map(({ kind, id, name }): Field => ["target", `${kind} ${name ?? ""} ${id}`.replace("  ", " ")]),
		["requested by", `${task.requester.kind} ${task.requester.name}`],
		["node", task.nodeId],
		["created", fullTime(task.createdAt, now)],
		["started", fullTime(task.startedAt, now)],
		["finished", fullTime(task.finishedAt, now)],
		["cancelable", task.cancelable],
		["error", task.error === null ? null : `${task.error.message} (${task.error.code})`],
		...(task.error?.fields ?? []).map(({ path, message }): Field => ["", `${path}: ${message}`]),
	];
}
