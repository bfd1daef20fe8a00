/** VMs as people want them: create, adopt, update, actions, delete. What nodes report is in vm-status.ts. */
import { AppError } from "../../lib/errors.ts";
import type { VmAction } from "../../model/actions.ts";
import { halfRevertedObstacle } from "../../model/snapshot-rules.ts";
import type { Volume } from "../../model/storage.ts";
import type { TaskKind } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import { Vm } from "../../model/vm.ts";
import { desiredPowerOf, isVmOff, updateActionOf, vmRequestObstacle } from "../../model/vm-rules.ts";
import type { BodyOf } from "../codec/values.ts";
import {
	asCreated,
	checkGeneration,
	checkNameFree,
	checkWorks,
	createFinishedTask,
	createTask,
	endTasksOf,
	isOnLostNode,
	requestCancelOf,
	unfinishedTasks,
} from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { removeSnapshotsOf } from "./snapshot.ts";
import { attachVolumes, checkVmSpec } from "./vm-spec.ts";
import { checkNoDependents, insertVolume } from "./volume.ts";
import { cancelWorkOn, checkSourcesAtRest } from "./volume-work.ts";

export const vmHandlers: Handlers<"vmCreate" | "vmAdopt" | "vmUpdate" | "vmAction" | "vmDelete"> = {
	vmCreate(context, body) {
		const vm = validated(Vm, body.vm, "The VM");
		if (vm.status.powerState !== "stopped")
			throw new AppError("invalid", "A VM that does not exist yet is stopped.", {
				fields: [{ path: "/status/powerState", message: "is not stopped" }],
			});
		insertVm(context, vm, body.volumes, "pending");
		if (vm.desiredPower === "running") checkSourcesAtRest(context, context.state.volumesOfVm(vm.id));
		return createTask(context, body.task, ["vm.create"]);
	},

	vmAdopt(context, body) {
		insertVm(context, validated(Vm, body.vm, "The VM"), body.volumes, "pending");
		return createTask(context, body.task, ["vm.adopt"]);
	},

	vmUpdate(context, { kind: _kind, id, expectedGeneration, task, freeSources: _free, ...changes }) {
		const vm = context.need("vm", id);
		checkGeneration(vm, expectedGeneration, "vm");
		const after = validated(Vm, { ...vm, ...changes }, "The VM");
		checkAction(context, updateActionOf(vm.spec, after.spec), vm);
		if (changes.name !== undefined) checkNameFree(context, "vm", changes.name, id);
		if (changes.spec !== undefined) {
			checkVmSpec(context, vm, after.spec, vm.spec);
			const before = new Set(vm.spec.disks.map(({ volumeId }) => volumeId));
			attachVolumes(context, id, after.spec);
			const added = context.state.volumesOfVm(id).filter((volume) => !before.has(volume.id));
			if (!isVmOff(vm.status.powerState)) checkSourcesAtRest(context, added);
		}
		context.updateSpec("vm", vm, changes);
		return createTask(context, task, ["vm.update"]);
	},

	vmAction(context, body) {
		const vm = context.need("vm", body.id);
		const action = actionOf[body.task.kind];
		if (!action) throw new AppError("invalid", `A task of kind ${body.task.kind} is no action on a VM.`);
		checkAction(context, action, vm);
		const possible = desiredPowerOf[action];
		const desiredPower = body.desiredPower ?? possible[0] ?? vm.desiredPower;
		if (body.desiredPower !== undefined && !possible.includes(body.desiredPower))
			throw new AppError("invalid", `The action ${action} does not make a VM ${body.desiredPower}.`);
		context.update("vm", vm, { ...vm, desiredPower });
		return createTask(context, body.task, [body.task.kind]);
	},

	vmDelete(context, body) {
		const vm = context.need("vm", body.id);
		checkAction(context, "delete", vm);
		if (isOnLostNode(context, vm)) return deleteLost(context, vm, body);
		if (body.deleteVolumes) for (const volume of context.state.volumesOfVm(vm.id)) deleteWithVm(context, volume);
		context.update("vm", vm, { ...vm, deleting: true, desiredPower: "stopped" });
		const taskId = createTask(context, body.task, ["vm.delete"]);
		requestCancelOf(context, vm.id, taskId);
		for (const volume of context.state.volumesOfVm(vm.id)) cancelWorkOn(context, volume);
		return taskId;
	},
};

const actionOf: { [K in TaskKind]?: keyof typeof desiredPowerOf } = {
	"vm.start": "start",
	"vm.shutdown": "shutdown",
	"vm.stop": "stop",
	"vm.reset": "reset",
	"vm.pause": "pause",
	"vm.resume": "resume",
};

function insertVm(context: ApplyContext, vm: Vm, volumes: readonly unknown[], phase: Volume["phase"]): void {
	checkWorks(context.needReferenced("node", vm.nodeId, "/nodeId"));
	checkNameFree(context, "vm", vm.name, null);
	const attached = new Set(vm.spec.disks.map((disk) => disk.volumeId));
	for (const given of volumes) {
		const volume = insertVolume(context, given, { vmId: vm.id, phase });
		if (!attached.has(volume.id)) throw new AppError("invalid", `The new volume ${volume.name} is no disk of the VM.`);
	}
	checkVmSpec(context, vm, vm.spec, null);
	context.insert("vm", { ...asCreated(context, vm), deleting: false });
	attachVolumes(context, vm.id, vm.spec);
}

function checkAction(context: ApplyContext, action: VmAction, vm: Vm): void {
	const obstacle = vmRequestObstacle(action, vm, unfinishedTasks(context, vm.id));
	if (obstacle !== null) throw new AppError("wrong-state", obstacle);
	if (action !== "start") return;
	checkWhole(context, vm);
	checkSourcesAtRest(context, context.state.volumesOfVm(vm.id));
}

/** A revert that is under way makes it whole before the start comes to it. */
function checkWhole(context: ApplyContext, vm: Vm): void {
	if (unfinishedTasks(context, vm.id).some(({ kind }) => kind === "vm.revert")) return;
	const obstacle = halfRevertedObstacle(context.state.snapshotsOfVm(vm.id));
	if (obstacle !== null) throw new AppError("wrong-state", obstacle);
}

/** At once: nobody is there to do it. What was there is gone, or comes back with its node, which brings it as it was. */
function deleteLost(context: ApplyContext, vm: Vm, body: BodyOf<"vmDelete">): string {
	for (const volume of context.state.volumesOfVm(vm.id)) {
		if (volume.nodeId === null || !body.deleteVolumes) context.update("volume", volume, { ...volume, vmId: null });
		else {
			endTasksOf(context, volume.id, "volume.delete", "volume");
			context.remove("volume", volume);
		}
	}
	removeSnapshotsOf(context, vm.id);
	endTasksOf(context, vm.id, "vm.delete", "VM");
	context.remove("vm", vm);
	return createFinishedTask(context, body.task, ["vm.delete"]);
}

/** Its node deletes the volume's file after the domain is gone, and reports vmGone. */
function deleteWithVm(context: ApplyContext, volume: Volume): void {
	checkNoDependents(context, volume);
	context.update("volume", volume, { ...volume, phase: "deleting" });
}
