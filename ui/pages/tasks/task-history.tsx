/** A table of tasks read from the API page by page. */
import { ListChecks } from "lucide-preact";
import { useMemo, useState } from "preact/hooks";
import { read } from "../../api/call.ts";
import { taskDetails, taskTarget, taskTitle } from "../../api/tasks.ts";
import type { Task } from "../../api/types.ts";
import { useCollection, useQuery } from "../../api/use.ts";
import { StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { copyText } from "../../components/copy.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { taskLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { elapsed } from "../../lib/time.ts";
import { common } from "../../strings/common.ts";
import { errors } from "../../strings/errors.ts";
import { states } from "../../strings/states.ts";
import { tasks as t } from "../../strings/tasks.ts";

const pageSize = 200;

const columns: readonly Column<Task>[] = [
	{ id: "task", header: t.task, cell: taskTitle, sort: taskTitle, width: "140px", card: "title", fixed: true },
	{
		id: "state",
		header: t.state,
		cell: ({ state }) => <StateBadge look={taskLook(state)} />,
		sort: ({ state }) => state,
		width: "108px",
		card: "badge",
		fixed: true,
	},
	{
		id: "target",
		header: t.target,
		cell: (task) => {
			const target = taskTarget(task);
			return target && <RefLink {...target} />;
		},
		sort: (task) => taskTarget(task)?.name,
		width: "170px",
	},
	{
		id: "message",
		header: t.message,
		cell: ({ error, message }) => (
			<span title={error?.message ?? message ?? ""}>{error?.message ?? message ?? "–"}</span>
		),
	},
	{
		id: "by",
		header: t.by,
		cell: ({ requester }) => requester.name,
		sort: ({ requester }) => requester.name,
		width: "96px",
	},
	{
		id: "createdAt",
		header: t.started,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "112px",
	},
	{
		id: "took",
		header: t.took,
		cell: ({ startedAt, finishedAt }) => startedAt && finishedAt && elapsed(startedAt, finishedAt, 0),
		width: "92px",
		align: "end",
		card: "none",
	},
];

const filters: readonly Filter<Task>[] = [
	{
		id: "state",
		label: t.stateFilter,
		choices: Object.entries(states.task).map(([value, label]) => ({ value, label })),
		matches: ({ state }, chosen) => chosen.includes(state),
	},
	{
		id: "kind",
		label: t.kindFilter,
		choices: Object.entries(t.kinds).map(([value, label]) => ({ value, label })),
		matches: ({ kind }, chosen) => chosen.includes(kind),
	},
];

type Props = {
	name: string;
	caption: string;
	targetId?: string;
	empty: string;
	fill?: boolean;
};

export function TaskHistory({ name, caption, targetId, empty, fill }: Props) {
	const [older, setOlder] = useState<{ items: Task[]; nextPageToken: string | null } | null>(null);
	const query = { limit: pageSize, sort: "-createdAt" as const, ...(targetId ? { targetId: [targetId] } : {}) };
	const first = useQuery(targetId ?? "", (signal) => read("taskList", { query, signal }));
	const nextToken = older ? older.nextPageToken : (first.data?.nextPageToken ?? null);
	const recent = useCollection("task").items.value;
	const rows = useMemo(() => {
		// What the stream has said is newer than the list.
		const all = new Map([...(first.data?.items ?? []), ...(older?.items ?? [])].map((task) => [task.id, task]));
		for (const task of recent) {
			if (!targetId || task.targets.some(({ id }) => id === targetId)) all.set(task.id, task);
		}
		return [...all.values()];
	}, [first.data, older, recent, targetId]);
	const more = async () => {
		const page = await read("taskList", { query: { ...query, pageToken: nextToken } });
		setOlder({ items: [...(older?.items ?? []), ...page.items], nextPageToken: page.nextPageToken });
	};
	return (
		<DataTable
			name={name}
			caption={caption}
			fill={fill}
			rows={rows}
			columns={targetId ? columns.filter(({ id }) => id !== "target") : columns}
			rowLabel={taskTitle}
			searchText={(task) =>
				`${taskTitle(task)} ${taskTarget(task)?.name ?? ""} ${task.requester.name} ${task.error?.message ?? ""}`
			}
			filters={filters}
			defaultSort="-createdAt"
			inAddress={!targetId}
			state={first.data ? "ready" : first.error ? "error" : "loading"}
			error={first.error}
			onRetry={first.reload}
			rowActions={(task) => [{ id: "copy", label: errors.copy, onSelect: () => void copyText(taskDetails(task)) }]}
			empty={<EmptyState icon={ListChecks} title={t.empty} text={empty} />}
			tools={
				nextToken && (
					<Button small onClick={() => void more()}>
						{common.loadMore}
					</Button>
				)
			}
		/>
	);
}
