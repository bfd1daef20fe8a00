/** Snapshots of VMs. The node of the VM takes them, sets the VM back to them and deletes them, in the VM's own queue. */
import { AppError } from "../../lib/errors.ts";
import type { VmAction } from "../../model/actions.ts";
import { Snapshot, SnapshotUpdate } from "../../model/snapshot.ts";
import {
	beingCopiedObstacle,
	diskPhaseObstacle,
	disksToRevert,
	halfRevertedDeletionObstacle,
	liveDeletionObstacle,
	noDisksObstacle,
	revertDiskObstacle,
	revertPhaseObstacle,
	snapshotCopyObstacle,
	snapshotCountObstacle,
	snapshotDisksOf,
	snapshotObstacle,
	snapshotPhaseObstacle,
	snapshotWorkObstacle,
} from "../../model/snapshot-rules.ts";
import type { Volume } from "../../model/storage.ts";
import type { Task, TaskKind } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import type { Vm } from "../../model/vm.ts";
import { vmRequestObstacle } from "../../model/vm-rules.ts";
import { type AroundVolume, snapshotsHolding as namesHolding } from "../../model/volume-rules.ts";
import {
	asCreated,
	checkGeneration,
	checkNotFlattening,
	createFinishedTask,
	createTask,
	describedChanges,
	endTasksOf,
	isOnLostNode,
	nameTaken,
	unfinishedTasks,
} from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";

export const snapshotHandlers: Handlers<
	| "snapshotCreate"
	| "snapshotUpdate"
	| "snapshotStatus"
	| "snapshotRevert"
	| "snapshotReverted"
	| "snapshotDelete"
	| "snapshotGone"
> = {
	snapshotCreate(context, body) {
		const given = validated(Snapshot, body.snapshot, "The snapshot");
		const vm = context.needReferenced("vm", given.vmId, "/vmId");
		checkPossible(context, "snapshot", vm);
		const others = context.state.snapshotsOfVm(vm.id);
		refuse(snapshotCountObstacle(vm, others.length));
		checkFree(others, given.name, null);
		const snapshot: Snapshot = {
			...given,
			parentId: others.find(({ current }) => current)?.id ?? null,
			disks: checkedDisks(context, vm),
			...{ current: false, phase: "creating", powerState: null, consistency: "crash", error: null },
		};
		context.insert("snapshot", asCreated(context, snapshot));
		return createVmTask(context, vm, snapshot, body.task, "vm.snapshot");
	},

	snapshotUpdate(context, { kind: _kind, id, expectedGeneration, ...changes }) {
		const snapshot = context.need("snapshot", id);
		checkGeneration(snapshot, expectedGeneration, "snapshot");
		validated(SnapshotUpdate, changes, "The change");
		if (changes.name !== undefined) checkFree(context.state.snapshotsOfVm(snapshot.vmId), changes.name, id);
		context.updateSpec("snapshot", snapshot, describedChanges<Snapshot>(changes));
		return null;
	},

	snapshotStatus(context, { id, phase, powerState, consistency, sizes = [], error }) {
		const snapshot = context.need("snapshot", id);
		const obstacle = snapshotPhaseObstacle(snapshot.phase, phase);
		if (obstacle !== null) throw new AppError("wrong-state", obstacle);
		const after: Snapshot = {
			...snapshot,
			phase,
			...(powerState === undefined ? {} : { powerState }),
			...(consistency === undefined ? {} : { consistency }),
			disks: snapshot.disks.map((disk) => ({
				...disk,
				sizeBytes: sizes.find(({ volumeId }) => volumeId === disk.volumeId)?.sizeBytes ?? disk.sizeBytes,
			})),
			...(error === undefined ? {} : { error }),
		};
		const wasTaken = snapshot.phase === "creating" && phase === "ready";
		context.update("snapshot", snapshot, validated(Snapshot, after, "The snapshot"));
		if (wasTaken) moveCurrent(context, snapshot.vmId, id);
		return null;
	},

	snapshotRevert(context, body) {
		const snapshot = context.need("snapshot", body.id);
		const vm = context.need("vm", snapshot.vmId);
		refuse(revertPhaseObstacle(snapshot));
		checkPossible(context, "revert", vm);
		checkDisksAreThere(context, vm, snapshot, body.partly ?? false);
		return createVmTask(context, vm, snapshot, body.task, "vm.revert");
	},

	snapshotReverted(context, { id }) {
		const snapshot = context.need("snapshot", id);
		if (snapshot.phase !== "reverting")
			throw new AppError("wrong-state", "The VM is not being set back to this snapshot.");
		// Whatever was half done before is whole by this.
		for (const other of context.state.snapshotsOfVm(snapshot.vmId))
			if (other.phase === "reverting") context.update("snapshot", other, { ...other, phase: "ready", error: null });
		moveCurrent(context, snapshot.vmId, id);
		return null;
	},

	snapshotDelete(context, body) {
		const snapshot = context.need("snapshot", body.id);
		const vm = context.need("vm", snapshot.vmId);
		refuse(snapshotCopyObstacle(snapshot, context.state.linked("volume", "sourceSnapshotId", snapshot.id)), "in-use");
		if (isOnLostNode(context, vm)) {
			removeSnapshot(context, snapshot);
			return createFinishedTask(context, body.task, ["snapshot.delete"]);
		}
		checkPossible(context, "delete-snapshot", vm);
		refuse(halfRevertedDeletionObstacle(vm, snapshot));
		for (const { volumeId } of snapshot.disks) {
			const volume = context.get("volume", volumeId);
			if (volume) checkNotFlattening(context, volume);
		}
		refuse(
			beingCopiedObstacle(vm, context.state.snapshotsOfVm(vm.id), (one) =>
				context.state.linked("volume", "sourceSnapshotId", one),
			),
		);
		refuse(liveDeletionObstacle(vm, snapshot, volumeIn(context), poolIn(context), body.merging ?? false));
		context.update("snapshot", snapshot, { ...snapshot, phase: "deleting", error: null });
		return createVmTask(context, vm, snapshot, body.task, "snapshot.delete");
	},

	snapshotGone(context, { id }) {
		const snapshot = context.need("snapshot", id);
		if (snapshot.phase !== "deleting") throw new AppError("wrong-state", "Nobody asked to delete this snapshot.");
		removeSnapshot(context, snapshot);
		return null;
	},
};

/** The VM's state allows it, and nothing else is being done with its snapshots. */
function checkPossible(context: ApplyContext, action: VmAction, vm: Vm): void {
	const tasks = unfinishedTasks(context, vm.id);
	refuse(vmRequestObstacle(action, vm, tasks) ?? snapshotWorkObstacle(vm, tasks));
}

function refuse(obstacle: string | null, code: "wrong-state" | "in-use" | "unsupported" = "wrong-state"): void {
	if (obstacle !== null) throw new AppError(code, obstacle);
}

const volumeIn = (context: ApplyContext) => (id: string) => context.get("volume", id);
const poolIn = (context: ApplyContext) => (id: string) => context.get("pool", id);

function checkFree(others: readonly Snapshot[], name: string, ownId: string | null): void {
	const lower = name.toLowerCase();
	if (others.some((other) => other.id !== ownId && other.name.toLowerCase() === lower))
		throw nameTaken("snapshot", name);
}

/** All that the guest can write to, as it is. */
function checkedDisks(context: ApplyContext, vm: Vm): Snapshot["disks"] {
	const disks = snapshotDisksOf(vm).map(({ id, volumeId }) => {
		const volume = context.need("volume", volumeId);
		checkAtRest(context, volume);
		refuse(snapshotObstacle(context.need("pool", volume.poolId), volume), "unsupported");
		return { diskId: id, volumeId, sizeBytes: volume.sizeBytes };
	});
	refuse(noDisksObstacle(vm));
	return disks;
}

function checkAtRest(context: ApplyContext, volume: Volume): void {
	refuse(diskPhaseObstacle(volume));
	// It may be on its way to another pool.
	if (unfinishedTasks(context, volume.id).some(({ kind }) => kind !== "volume.discard"))
		throw new AppError("wrong-state", `Work on the disk ${volume.name} is under way.`);
}

function checkDisksAreThere(context: ApplyContext, vm: Vm, snapshot: Snapshot, partly: boolean): void {
	for (const { volumeId } of disksToRevert(vm, snapshot, partly)) {
		refuse(revertDiskObstacle(vm, snapshot, volumeId, context.get("volume", volumeId)));
		checkAtRest(context, context.need("volume", volumeId));
	}
}

function createVmTask(context: ApplyContext, vm: Vm, { id, name }: Snapshot, given: Task, kind: TaskKind): string {
	if (given.nodeId !== vm.nodeId)
		throw new AppError("wrong-state", `The VM ${vm.name} is on another node by now. Try again.`);
	const targets: Task["targets"] = [
		{ kind: "vm", id: vm.id, name: vm.name },
		{ kind: "snapshot", id, name },
	];
	return createTask(context, { ...given, targets }, [kind]);
}

function moveCurrent(context: ApplyContext, vmId: string, id: string): void {
	for (const snapshot of context.state.snapshotsOfVm(vmId))
		context.update("snapshot", snapshot, { ...snapshot, current: snapshot.id === id });
}

/** What came after it comes after what it came after. */
function removeSnapshot(context: ApplyContext, snapshot: Snapshot): void {
	const { id, vmId, parentId, current } = snapshot;
	for (const other of context.state.snapshotsOfVm(vmId)) {
		if (other.parentId === id) context.update("snapshot", other, { ...other, parentId });
		else if (current && other.id === parentId) context.update("snapshot", other, { ...other, current: true });
	}
	endTasksOf(context, id, "snapshot.delete", "snapshot");
	context.remove("snapshot", snapshot);
}

/** The VM goes, and they are a part of it. */
export function removeSnapshotsOf(context: ApplyContext, vmId: string): void {
	for (const snapshot of context.state.snapshotsOfVm(vmId)) context.remove("snapshot", snapshot);
}

/** Nobody will finish what was under way: the VM has another node, or none. */
export function interruptSnapshotsOf(context: ApplyContext, vmId: string, message: string): void {
	const error = { code: "canceled", message };
	for (const snapshot of context.state.snapshotsOfVm(vmId))
		if (snapshot.phase === "creating" || snapshot.phase === "deleting")
			context.update("snapshot", snapshot, { ...snapshot, phase: "error", error });
}

/** Those that hold the volume, and what is to be known of their VMs. */
export const holdersOf = (context: ApplyContext, volumeId: string): Pick<AroundVolume, "snapshots" | "vmNameOf"> => ({
	snapshots: context.state.linked("snapshot", "volumeId", volumeId),
	vmNameOf: (vmId) => context.get("vm", vmId)?.name,
});

export const snapshotsHolding = (context: ApplyContext, volumeId: string): string[] =>
	namesHolding(volumeId, holdersOf(context, volumeId));
