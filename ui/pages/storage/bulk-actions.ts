/** What can be done with the chosen volumes at once. Those that it does not fit now are left out, and counted. */
import { ArrowRightLeft, ShieldCheck, Trash2 } from "lucide-preact";
import { h } from "preact";
import type { OperationId } from "../../../src/model/permissions.ts";
import { toastFailure } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Volume } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { storage as t } from "../../strings/storage.ts";
import { checkObstacle, deleteObstacle, moveObstacle } from "./volume-actions.ts";

type Handlers = {
	clear: () => void;
	onMove: (volumes: readonly Volume[]) => void;
	onCheck: (volumes: readonly Volume[]) => void;
};

export function bulkActions(volumes: readonly Volume[], { clear, onMove, onCheck }: Handlers): Action[] {
	const bulk = (
		about: Pick<Action, "id" | "label" | "icon" | "danger">,
		operation: OperationId,
		obstacleOf: (volume: Volume) => string | null,
		onSelect: (able: readonly Volume[]) => void,
	): Action => {
		const able = volumes.filter((volume) => obstacleOf(volume) === null);
		const [first] = volumes;
		const why = first ? obstacleOf(first) : null;
		return {
			...about,
			label: able.length === volumes.length || able.length === 0 ? about.label : `${about.label} (${able.length})`,
			obstacle: obstacleTo(operation) ?? (able.length === 0 ? t.bulkNone(why ?? "") : null),
			onSelect: () => onSelect(able),
		};
	};
	return [
		bulk({ id: "move", label: t.moveAction, icon: ArrowRightLeft }, "volumeMove", moveObstacle, (able) => {
			clear();
			onMove(able);
		}),
		bulk({ id: "check", label: t.checkAction, icon: ShieldCheck }, "volumeCheck", checkObstacle, (able) => {
			clear();
			onCheck(able);
		}),
		bulk(
			{ id: "delete", label: t.deleteVolume, icon: Trash2, danger: true },
			"volumeDelete",
			deleteObstacle,
			(able) => void deleteMany(able, clear),
		),
	];
}

async function deleteMany(volumes: readonly Volume[], clear: () => void): Promise<void> {
	const names = h("ul", { class: "bullets" }, ...volumes.map(({ id, name }) => h("li", { key: id }, name)));
	const body = h("div", { class: "stack" }, h("p", {}, t.deleteManyText), names);
	const title = t.deleteManyTitle(volumes.length);
	const [only, ...others] = volumes;
	// Data go for good: of one its name is typed, of several their number.
	const typedName = only && others.length === 0 ? only.name : String(volumes.length);
	if (!(await confirm({ title, body, confirmLabel: title, danger: true, typedName }))) return;
	clear();
	const failures: unknown[] = [];
	for (const { id } of volumes) await write("volumeDelete", { id }).catch((error: unknown) => failures.push(error));
	if (failures.length > 0) toastFailure(t.deleteManyFailed(failures.length), failures[0]);
}
