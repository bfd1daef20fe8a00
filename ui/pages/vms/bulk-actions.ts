/** What can be done with the chosen VMs at once. Those that it does not fit now are left out, and counted. */
import { Trash2 } from "lucide-preact";
import { h } from "preact";
import { vmActionObstacle } from "../../../src/model/actions.ts";
import type { OperationId } from "../../../src/model/permissions.ts";
import { call } from "../../api/call.ts";
import { toastFailure } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Vm } from "../../api/types.ts";
import { confirm, confirmWithOption } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { vm as t } from "../../strings/vm.ts";
import { askDeletion, knownVolumes, type PowerVerb, sizeOf, verbs } from "../vm/vm-actions.ts";
import { BulkDeleteText } from "./bulk-delete-text.tsx";

const atOnce = 6;

/** A few at a time. */
async function runOnMany(label: string, operation: OperationId, vms: readonly Vm[], query = {}): Promise<void> {
	const waiting = [...vms];
	const failures: unknown[] = [];
	const worker = async () => {
		for (let vm = waiting.shift(); vm; vm = waiting.shift()) {
			await call(operation, { id: vm.id, query }).catch((error: unknown) => failures.push(error));
		}
	};
	await Promise.all(Array.from({ length: atOnce }, worker));
	if (failures.length > 0) toastFailure(t.bulk.someFailed(label, failures.length), failures[0]);
}

export function bulkActions(vms: readonly Vm[], clear: () => void): Action[] {
	const bulk = (verb: PowerVerb): Action => {
		const { operation, icon } = verbs[verb];
		const label = t.actions[verb];
		const able = vms.filter((vm) => vmActionObstacle(verb, vm) === null);
		return {
			id: verb,
			label: able.length === vms.length || able.length === 0 ? label : `${label} (${able.length})`,
			icon,
			obstacle: obstacleTo(operation) ?? (able.length === 0 ? t.bulk.none(label) : null),
			async onSelect() {
				if (verb === "stop") {
					const body = h("p", {}, able.length === 1 ? t.stopText : t.bulk.stopText);
					const title = t.bulk.stopTitle(able.length);
					if (!(await confirm({ title, body, confirmLabel: label, danger: true }))) return;
				}
				clear();
				await runOnMany(label, operation, able);
			},
		};
	};
	return [bulk("start"), bulk("shutdown"), bulk("stop"), bulkDelete(vms, clear)];
}

function bulkDelete(vms: readonly Vm[], clear: () => void): Action {
	const able = vms.filter((vm) => !vm.deleting && vmActionObstacle("delete", vm) === null);
	return {
		id: "delete",
		label: t.actions.delete,
		icon: Trash2,
		danger: true,
		obstacle: obstacleTo("vmDelete") ?? (able.length === 0 ? t.bulk.none(t.actions.delete) : null),
		async onSelect() {
			const [only] = able;
			const deleteVolumes = able.length === 1 && only ? await askDeletion(only) : await askDeletionOfMany(able);
			if (deleteVolumes === null) return;
			clear();
			await runOnMany(t.actions.delete, "vmDelete", able, { deleteVolumes });
		},
	};
}

/** Whether the volumes go too; null when it is not to be done. Data go for good, so the number is to be typed. */
async function askDeletionOfMany(vms: readonly Vm[]): Promise<boolean | null> {
	const volumes = await knownVolumes(vms);
	if (volumes === null) return null;
	const known = { count: volumes.length, size: sizeOf(volumes) };
	const answer = await confirmWithOption({
		title: t.bulk.deleteTitle(vms.length),
		body: (withVolumes) => h(BulkDeleteText, { vms, volumes: withVolumes ? volumes : [] }),
		confirmLabel: t.bulk.deleteTitle(vms.length),
		danger: true,
		typedName: String(vms.length),
		...(volumes.length > 0
			? {
					option: {
						label: t.bulk.deleteVolumes(known.count, known.size),
						hint: t.bulk.deleteVolumesHint,
						initial: true,
					},
				}
			: {}),
	});
	return answer.confirmed ? answer.option : null;
}
