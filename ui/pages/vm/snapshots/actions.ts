/** What can be done with a snapshot, in the same order everywhere. What cannot be taken back is confirmed with what is lost. */
import { HardDrive, Pencil, Trash2, Undo2 } from "lucide-preact";
import { h } from "preact";
import { obstacleTo } from "../../../api/session.ts";
import type { Snapshot, Vm } from "../../../api/types.ts";
import { act } from "../../../api/write.ts";
import { confirm } from "../../../components/confirm.tsx";
import type { Action } from "../../../components/menu.tsx";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { DeleteSnapshotText, RevertText } from "./confirm-text.tsx";
import { copyObstacle, deleteObstacle, revertObstacle } from "./obstacles.ts";

type Handlers = { onEdit: () => void; onCopy: () => void };

export const snapshotActions = (vm: Vm, snapshot: Snapshot, { onEdit, onCopy }: Handlers): Action[] => [
	{
		id: "revert",
		label: t.revert,
		icon: Undo2,
		note: t.revertNote,
		danger: true,
		obstacle: revertObstacle(vm, snapshot),
		onSelect: () => void revert(vm, snapshot),
	},
	{
		id: "copy",
		label: t.copy,
		icon: HardDrive,
		note: t.copyNote,
		obstacle: copyObstacle(snapshot),
		onSelect: onCopy,
	},
	{ id: "edit", label: t.edit, icon: Pencil, obstacle: obstacleTo("snapshotUpdate"), onSelect: onEdit },
	{
		id: "delete",
		label: t.delete,
		icon: Trash2,
		danger: true,
		divided: true,
		obstacle: deleteObstacle(vm, snapshot),
		onSelect: () => void remove(snapshot),
	},
];

async function revert(vm: Vm, snapshot: Snapshot): Promise<void> {
	const title = t.revertTitle(vm.name, snapshot.name);
	const body = h(RevertText, { vm, snapshot });
	if (!(await confirm({ title, body, confirmLabel: t.revert, danger: true, typedName: vm.name }))) return;
	await act(title, "snapshotRevert", { id: snapshot.id });
}

async function remove(snapshot: Snapshot): Promise<void> {
	const title = t.deleteTitle(snapshot.name);
	const body = h(DeleteSnapshotText, { snapshot });
	if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true }))) return;
	await act(title, "snapshotDelete", { id: snapshot.id });
}
