/** How far an import is that a node does by itself, with the button that calls it off. */
import { obstacleTo } from "../../api/session.ts";
import { runningTasks, taskTitle } from "../../api/tasks.ts";
import type { Image } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { ProgressBar } from "../../components/feedback.tsx";
import { Card } from "../../components/layout.tsx";
import { images as t } from "../../strings/images.ts";
import { storage } from "../../strings/storage.ts";
import { tasks } from "../../strings/tasks.ts";

export function ImportCard({ image }: { image: Image }) {
	useCollection("task");
	const task = runningTasks.value.find(
		({ kind, targets }) => kind === "image.import" && targets[0]?.kind === "image" && targets[0].id === image.id,
	);
	if (!task) return null;
	const running = task.cancelable ? null : storage.workNoCancel;
	const obstacle = obstacleTo("taskCancel") ?? (task.cancelRequested ? tasks.canceling : running);
	return (
		<Card
			title={taskTitle(task)}
			actions={
				<Button small obstacle={obstacle} onClick={() => void act(tasks.cancelFailed, "taskCancel", { id: task.id })}>
					{tasks.cancel}
				</Button>
			}
		>
			<div class="transfer">
				<ProgressBar percent={task.progress} label={t.importOf(image.name)} />
				<p class="muted" aria-live="polite">
					{task.message ?? (task.state === "pending" ? storage.workWaits : storage.workRuns)}
				</p>
			</div>
		</Card>
	);
}
