/** VMs that go to another node. The node that they go to does the work; here it is decided who owns them. */
import { AppError } from "../../lib/errors.ts";
import { runsElsewhere } from "../../model/actions.ts";
import type { Node } from "../../model/node.ts";
import type { ResourceRef } from "../../model/schema.ts";
import type { Volume } from "../../model/storage.ts";
import type { Vm, VmStatus } from "../../model/vm.ts";
import { moveTaskOf, runningAlsoOn, vmRequestObstacle } from "../../model/vm-rules.ts";
import type { BodyOf } from "../codec/values.ts";
import { createFinishedTask, createTask, unfinishedTasks } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { memberOf } from "./node.ts";
import { checkPoolUsable } from "./pool.ts";
import { checkStays } from "./pool-orphans.ts";
import { interruptSnapshotsOf, snapshotsHolding } from "./snapshot.ts";
import { ownedBy } from "./vm-status.ts";
import { checkNoDependents, checkNoWork, checkVolumeName } from "./volume.ts";

export const vmMoveHandlers: Handlers<"vmMove" | "vmMoved"> = {
	vmMove(context, body) {
		const vm = context.need("vm", body.id);
		const from = context.need("node", vm.nodeId);
		const to = targetNode(context, vm, body);
		if (body.confirmNodeOff === null) {
			checkMovable(context, vm, from, to);
			context.update("vm", vm, { ...vm, desiredPower: "stopped" });
			return createTask(context, body.task, ["vm.move"]);
		}
		checkGone(context, vm, from, body);
		return takeOver(context, vm, to, body);
	},

	vmMoved(context, body) {
		const vm = ownedBy(context, body.id, body.fromNodeId);
		const move = moveTaskOf(unfinishedTasks(context, vm.id));
		if (move?.nodeId !== body.nodeId) throw new AppError("wrong-state", "Nobody asked to move this VM here.");
		if (vm.deleting) throw new AppError("wrong-state", `The VM ${vm.name} is being deleted.`);
		if (body.onlyOff) checkOff(context, vm);
		memberOf(context, body.nodeId);
		const local = context.state.volumesOfVm(vm.id).filter(({ nodeId }) => nodeId !== null);
		const poolOf = checkedPools(local, body);
		discard(context, vm, local, body);
		for (const volume of local) moveVolume(context, volume, body.nodeId, poolOf.get(volume.id) ?? volume.poolId);
		// It was stopped when the move began.
		const rest = { reason: null, differences: [], pendingRestart: false, taskId: null };
		const status: VmStatus = { ...vm.status, ...rest, powerState: "stopped" };
		const others = (vm.alsoRunsOn ?? []).filter((id) => id !== body.nodeId);
		context.update("vm", vm, { ...runningAlsoOn(vm, others), nodeId: body.nodeId, status });
		return null;
	},
};

function targetNode(context: ApplyContext, vm: Vm, { nodeId, task }: BodyOf<"vmMove">): Node {
	const to = context.needReferenced("node", nodeId, "/nodeId");
	if (to.id === vm.nodeId) throw new AppError("wrong-state", `The VM ${vm.name} is on the node ${to.name} already.`);
	if (to.witness) throw new AppError("wrong-state", `The node ${to.name} is a witness: it runs no VMs.`);
	if (to.status.phase !== "ready") throw new AppError("wrong-state", `The node ${to.name} is ${to.status.phase}.`);
	if (task.nodeId !== nodeId) throw new AppError("invalid", "The node that a VM goes to carries out the move.");
	if (vm.deleting) throw new AppError("wrong-state", `The VM ${vm.name} is being deleted.`);
	return to;
}

/** Somebody may have started it behind our back, and what its guest wrote since is not in the copy. */
function checkOff(context: ApplyContext, { name, nodeId, status: { powerState } }: Vm): void {
	if (powerState === "stopped" || powerState === "failed") return;
	// Of a node that was removed meanwhile nobody hears any more what it was.
	if (powerState === "unknown" && context.need("node", nodeId).status.phase === "left") return;
	throw new AppError("wrong-state", `The VM ${name} is ${powerState}: only one that is off can be moved.`);
}

/** Its node has what belongs to it, and gives it away. */
function checkMovable(context: ApplyContext, vm: Vm, from: Node, to: Node): void {
	const { phase, lost, reason } = from.status;
	if (phase === "left" || (phase === "not-ready" && lost))
		throw new AppError(
			"wrong-state",
			`The node ${from.name}, which has the VM, is not heard of. Confirm that it is off, with its name.`,
		);
	if (phase === "not-ready")
		throw new AppError(
			"wrong-state",
			`The node ${from.name}, which has the VM, is not ready${reason ? ` (${reason.replace(/\.$/, "")})` : ""}. The VM is moved when it is, or when nobody hears from it any more.`,
		);
	const obstacle = vmRequestObstacle("move", vm, unfinishedTasks(context, vm.id));
	if (obstacle !== null) throw new AppError("wrong-state", obstacle);
	const volumes = context.state.volumesOfVm(vm.id);
	for (const volume of volumes) {
		if (volume.phase !== "ready" && volume.phase !== "pending")
			throw new AppError("wrong-state", `The volume ${volume.name} is ${volume.phase}.`);
		checkNoWork(context, volume);
		if (volume.nodeId === null) continue;
		checkStays(context, volume.id, { pool: null, nodeId: to.id });
		checkNoDependents(context, volume);
		const [held] = snapshotsHolding(context, volume.id);
		if (held)
			throw new AppError(
				"wrong-state",
				`The disk ${volume.name} lies on the node ${from.name} and has the snapshot ${held}, which would not come along. Delete its snapshots first.`,
			);
	}
	// Else what is left there of an earlier move would be removed together with what comes now.
	for (const id of [vm.id, ...volumes.map((volume) => volume.id)])
		if (unfinishedTasks(context, id).some((task) => task.kind === "volume.discard" && task.nodeId === to.id))
			throw new AppError("wrong-state", `What the VM ${vm.name} left on the node ${to.name} is still being removed.`);
}

/** Its node is off: whoever says so has typed its name, which is in the audit. */
function checkGone(context: ApplyContext, vm: Vm, from: Node, { confirmNodeOff, onlyLost }: BodyOf<"vmMove">): void {
	const { phase, lost } = from.status;
	if (phase !== "left" && phase !== "not-ready")
		throw new AppError("wrong-state", `The node ${from.name} is ${phase}: it is not off.`);
	// It says so itself while libvirt is away, and its VMs run on.
	if (onlyLost && phase !== "left" && lost !== true)
		throw new AppError(
			"wrong-state",
			`The node ${from.name} is not ready, but it was heard of a moment ago: its VMs may run. If it is off, try again in some seconds.`,
		);
	const elsewhere = runsElsewhere(vm);
	if (elsewhere !== null) throw new AppError("wrong-state", elsewhere);
	if (confirmNodeOff !== from.name) {
		const message = `The VM is on the node ${from.name}: confirm that it is off with this name.`;
		throw new AppError("invalid", message, { fields: [{ path: "/confirmNodeOff", message }] });
	}
	const left = context.state.volumesOfVm(vm.id).find(({ nodeId }) => nodeId !== null);
	if (left)
		throw new AppError("wrong-state", `The disk ${left.name} of the VM lies on the node ${from.name}, which is off.`);
	for (const volume of context.state.volumesOfVm(vm.id))
		if (unfinishedTasks(context, volume.id).some(({ kind, cancelable }) => kind === "volume.move" && !cancelable))
			throw new AppError(
				"wrong-state",
				`The disk ${volume.name} of the VM was going over to another storage pool when its node was lost: only that node knows where it is.`,
			);
}

/** The record alone goes, at once. */
function takeOver(context: ApplyContext, vm: Vm, to: Node, { task: given, keepDiscards }: BodyOf<"vmMove">): string {
	const error = { code: "canceled", message: `The VM was moved to the node ${to.name}, since its own is off.` };
	const end = { finishedAt: context.time, cancelable: false };
	for (const task of unfinishedTasks(context, vm.id)) {
		// That is other nodes' work, and what they still have of it has to go all the same.
		if (keepDiscards && task.kind === "volume.discard") continue;
		context.update("task", task, { ...task, ...end, state: "canceled", error });
	}
	interruptSnapshotsOf(context, vm.id, error.message);
	for (const { id } of context.state.volumesOfVm(vm.id))
		for (const task of unfinishedTasks(context, id))
			if (task.kind === "volume.move" || task.kind === "volume.flatten")
				context.update("task", task, { ...task, ...end, state: "canceled", error });
	const unknown = { startedAt: null, addresses: [], taskId: null, error: null, pendingRestart: false, differences: [] };
	const status: VmStatus = {
		...{ ...vm.status, ...unknown, powerState: "stopped", reason: null },
		updatedAt: context.time,
	};
	context.update("vm", vm, { ...vm, nodeId: to.id, desiredPower: "stopped", status });
	return createFinishedTask(context, given, ["vm.move"]);
}

/** The pools in which the volumes are now, by volume: all of those that lay on the other node, and no others. */
function checkedPools(local: readonly Volume[], body: BodyOf<"vmMoved">): Map<string, string> {
	const pools = new Map(body.volumes.map(({ id, poolId }) => [id, poolId]));
	if (pools.size !== local.length || local.some(({ id }) => !pools.has(id)))
		throw new AppError("wrong-state", "The disks of the VM are not those that were moved.");
	if (body.discardTaskIds.length !== body.volumes.length + 1)
		throw new AppError("invalid", "A move has one task to discard for each volume, and one for the VM.");
	return pools;
}

function moveVolume(context: ApplyContext, volume: Volume, nodeId: string, poolId: string): void {
	checkPoolUsable(context, poolId, nodeId);
	if (poolId !== volume.poolId) checkVolumeName(context, poolId, volume.name, volume.id);
	// What was copied shares its data with nothing. What was not made yet is made there, from its source.
	const { source } = volume;
	const isCopy = volume.phase === "ready" && source.kind !== "empty";
	const after = { ...volume, nodeId, poolId, source: isCopy ? { ...source, fullCopy: true } : source };
	context.update("volume", volume, after);
}

/** Work for the node that had the VM: what is left there. A node that was removed meanwhile does none. */
function discard(context: ApplyContext, vm: Vm, local: readonly Volume[], body: BodyOf<"vmMoved">): void {
	if (context.need("node", body.fromNodeId).status.phase === "left") return;
	const byId = new Map(local.map((volume) => [volume.id, volume]));
	body.discardTaskIds.forEach((id, position) => {
		const volume = byId.get(body.volumes[position]?.id ?? "");
		const target: ResourceRef = volume
			? { kind: "volume", id: volume.id, name: volume.name }
			: { kind: "vm", id: vm.id, name: vm.name };
		context.insert("task", {
			id,
			kind: "volume.discard",
			state: "pending",
			progress: null,
			message: null,
			targets: [target],
			requester: context.command.requester,
			nodeId: body.fromNodeId,
			parentId: null,
			createdAt: context.time,
			startedAt: null,
			finishedAt: null,
			cancelable: false,
			cancelRequested: false,
			error: null,
			input: volume ? { poolId: volume.poolId, volumeId: volume.id } : { vmId: vm.id },
		});
	});
}
