/** Why snapshots are not taken, reverted to or deleted now, as the model says it of what the live store has. */
import { vmActionObstacle } from "../../../../src/model/actions.ts";
import {
	disksToRevert,
	halfRevertedDeletionObstacle,
	halfRevertedObstacle,
	liveDeletionObstacle,
	noDisksObstacle,
	revertDiskObstacle,
	revertPhaseObstacle,
	snapshotCopyObstacle,
	snapshotWorkObstacle,
	snapshotWorkOf,
} from "../../../../src/model/snapshot-rules.ts";
import { live, liveSnapshots } from "../../../api/live/live.ts";
import { obstacleTo } from "../../../api/session.ts";
import { runningTasks } from "../../../api/tasks.ts";
import type { Snapshot, Task, Vm } from "../../../api/types.ts";
import type { SnapshotState } from "../../../components/states.ts";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { states } from "../../../strings/states.ts";

const workOn = (id: string): Task[] =>
	runningTasks.value.filter(({ targets }) => targets.some((target) => target.id === id));
const volumeOf = (id: string) => live.volume.one(id).value;
const poolOf = (id: string) => live.pool.one(id).value;

/** What is in the way besides role and state: work under way, or nothing to keep. */
export const takeObstacle = (vm: Vm): string | null => snapshotWorkObstacle(vm, workOn(vm.id)) ?? noDisksObstacle(vm);

/** A VM that is half set back does not start, as far as its snapshots are known here. A revert under way makes it whole first. */
export const startObstacle = (vm: Vm): string | null =>
	workOn(vm.id).some(({ kind }) => kind === "vm.revert")
		? null
		: halfRevertedObstacle(liveSnapshots.peek(vm.id)?.items.value ?? []);

export function revertObstacle(vm: Vm, snapshot: Snapshot): string | null {
	const state =
		obstacleTo("snapshotRevert") ??
		revertPhaseObstacle(snapshot) ??
		vmActionObstacle("revert", vm) ??
		snapshotWorkObstacle(vm, workOn(vm.id));
	if (state !== null || live.volume.state.value !== "ready") return state;
	for (const { volumeId } of disksToRevert(vm, snapshot, true)) {
		const obstacle = revertDiskObstacle(vm, snapshot, volumeId, volumeOf(volumeId));
		if (obstacle !== null) return obstacle;
	}
	return null;
}

/** While a node of an older version is in the cluster it is not so, and the answer says that then. */
export const merging = true;

export const deleteObstacle = (vm: Vm, snapshot: Snapshot): string | null =>
	obstacleTo("snapshotDelete") ??
	vmActionObstacle("delete-snapshot", vm) ??
	snapshotWorkObstacle(vm, workOn(vm.id)) ??
	halfRevertedDeletionObstacle(vm, snapshot) ??
	snapshotCopyObstacle(snapshot, live.volume.items.value) ??
	liveDeletionObstacle(vm, snapshot, volumeOf, poolOf, merging);

export const copyObstacle = (snapshot: Snapshot): string | null =>
	obstacleTo("volumeCreate") ??
	(snapshot.phase === "ready" ? null : t.notReady(states.snapshot[stateOf(snapshot)].toLowerCase()));

/** Its phase, and whether anything goes on with it. */
export const stateOf = ({ phase, vmId }: Snapshot): SnapshotState =>
	phase === "reverting" && !snapshotWorkOf(workOn(vmId)) ? "half" : phase;
