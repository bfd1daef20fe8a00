/** The audit, read page by page, newest first. */
import { ScrollText } from "lucide-preact";
import { useState } from "preact/hooks";
import { read } from "../../api/call.ts";
import type { AuditRecord } from "../../api/types.ts";
import { useQuery } from "../../api/use.ts";
import { Label } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { useUrlState } from "../../lib/url-state.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";

const t = access.audit;
const pageSize = 200;
const tones = { accepted: "green", rejected: "amber", denied: "red" } as const;

const columns: readonly Column<AuditRecord>[] = [
	{
		id: "time",
		header: t.time,
		cell: ({ time }) => <RelativeTime time={time} />,
		sort: ({ time }) => time,
		width: "116px",
	},
	{
		id: "who",
		header: t.who,
		cell: ({ requester }) => requester.name,
		sort: ({ requester }) => requester.name,
		width: "130px",
	},
	{
		id: "what",
		header: t.what,
		cell: ({ operation }) => operation,
		sort: ({ operation }) => operation,
		width: "180px",
		card: "title",
		fixed: true,
	},
	{
		id: "target",
		header: t.target,
		cell: ({ targets }) => targets[0] && <RefLink {...targets[0]} />,
		sort: ({ targets }) => targets[0]?.name,
	},
	{
		id: "outcome",
		header: t.outcome,
		cell: ({ outcome, errorCode, count }) => (
			<>
				<Label tone={tones[outcome]}>{t.outcomes[outcome]}</Label>{" "}
				<span class="muted">
					{errorCode} {count !== undefined && t.times(count)}
				</span>
			</>
		),
		sort: ({ outcome }) => outcome,
		width: "200px",
		card: "badge",
	},
	{
		id: "from",
		header: t.from,
		cell: ({ remoteAddress }) => remoteAddress ?? "–",
		sort: ({ remoteAddress }) => remoteAddress,
		width: "140px",
	},
];

const filters: readonly Filter<AuditRecord>[] = [
	{
		id: "outcome",
		label: t.filterOutcome,
		choices: (["accepted", "rejected", "denied"] as const).map((value) => ({ value, label: t.outcomes[value] })),
		matches: ({ outcome }, chosen) => chosen.includes(outcome),
	},
];

type Older = { items: AuditRecord[]; nextPageToken: string | null };

export function AuditTab() {
	const chosen = useUrlState().list("outcome") as AuditRecord["outcome"][];
	const key = chosen.join();
	const [older, setOlder] = useState<Older & { key: string }>({ items: [], nextPageToken: null, key: "" });
	// The filter is the API's, so that it looks through everything.
	const query = { limit: pageSize, ...(chosen.length > 0 ? { outcome: chosen } : {}) };
	const first = useQuery(key, (signal) => read("auditList", { query, signal }));
	const more = older.key === key && older.items.length > 0 ? older : null;
	const nextToken = more ? more.nextPageToken : (first.data?.nextPageToken ?? null);
	const loadMore = async () => {
		const page = await read("auditList", { query: { ...query, pageToken: nextToken } });
		setOlder({ items: [...(more?.items ?? []), ...page.items], nextPageToken: page.nextPageToken, key });
	};
	return (
		<DataTable
			name="audit"
			caption={t.caption}
			fill
			rows={[...(first.data?.items ?? []), ...(more?.items ?? [])]}
			columns={columns}
			filters={filters}
			rowLabel={({ operation, time }) => `${operation} ${time}`}
			searchText={({ operation, requester, targets, errorCode, remoteAddress }) =>
				[operation, requester.name, errorCode, remoteAddress, ...targets.map(({ name }) => name)].join(" ")
			}
			defaultSort="-time"
			state={first.data ? "ready" : first.error ? "error" : "loading"}
			error={first.error}
			onRetry={first.reload}
			tools={
				<>
					<Button small busy={first.loading} onClick={first.reload}>
						{common.reload}
					</Button>
					{nextToken && (
						<Button small onClick={() => void loadMore()}>
							{common.loadMore}
						</Button>
					)}
				</>
			}
			empty={chosen.length === 0 && <EmptyState icon={ScrollText} title={t.empty} text={t.emptyText} />}
		/>
	);
}
