/**
 * The tasks at the foot of every page: one line when closed, a table when open. Running first with their progress;
 * finished ones stay until dismissed; a failure says why and copies its details.
 */
import { signal } from "@preact/signals";
import { ChevronDown, ChevronUp, X } from "lucide-preact";
import { connection, live } from "../api/live/live.ts";
import { obstacleTo } from "../api/session.ts";
import {
	dismissFinished,
	dismissTask,
	drawerTasks,
	failedTasks,
	runningTasks,
	taskDetails,
	taskTarget,
	taskTitle,
} from "../api/tasks.ts";
import type { Task } from "../api/types.ts";
import { act } from "../api/write.ts";
import { StateBadge } from "../components/badge.tsx";
import { Button, IconButton } from "../components/button.tsx";
import { CopyButton } from "../components/copy.tsx";
import { ProgressBar } from "../components/feedback.tsx";
import { Elapsed, RelativeTime } from "../components/relative-time.tsx";
import { RefLink } from "../components/resource-link.tsx";
import { taskLook } from "../components/states.ts";
import { isFinished } from "../lib/task-state.ts";
import { href } from "../routes.ts";
import { errors } from "../strings/errors.ts";
import { frame as frameText } from "../strings/frame.ts";
import { tasks as t } from "../strings/tasks.ts";
import "./task-bar.css";

export const tasksOpen = signal(false);

const mostShown = 60;

export function TaskBar() {
	const open = tasksOpen.value;
	const running = runningTasks.value;
	const failed = failedTasks.value;
	const latest = running[0];
	const Arrow = open ? ChevronDown : ChevronUp;
	return (
		<section class={`task-bar${open ? " task-bar--open" : ""}`} aria-label={t.title}>
			<div class="task-bar__line">
				<button
					type="button"
					class="task-bar__toggle"
					aria-expanded={open}
					aria-controls="task-drawer"
					onClick={() => {
						tasksOpen.value = !open;
					}}
				>
					<Arrow size={14} aria-hidden="true" />
					<span>{t.title}</span>
					<span class="task-bar__counts" role="status">
						{t.running(running.length)}
						{failed > 0 && <span class="task-bar__failed">{t.failed(failed)}</span>}
					</span>
				</button>
				{latest && !open && (
					<span class="task-bar__latest">
						<span class="truncate">
							{taskTitle(latest)} {taskTarget(latest)?.name ?? ""}
							{latest.message && <span class="muted"> {latest.message}</span>}
						</span>
						<ProgressBar percent={latest.progress} label={taskTitle(latest)} />
					</span>
				)}
				<span class="task-bar__end">
					{open && (
						<>
							<a href={href("tasks")}>{t.all}</a>
							<Button small kind="ghost" onClick={dismissFinished}>
								{t.dismissFinished}
							</Button>
						</>
					)}
					<ConnectionMark />
				</span>
			</div>
			{open && (
				<div id="task-drawer" class="task-bar__drawer">
					<TaskList tasks={drawerTasks.value.slice(0, mostShown)} />
				</div>
			)}
		</section>
	);
}

function ConnectionMark() {
	const { state } = connection.value;
	const word = state === "live" ? frameText.live : frameText.connecting;
	return (
		<span
			class={`task-bar__connection task-bar__connection--${state}`}
			title={state === "live" ? frameText.liveTitle : ""}
		>
			{word}
		</span>
	);
}

function TaskList({ tasks }: { tasks: readonly Task[] }) {
	if (tasks.length === 0) {
		return (
			<p class="task-bar__empty">
				{live.task.error.value?.message ?? t.empty}
				<span class="muted">{t.emptyText}</span>
			</p>
		);
	}
	return (
		<ul>
			{tasks.map((task) => (
				<TaskRow key={task.id} task={task} />
			))}
		</ul>
	);
}

function TaskRow({ task }: { task: Task }) {
	const target = taskTarget(task);
	const title = taskTitle(task);
	const finished = isFinished(task.state);
	const what = t.failure(title, target?.name ?? "");
	return (
		<li class="task-row">
			<span class="task-row__state">
				<StateBadge
					look={
						task.cancelRequested && !finished ? { tone: "blue", word: t.canceling, moving: true } : taskLook(task.state)
					}
				/>
			</span>
			<span class="task-row__title">
				<span>{title}</span>
				{target && <RefLink {...target} />}
			</span>
			<span class="task-row__progress">
				{finished ? (
					<span class={task.error ? "task-row__error" : "muted"} title={task.error?.message}>
						{task.error?.message ?? task.message}
					</span>
				) : (
					<>
						<ProgressBar percent={task.progress} label={what} />
						<span class="muted truncate">{task.message}</span>
					</>
				)}
			</span>
			<span class="task-row__who truncate" title={t.by}>
				{task.requester.name}
			</span>
			<span class="task-row__time">
				{finished ? <RelativeTime time={task.finishedAt} /> : <Elapsed since={task.startedAt ?? task.createdAt} />}
			</span>
			<span class="task-row__actions">
				{task.state === "failed" && <CopyButton text={() => taskDetails(task)} label={errors.copy} />}
				{!finished && task.cancelable && (
					<Button
						small
						label={t.cancelWhat(what)}
						obstacle={obstacleTo("taskCancel") ?? (task.cancelRequested ? t.canceling : null)}
						onClick={() => act(t.cancelFailed, "taskCancel", { id: task.id })}
					>
						{t.cancel}
					</Button>
				)}
				{finished && <IconButton small icon={X} label={t.dismiss(what)} onClick={() => dismissTask(task.id)} />}
			</span>
		</li>
	);
}
