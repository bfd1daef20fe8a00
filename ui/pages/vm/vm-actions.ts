/**
 * What can be done with a VM, in the same order in every menu. Which is possible now comes from the model's table and
 * from the role; what cannot be taken back is confirmed first.
 */
import {
	Camera,
	CirclePause,
	CirclePlay,
	Monitor,
	MoveRight,
	Play,
	Power,
	PowerOff,
	RotateCcw,
	Trash2,
} from "lucide-preact";
import { h } from "preact";
import { type VmAction, vmActionObstacle } from "../../../src/model/actions.ts";
import type { OperationId } from "../../../src/model/permissions.ts";
import { live, liveSnapshots } from "../../api/live/live.ts";
import { toastFailure } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Snapshot, Vm, Volume } from "../../api/types.ts";
import { act } from "../../api/write.ts";
import { confirm, confirmWithOption } from "../../components/confirm.tsx";
import type { Icon } from "../../components/icons.ts";
import type { Action } from "../../components/menu.tsx";
import { formatBytes } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { move } from "../../strings/move.ts";
import { snapshots } from "../../strings/snapshots.ts";
import { vm as t } from "../../strings/vm.ts";
import { DeleteVmText } from "./delete-text.tsx";
import { isGone } from "./move.ts";
import { openMove } from "./moving.tsx";
import { startObstacle, takeObstacle } from "./snapshots/obstacles.ts";
import { openTake } from "./snapshots/taking.tsx";

export type PowerVerb = Extract<VmAction, "start" | "shutdown" | "stop" | "reset" | "pause" | "resume">;

export const verbs: Record<PowerVerb, { operation: OperationId; icon: Icon; note?: string }> = {
	start: { operation: "vmStart", icon: Play },
	shutdown: { operation: "vmShutdown", icon: Power, note: t.actions.notes.shutdown },
	stop: { operation: "vmStop", icon: PowerOff, note: t.actions.notes.stop },
	reset: { operation: "vmReset", icon: RotateCcw, note: t.actions.notes.reset },
	pause: { operation: "vmPause", icon: CirclePause, note: t.actions.notes.pause },
	resume: { operation: "vmResume", icon: CirclePlay },
};

/** Why not, or null: what is in the way of the operation itself, then what the state of the VM says. */
export function obstacleOf(action: VmAction, operation: OperationId, vm: Vm): string | null {
	return obstacleTo(operation) ?? vmActionObstacle(action, vm);
}

export function powerAction(verb: PowerVerb, vm: Vm): Action {
	const { operation, icon, note } = verbs[verb];
	return {
		id: verb,
		label: t.actions[verb],
		icon,
		obstacle: obstacleOf(verb, operation, vm) ?? (verb === "start" ? startObstacle(vm) : null),
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
		snapshotAction(vm),
		moveAction(vm),
		deleteAction(vm),
	];
}

export const snapshotAction = (vm: Vm): Action => ({
	id: "snapshot",
	label: snapshots.take,
	icon: Camera,
	note: snapshots.takeNote,
	obstacle: obstacleOf("snapshot", "snapshotCreate", vm) ?? takeObstacle(vm),
	onSelect: () => openTake(vm.id),
});

/** Whether its disks may be lost with its node is said by the dialog. */
export const moveAction = (vm: Vm): Action => {
	const gone = live.node.state.value === "ready" && isGone(live.node.one(vm.nodeId).value);
	const others = live.node.items.value.some(({ id, status }) => id !== vm.nodeId && status.phase !== "left");
	return {
		id: "move",
		label: move.action,
		icon: MoveRight,
		note: move.note,
		obstacle: obstacleTo("vmMove") ?? (others ? null : move.noOther) ?? (gone ? null : vmActionObstacle("move", vm)),
		onSelect: () => openMove(vm.id),
	};
};

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

export const sizeOf = (volumes: readonly Volume[]): string =>
	formatBytes(volumes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));

/** The volumes of these VMs. Null, and said, when they cannot be listed: nobody loses data without being told which. */
export async function knownVolumes(vms: readonly Vm[]): Promise<Volume[] | null> {
	await live.volume.ensure();
	const error = live.volume.error.peek();
	if (error === null) return vms.flatMap(volumesOf);
	toastFailure(t.volumesUnknown, error);
	return null;
}

/** Its snapshots; as with the volumes, null when they cannot be listed. */
async function knownSnapshots(vm: Vm): Promise<readonly Snapshot[] | null> {
	const collection = liveSnapshots.of(vm.id);
	await collection.ensure();
	const error = collection.error.peek();
	if (error === null) return collection.items.peek();
	toastFailure(snapshots.unknown, error);
	return null;
}

/** Whether the volumes go too; null when it is not to be done. */
export async function askDeletion(vm: Vm): Promise<boolean | null> {
	const volumes = await knownVolumes([vm]);
	if (volumes === null) return null;
	const taken = await knownSnapshots(vm);
	if (taken === null) return null;
	const answer = await confirmWithOption({
		title: t.deleteTitle(vm.name),
		body: (withVolumes) => h(DeleteVmText, { vm, volumes: withVolumes ? volumes : [], snapshots: taken }),
		confirmLabel: t.deleteConfirm,
		danger: true,
		typedName: vm.name,
		...(volumes.length > 0
			? {
					option: {
						label: t.deleteVolumes(volumes.length, sizeOf(volumes)),
						hint: t.deleteVolumesHint,
						initial: true,
					},
				}
			: {}),
	});
	return answer.confirmed ? answer.option : null;
}

async function deleteVm(vm: Vm, after?: () => void): Promise<void> {
	const deleteVolumes = await askDeletion(vm);
	if (deleteVolumes === null) return;
	if (await act(t.failed(t.actions.delete, vm.name), "vmDelete", { id: vm.id, query: { deleteVolumes } })) after?.();
}
