/** What is done with a volume while it stays what it is: a move with its progress, a check, and what the last one found. */
import { obstacleTo } from "../../api/session.ts";
import { taskTitle } from "../../api/tasks.ts";
import type { Task, Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { ProgressBar } from "../../components/feedback.tsx";
import { Card, Notice } from "../../components/layout.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { storage as t } from "../../strings/storage.ts";
import { tasks } from "../../strings/tasks.ts";
import { lastCheck, workOn } from "./volume-work.ts";

export function WorkCard({ volume, onRepair }: { volume: Volume; onRepair: () => void }) {
	useCollection("task");
	const work = workOn(volume);
	if (work) return <Running task={work} />;
	const check = lastCheck(volume);
	return check ? <Checked task={check} volume={volume} onRepair={onRepair} /> : null;
}

function Running({ task }: { task: Task }) {
	const { poolId } = task.input;
	const cancel = () => void act(tasks.cancelFailed, "taskCancel", { id: task.id });
	return (
		<Card
			title={taskTitle(task)}
			actions={
				<Button
					small
					obstacle={
						obstacleTo("taskCancel") ??
						(task.cancelRequested ? tasks.canceling : task.cancelable ? null : t.workNoCancel)
					}
					onClick={cancel}
				>
					{tasks.cancel}
				</Button>
			}
		>
			<div class="volume-work">
				{task.kind === "volume.move" && typeof poolId === "string" && (
					<p>
						{t.movingTo} <ResourceLink kind="pool" id={poolId} />
					</p>
				)}
				<ProgressBar percent={task.progress} label={taskTitle(task)} />
				<p class="muted" aria-live="polite">
					{task.message ?? (task.state === "pending" ? t.workWaits : t.workRuns)}
				</p>
			</div>
		</Card>
	);
}

function Checked({ task, volume, onRepair }: { task: Task; volume: Volume; onRepair: () => void }) {
	const failed = task.state !== "succeeded";
	return (
		<Notice
			tone={failed ? "error" : "info"}
			title={failed ? t.checkNotDone : t.checkDone}
			actions={
				!failed &&
				task.input.repair !== true && (
					<Button
						small
						obstacle={obstacleTo("volumeCheck") ?? (volume.phase === "ready" ? null : t.notReady(volume.phase))}
						onClick={onRepair}
					>
						{t.checkRepair}
					</Button>
				)
			}
		>
			{failed ? (task.error?.message ?? task.message ?? t.checkCanceled) : task.message}{" "}
			{task.finishedAt !== null && (
				<span class="muted">
					<RelativeTime time={task.finishedAt} />
				</span>
			)}
		</Notice>
	);
}
