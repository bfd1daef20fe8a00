/** What can be done with a user, on the list and on their page alike, with the panels that it opens. */
import { Pencil, RotateCcwKey, Trash2 } from "lucide-preact";
import { type ComponentChildren, h } from "preact";
import { useState } from "preact/hooks";
import { live } from "../../api/live/live.ts";
import { me, obstacleTo } from "../../api/session.ts";
import type { User } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { access } from "../../strings/access.ts";
import { EditUserPanel, ResetPasswordDialog } from "./user-forms.tsx";

const t = access.users;

type Open = { kind: "edit" | "reset"; user: User };

export function useUserActions(afterDelete?: () => void): {
	actions: (user: User) => Action[];
	dialog: ComponentChildren;
} {
	const [open, setOpen] = useState<Open | null>(null);
	const close = () => setOpen(null);
	const now = open && (live.user.one(open.user.id).value ?? open.user);
	return {
		actions: (user) => [
			{
				id: "edit",
				label: t.edit,
				icon: Pencil,
				obstacle: obstacleTo("userUpdate"),
				onSelect: () => setOpen({ kind: "edit", user }),
			},
			{
				id: "reset",
				label: t.reset,
				icon: RotateCcwKey,
				obstacle: obstacleTo("userPasswordReset"),
				onSelect: () => setOpen({ kind: "reset", user }),
			},
			{
				id: "delete",
				label: t.delete,
				icon: Trash2,
				danger: true,
				divided: true,
				obstacle: obstacleTo("userDelete") ?? (me.value?.requester.id === user.id ? t.deleteSelf : null),
				onSelect: () => void deleteUser(user, afterDelete),
			},
		],
		dialog: now && (
			<>
				{open.kind === "edit" && <EditUserPanel user={now} onClose={close} />}
				{open.kind === "reset" && <ResetPasswordDialog user={now} onClose={close} />}
			</>
		),
	};
}

async function deleteUser(user: User, after?: () => void): Promise<void> {
	const title = t.deleteTitle(user.name);
	const body = h("p", {}, t.deleteText);
	if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true, typedName: user.name }))) return;
	if (await act(title, "userDelete", { id: user.id })) after?.();
}
