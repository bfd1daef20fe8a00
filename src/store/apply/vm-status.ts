/** VMs as their nodes report them. A node that does not own the VM is refused: it acts on an old state. */
import { AppError } from "../../lib/errors.ts";
import { ErrorInfoSchema } from "../../model/schema.ts";
import { Task } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import { type Vm, VmStatus } from "../../model/vm.ts";
import { changesPower, runningAlsoOn } from "../../model/vm-rules.ts";
import { endTasksOf, unfinishedTasks } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { memberOf } from "./node.ts";
import { removeSnapshotsOf } from "./snapshot.ts";

export const vmStatusHandlers: Handlers<"vmStatus" | "vmGone" | "vmUnadopt" | "vmElsewhere"> = {
	vmStatus(context, body) {
		const vm = ownedBy(context, body.id, body.nodeId);
		memberOf(context, body.nodeId);
		const status = validated(VmStatus, body.status, "The status");
		if (status.observedGeneration > vm.generation)
			throw new AppError("invalid", `The VM has no generation ${status.observedGeneration} yet.`);
		const desiredPower = mayChangePower(context, vm) ? (body.desiredPower ?? vm.desiredPower) : vm.desiredPower;
		context.update("vm", vm, { ...vm, status, desiredPower });
		return null;
	},

	vmGone(context, body) {
		const vm = ownedBy(context, body.id, body.nodeId);
		if (!vm.deleting) throw new AppError("wrong-state", "Nobody asked to delete this VM.");
		for (const volume of context.state.volumesOfVm(vm.id)) {
			if (volume.phase === "deleting") context.remove("volume", volume);
			else context.update("volume", volume, { ...volume, vmId: null });
		}
		removeSnapshotsOf(context, vm.id);
		endTasksOf(context, vm.id, "vm.delete", "VM");
		context.remove("vm", vm);
		return null;
	},

	vmUnadopt(context, body) {
		const vm = ownedBy(context, body.id, body.nodeId);
		const task = unfinishedTasks(context, vm.id).find(({ kind }) => kind === "vm.adopt");
		if (!task) throw new AppError("wrong-state", "This VM is not being adopted.");
		for (const volume of context.state.volumesOfVm(vm.id)) {
			// What is ready was not made by the adoption: its volumes are pending until it has succeeded.
			if (volume.phase === "ready") context.update("volume", volume, { ...volume, vmId: null });
			else context.remove("volume", volume);
		}
		const error = validated(ErrorInfoSchema, body.error, "The error");
		const end = { state: "failed" as const, finishedAt: context.time, cancelable: false, error };
		context.update("task", task, validated(Task, { ...task, ...end }, "The task"));
		endTasksOf(context, vm.id, "vm.adopt", "VM");
		context.remove("vm", vm);
		return null;
	},

	vmElsewhere(context, { id, nodeId, runs }) {
		const vm = context.need("vm", id);
		const node = memberOf(context, nodeId);
		if (runs && vm.nodeId === nodeId)
			throw new AppError("wrong-state", `The VM ${vm.name} is on the node ${node.name}, and may run there.`);
		const known = vm.alsoRunsOn ?? [];
		if (known.includes(nodeId) === runs) return null;
		const nodeIds = runs ? [...known, nodeId] : known.filter((other) => other !== nodeId);
		context.update("vm", vm, runningAlsoOn(vm, nodeIds));
		return null;
	},
};

export function ownedBy(context: ApplyContext, id: string, nodeId: string): Vm {
	const vm = context.need("vm", id);
	if (vm.nodeId !== nodeId)
		throw new AppError("wrong-state", "The VM belongs to another node.", { context: { owner: vm.nodeId, nodeId } });
	return vm;
}

/** What a person asked for after the node looked wins over what the node concluded. */
const mayChangePower = (context: ApplyContext, vm: Vm): boolean =>
	!vm.deleting && !unfinishedTasks(context, vm.id).some((task) => task.state === "pending" && changesPower(task.kind));
