/** Rules of snapshots that need nothing but the objects. Pure; imported by the browser. */
import type { Snapshot } from "./snapshot.ts";
import type { Pool, Volume } from "./storage.ts";
import type { Task, TaskKind } from "./task.ts";
import type { Vm } from "./vm.ts";

/** More than that nobody keeps an eye on; disks in files become slower with each. */
export const maxSnapshotsOfVm = 64;

/** Disks that a snapshot of the VM holds: what cannot be written to stays what it is. */
export const snapshotDisksOf = ({ spec }: Pick<Vm, "spec">): Vm["spec"]["disks"] =>
	spec.disks.filter(({ readOnly }) => !readOnly);

const snapshotTasks: readonly TaskKind[] = ["vm.snapshot", "vm.revert", "snapshot.delete"];

/** Work on the snapshots of a VM that is not finished. `tasks`: the VM's. */
export const snapshotWorkOf = <T extends Pick<Task, "kind">>(tasks: readonly T[]): T | undefined =>
	tasks.find(({ kind }) => snapshotTasks.includes(kind));

/** Why a disk of that pool can have no snapshots, as its driver says; null when it can, or when no node has said yet. */
export function snapshotObstacle(pool: Pick<Pool, "name" | "nodes">, volume: Pick<Volume, "name">): string | null {
	const known = pool.nodes.find(({ capabilities }) => capabilities !== null)?.capabilities;
	if (!known || known.snapshots) return null;
	const reason = known.reasons.snapshots;
	return `The disk ${volume.name} lies in the storage pool ${pool.name}, which makes no snapshots${reason ? `: ${reason}` : "."}`;
}

/** Elsewhere only while nobody has the disk open: layers of it become one. */
export const deletesSnapshotsLive = ({ type }: Pick<Pool, "type">): boolean => type === "ceph-rbd";

/** Why the VM cannot start: some of its disks are set back, and some are not. */
export function halfRevertedObstacle(snapshots: readonly Pick<Snapshot, "name" | "phase">[]): string | null {
	const half = snapshots.find(({ phase }) => phase === "reverting");
	if (!half) return null;
	return `Some of its disks are set back to the snapshot ${half.name}, and some are not. Revert it to a snapshot again.`;
}

/** Whether a node may report that a snapshot went from one phase to another. */
export function snapshotPhaseObstacle(from: Snapshot["phase"], to: Snapshot["phase"]): string | null {
	if (from === to) return null;
	if (to === "deleting") return "Only a request to delete it makes a snapshot deleting.";
	if (to === "creating") return "A snapshot is taken once.";
	if (from === "deleting" && to !== "error" && to !== "ready") return "The snapshot is being deleted.";
	if (from === "creating" && to === "reverting") return "The snapshot is not taken yet.";
	return null;
}
