/** Who is signed in where: one's own sessions, or everybody's for administrators. */
import { LogOut, Shield } from "lucide-preact";
import { h } from "preact";
import { obstacleTo } from "../../api/session.ts";
import type { Session } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { browserName } from "../../lib/user-agent.ts";
import { access } from "../../strings/access.ts";

const t = access.sessions;

const columns: readonly Column<Session>[] = [
	{
		id: "user",
		header: t.user,
		cell: ({ userId, userName }) => <RefLink kind="user" id={userId} name={userName} />,
		sort: ({ userName }) => userName,
		fixed: true,
		card: "title",
	},
	{
		id: "address",
		header: t.address,
		cell: ({ remoteAddress }) => remoteAddress ?? "–",
		sort: ({ remoteAddress }) => remoteAddress,
		width: "170px",
	},
	{
		id: "agent",
		header: t.agent,
		cell: ({ userAgent }) => <span title={userAgent ?? ""}>{browserName(userAgent) ?? t.program}</span>,
		width: "220px",
	},
	{
		id: "createdAt",
		header: t.started,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "120px",
	},
	{
		id: "expires",
		header: t.expires,
		cell: ({ expiresAt }) => <RelativeTime time={expiresAt} />,
		sort: ({ expiresAt }) => expiresAt,
		width: "120px",
	},
];

/** `of`: one user's; everybody's without. */
export function SessionsTable({ of }: { of?: string | null }) {
	const sessions = useCollection("session");
	const everybody = of === undefined;
	const rows = everybody ? sessions.items.value : sessions.items.value.filter(({ userId }) => userId === of);
	return (
		<DataTable
			name="sessions"
			caption={t.caption}
			rows={rows}
			columns={columns}
			rowLabel={({ userName, remoteAddress }) => `${userName} ${remoteAddress ?? ""}`}
			defaultSort="-createdAt"
			inAddress={everybody}
			searchText={
				everybody ? ({ userName, remoteAddress, userAgent }) => `${userName} ${remoteAddress} ${userAgent}` : undefined
			}
			state={sessions.state.value}
			error={sessions.error.value}
			onRetry={() => void sessions.reload()}
			rowActions={(session) => [
				{
					id: "end",
					label: t.end,
					icon: LogOut,
					danger: true,
					obstacle: obstacleTo("sessionDelete"),
					onSelect: () => void endSession(session),
				},
			]}
			empty={<EmptyState icon={Shield} title={t.empty} />}
		/>
	);
}

async function endSession(session: Session): Promise<void> {
	const body = h("p", {}, t.endText(session.userName));
	if (!(await confirm({ title: t.endTitle, body, confirmLabel: t.end, danger: true }))) return;
	await act(t.endTitle, "sessionDelete", { id: session.id });
}
