/** The last tasks, of everybody. */
import { live } from "../../api/live/live.ts";
import { taskTarget, taskTitle } from "../../api/tasks.ts";
import { useCollection } from "../../api/use.ts";
import { StateBadge } from "../../components/badge.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Card } from "../../components/layout.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { taskLook } from "../../components/states.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { overview as t } from "../../strings/overview.ts";

const mostShown = 8;

export function RecentTasks() {
	const tasks = useCollection("task");
	const newest = [...live.task.items.value].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1)).slice(0, mostShown);
	return (
		<Card title={t.recentTasks} flush actions={<a href={href("tasks")}>{common.viewAll}</a>}>
			{tasks.state.value !== "ready" ? (
				<div class="card__body">
					<Skeleton />
				</div>
			) : newest.length === 0 ? (
				<p class="card__body muted">{t.noTasks}</p>
			) : (
				<ul class="recent-tasks">
					{newest.map((task) => {
						const target = taskTarget(task);
						return (
							<li key={task.id}>
								<StateBadge look={taskLook(task.state)} note={task.error?.message ?? task.message} />
								<span class="recent-tasks__what">
									{taskTitle(task)} {target && <RefLink {...target} />}
								</span>
								<span class="muted recent-tasks__who">{task.requester.name}</span>
								<span class="muted">
									<RelativeTime time={task.createdAt} />
								</span>
							</li>
						);
					})}
				</ul>
			)}
		</Card>
	);
}
