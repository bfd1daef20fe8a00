/** The users. */
import { Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { me, obstacleTo } from "../../api/session.ts";
import type { User } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Label } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";
import { useUserActions } from "./user-actions.tsx";
import { AddUserPanel } from "./user-forms.tsx";

const t = access.users;

const columns: readonly Column<User>[] = [
	{
		id: "name",
		header: t.name,
		cell: ({ id, name }) => (
			<>
				<RefLink kind="user" id={id} name={name} />{" "}
				{me.value?.requester.id === id && <span class="muted">({access.you})</span>}
			</>
		),
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "displayName",
		header: t.displayName,
		cell: ({ displayName }) => displayName || "–",
		sort: ({ displayName }) => displayName,
	},
	{ id: "role", header: access.role, cell: ({ role }) => access.roles[role], sort: ({ role }) => role, width: "140px" },
	{
		id: "state",
		header: t.state,
		cell: (user) => <UserState user={user} />,
		width: "200px",
		card: "badge",
	},
	{
		id: "createdAt",
		header: common.created,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "120px",
	},
];

export function UserState({ user: { enabled, mustChangePassword } }: { user: User }) {
	return (
		<Label tone={!enabled ? "grey" : mustChangePassword ? "amber" : "green"}>
			{!enabled ? t.disabled : mustChangePassword ? t.mustChange : t.enabled}
		</Label>
	);
}

export function UsersTab() {
	const users = useCollection("user");
	const [adding, setAdding] = useState(false);
	const { actions, dialog } = useUserActions();
	return (
		<>
			<DataTable
				name="users"
				caption={t.caption}
				rows={users.items.value}
				columns={columns}
				rowLabel={({ name }) => name}
				searchText={({ name, displayName }) => `${name} ${displayName}`}
				state={users.state.value}
				error={users.error.value}
				onRetry={() => void users.reload()}
				rowActions={actions}
				tools={
					<Button small kind="primary" icon={Plus} obstacle={obstacleTo("userCreate")} onClick={() => setAdding(true)}>
						{t.add}
					</Button>
				}
				empty={<EmptyState icon={resourceIcons.user} title={access.tabs.users} />}
			/>
			{adding && <AddUserPanel onClose={() => setAdding(false)} />}
			{dialog}
		</>
	);
}
