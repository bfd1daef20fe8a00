/** The audit, read page by page, newest first. */
import { ScrollText } from "lucide-preact";
import { useState } from "preact/hooks";
import { read } from "../../api/call.ts";
import type { AuditRecord } from "../../api/types.ts";
import { useCollection, useQuery } from "../../api/use.ts";
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
import { operations } from "../../strings/operations.ts";

const t = access.audit;
const pageSize = 200;
const tones = { accepted: "green", rejected: "amber", denied: "red" } as const;

/** Records of an earlier version may name an operation that there is no more: then its id is all there is. */
function operationName(operation: string): string {
	if (operation === "system") return operations.system;
	return (operations.operationNames as Record<string, string>)[operation] ?? operation;
}

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
		cell: ({ requester }) => <Who requester={requester} />,
		sort: ({ requester }) => requester.name,
		width: "130px",
	},
	{
		id: "what",
		header: t.what,
		cell: ({ operation }) => <span title={operation}>{operationName(operation)}</span>,
		sort: ({ operation }) => operationName(operation),
		width: "180px",
		card: "title",
		fixed: true,
	},
	{
		id: "target",
		header: t.target,
		cell: ({ targets, confirmation }) => (
			<>
				{targets[0] && <RefLink {...targets[0]} />}{" "}
				{confirmation !== undefined && <span class="muted">{t.confirmed(confirmation)}</span>}
			</>
		),
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

/** Users and tokens have a page; root on the local socket and the system have none. */
function Who({ requester: { kind, id, name } }: Pick<AuditRecord, "requester">) {
	return id !== null && (kind === "user" || kind === "token") ? (
		<RefLink kind={kind} id={id} name={name} />
	) : (
		<span>{name}</span>
	);
}

/** Those who are users now, those who are met in the records, and those whom the address names. */
function useFilters(records: readonly AuditRecord[], chosen: readonly string[]): Filter<AuditRecord>[] {
	const users = useCollection("user").items.value;
	const names = new Set([
		...users.map(({ name }) => name),
		...records.map(({ requester }) => requester.name),
		...chosen,
	]);
	return [
		{
			id: "who",
			label: t.who,
			choices: [...names].sort().map((name) => ({ value: name, label: name })),
			matches: ({ requester }, wanted) => wanted.includes(requester.name),
		},
		{
			id: "outcome",
			label: t.filterOutcome,
			choices: (["accepted", "rejected", "denied"] as const).map((value) => ({ value, label: t.outcomes[value] })),
			matches: ({ outcome }, wanted) => wanted.includes(outcome),
		},
	];
}

type Older = { items: AuditRecord[]; nextPageToken: string | null };

export function AuditTab() {
	const address = useUrlState();
	const outcome = address.list("outcome") as AuditRecord["outcome"][];
	const requesterName = address.list("who");
	const key = JSON.stringify([outcome, requesterName]);
	const [older, setOlder] = useState<Older & { key: string }>({ items: [], nextPageToken: null, key: "" });
	// The filters are the API's, so that they look through everything.
	const query = { limit: pageSize, outcome, requesterName };
	const first = useQuery(key, (signal) => read("auditList", { query, signal }));
	const more = older.key === key && older.items.length > 0 ? older : null;
	const nextToken = more ? more.nextPageToken : (first.data?.nextPageToken ?? null);
	const loadMore = async () => {
		const page = await read("auditList", { query: { ...query, pageToken: nextToken } });
		setOlder({ items: [...(more?.items ?? []), ...page.items], nextPageToken: page.nextPageToken, key });
	};
	const rows = [...(first.data?.items ?? []), ...(more?.items ?? [])];
	const filters = useFilters(rows, requesterName);
	return (
		<DataTable
			name="audit"
			caption={t.caption}
			fill
			rows={rows}
			columns={columns}
			filters={filters}
			rowLabel={({ operation, time }) => `${operationName(operation)} ${time}`}
			searchText={({ operation, requester, targets, errorCode, remoteAddress, confirmation }) =>
				[
					operationName(operation),
					operation,
					requester.name,
					errorCode,
					remoteAddress,
					confirmation,
					...targets.map(({ name }) => name),
				].join(" ")
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
			empty={
				outcome.length + requesterName.length === 0 && (
					<EmptyState icon={ScrollText} title={t.empty} text={t.emptyText} />
				)
			}
		/>
	);
}
