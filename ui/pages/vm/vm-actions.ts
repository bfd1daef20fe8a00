/**
 * What can be done with a VM, in the same order in every menu. Which is possible now comes from the model's table and
 * from the role; what cannot be taken back is confirmed first.
 */
import { CirclePause, CirclePlay, Monitor, Play, Power, PowerOff, RotateCcw, Trash2 } from "lucide-preact";
import { h } from "preact";
import { type VmAction, vmActionObstacle } from "../../../src/model/actions.ts";
import type { OperationId } from "../../../src/model/permissions.ts";
import { call } from "../../api/call.ts";
import { live } from "../../api/live/live.ts";
import { toastFailure } from "../../api/notify.ts";
import { roleObstacle } from "../../api/session.ts";
import type { Vm, Volume } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import { confirm, confirmWithOption } from "../../components/confirm.tsx";
import type { Icon } from "../../components/icons.ts";
import type { Action } from "../../components/menu.tsx";
import { formatBytes } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { vm as t } from "../../strings/vm.ts";
import { DeleteVmText } from "./delete-text.tsx";

export type PowerVerb = Extract<VmAction, "start" | "shutdown" | "stop" | "reset" | "pause" | "resume">;

const verbs: Record<PowerVerb, { operation: OperationId; icon: Icon; note?: string }> = {
	start: { operation: "vmStart", icon: Play },
	shutdown: { operation: "vmShutdown", icon: Power, note: t.actions.notes.shutdown },
	stop: { operation: "vmStop", icon: PowerOff, note: t.actions.notes.stop },
	reset: { operation: "vmReset", icon: RotateCcw, note: t.actions.notes.reset },
	pause: { operation: "vmPause", icon: CirclePause, note: t.actions.notes.pause },
	resume: { operation: "vmResume", icon: CirclePlay },
};

/** Why not, or null. The state says more than the role, so the role comes first only when it forbids. */
export function obstacleOf(action: VmAction, operation: OperationId, vm: Vm): string | null {
	return roleObstacle(operation) ?? vmActionObstacle(action, vm);
}

export function powerAction(verb: PowerVerb, vm: Vm): Action {
	const { operation, icon, note } = verbs[verb];
	return {
		id: verb,
		label: t.actions[verb],
		icon,
		obstacle: obstacleOf(verb, operation, vm),
		...(note ? { note } : {}),
		onSelect: () => void runPower(verb, vm),
	};
}

async function runPower(verb: PowerVerb, vm: Vm): Promise<void> {
	const label = t.actions[verb];
	if (verb === "stop" || verb === "reset") {
		const title = verb === "stop" ? t.stopTitle(vm.name) : t.resetTitle(vm.name);
		const body = h("p", {}, verb === "stop" ? t.stopText : t.resetText);
		if (!(await confirm({ title, body, confirmLabel: label, danger: true }))) return;
	}
	await act(t.failed(label, vm.name), verbs[verb].operation, { id: vm.id });
}

/** Everything, for the menu of a row. */
export function rowActions(vm: Vm, route: (url: string) => void): Action[] {
	return [
		...(["start", "shutdown", "stop", "reset", "pause", "resume"] as const).map((verb) => powerAction(verb, vm)),
		consoleAction(vm, route),
		deleteAction(vm),
	];
}

export const consoleAction = (vm: Vm, route: (url: string) => void): Action => ({
	id: "console",
	label: t.actions.console,
	icon: Monitor,
	obstacle: obstacleOf("console", "vmConsoleTicketCreate", vm),
	divided: true,
	onSelect: () => route(href("vm", { vmId: vm.id, tab: "console" })),
});

export const deleteAction = (vm: Vm, after?: () => void): Action => ({
	id: "delete",
	label: t.actions.delete,
	icon: Trash2,
	danger: true,
	divided: true,
	obstacle: obstacleOf("delete", "vmDelete", vm) ?? (vm.deleting ? vmActionObstacle("start", vm) : null),
	onSelect: () => void deleteVm(vm, after),
});

export const volumesOf = (vm: Vm): Volume[] =>
	vm.spec.disks.flatMap(({ volumeId }) => live.volume.peek(volumeId) ?? []);

async function deleteVm(vm: Vm, after?: () => void): Promise<void> {
	await live.volume.ensure();
	const volumes = volumesOf(vm);
	const total = formatBytes(volumes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
	const answer = await confirmWithOption({
		title: t.deleteTitle(vm.name),
		body: (withVolumes) => h(DeleteVmText, { vm, volumes: withVolumes ? volumes : [] }),
		confirmLabel: t.deleteConfirm,
		danger: true,
		typedName: vm.name,
		...(volumes.length > 0
			? {
					option: {
						label: t.deleteVolumes(volumes.length, total),
						hint: t.deleteVolumesHint,
						initial: true,
					},
				}
			: {}),
	});
	if (!answer.confirmed) return;
	const query = { deleteVolumes: volumes.length === 0 || answer.option };
	if (await act(t.failed(t.actions.delete, vm.name), "vmDelete", { id: vm.id, query })) after?.();
}

const atOnce = 6;

/** The chosen VMs, a few at a time; those that cannot be used with the action now are left out. */
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
			obstacle: roleObstacle(operation) ?? (able.length === 0 ? t.bulk.none(label) : null),
			async onSelect() {
				if (verb === "stop") {
					const body = h("p", {}, t.stopText);
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
		obstacle: roleObstacle("vmDelete") ?? (able.length === 0 ? t.bulk.none(t.actions.delete) : null),
		async onSelect() {
			await live.volume.ensure();
			const volumes = able.flatMap(volumesOf);
			const total = formatBytes(volumes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
			const answer = await confirmWithOption({
				title: t.bulk.deleteTitle(able.length),
				body: h(
					"ul",
					{ class: "bullets" },
					able.slice(0, 20).map(({ id, name }) => h("li", { key: id }, name)),
				),
				confirmLabel: t.bulk.deleteTitle(able.length),
				danger: true,
				typedName: t.bulk.typed(able.length),
				option: { label: t.deleteVolumes(volumes.length, total), hint: t.deleteVolumesHint, initial: true },
			});
			if (!answer.confirmed) return;
			clear();
			await runOnMany(t.actions.delete, "vmDelete", able, { deleteVolumes: answer.option });
		},
	};
}
