/** The users. */
import { Pencil, Plus, RotateCcwKey, Trash2 } from "lucide-preact";
import { h } from "preact";
import { useState } from "preact/hooks";
import { me, roleObstacle } from "../../api/session.ts";
import type { User } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { Label } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { confirm } from "../../components/confirm.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import type { Action } from "../../components/menu.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";
import { AddUserPanel, EditUserPanel, ResetPasswordDialog } from "./user-forms.tsx";

const t = access.users;

const columns: readonly Column<User>[] = [
	{
		id: "name",
		header: t.name,
		cell: ({ id, name }) => (
			<>
				{name} {me.value?.requester.id === id && <span class="muted">({access.you})</span>}
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
		cell: ({ enabled, mustChangePassword }) => (
			<Label tone={!enabled ? "grey" : mustChangePassword ? "amber" : "green"}>
				{!enabled ? t.disabled : mustChangePassword ? t.mustChange : t.enabled}
			</Label>
		),
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

type Open = { kind: "add" } | { kind: "edit" | "reset"; user: User };

export function UsersTab() {
	const users = useCollection("user");
	const [open, setOpen] = useState<Open | null>(null);
	const close = () => setOpen(null);
	const actions = (user: User): Action[] => [
		{
			id: "edit",
			label: t.edit,
			icon: Pencil,
			obstacle: roleObstacle("userUpdate"),
			onSelect: () => setOpen({ kind: "edit", user }),
		},
		{
			id: "reset",
			label: t.reset,
			icon: RotateCcwKey,
			obstacle: roleObstacle("userPasswordReset"),
			onSelect: () => setOpen({ kind: "reset", user }),
		},
		{
			id: "delete",
			label: t.delete,
			icon: Trash2,
			danger: true,
			divided: true,
			obstacle: roleObstacle("userDelete") ?? (me.value?.requester.id === user.id ? t.deleteSelf : null),
			onSelect: () => void deleteUser(user),
		},
	];
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
					<Button
						small
						kind="primary"
						icon={Plus}
						obstacle={roleObstacle("userCreate")}
						onClick={() => setOpen({ kind: "add" })}
					>
						{t.add}
					</Button>
				}
				empty={<EmptyState icon={resourceIcons.user} title={access.tabs.users} />}
			/>
			{open?.kind === "add" && <AddUserPanel onClose={close} />}
			{open?.kind === "edit" && <EditUserPanel user={open.user} onClose={close} />}
			{open?.kind === "reset" && <ResetPasswordDialog user={open.user} onClose={close} />}
		</>
	);
}

async function deleteUser(user: User): Promise<void> {
	const title = t.deleteTitle(user.name);
	const body = h("p", {}, t.deleteText);
	if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true, typedName: user.name }))) return;
	await act(title, "userDelete", { id: user.id });
}
