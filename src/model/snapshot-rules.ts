/** Rules of snapshots that need nothing but the objects. Pure; imported by the browser. */
import { subjectOf } from "../lib/list-names.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Pool, Volume } from "./storage.ts";
import { needsSource } from "./storage-rules.ts";
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

/** Why a VM with so many snapshots gets no more of them. */
export const snapshotCountObstacle = ({ name }: Pick<Vm, "name">, count: number): string | null =>
	count < maxSnapshotsOfVm ? null : `The VM ${name} has ${maxSnapshotsOfVm} snapshots. Delete some first.`;

/** Why there is nothing that a snapshot of the VM could keep. */
export const noDisksObstacle = (vm: Pick<Vm, "name" | "spec">): string | null =>
	snapshotDisksOf(vm).length > 0 ? null : `The VM ${vm.name} has no disk that a snapshot could keep.`;

export const snapshotWorkObstacle = (vm: Pick<Vm, "name">, tasks: readonly Pick<Task, "kind">[]): string | null =>
	snapshotWorkOf(tasks) ? `Work on a snapshot of the VM ${vm.name} is under way.` : null;

/** Why the disk can be neither kept nor set back now. */
export const diskPhaseObstacle = ({ name, phase }: Pick<Volume, "name" | "phase">): string | null =>
	phase === "ready" ? null : `The disk ${name} is ${phase}, not ready.`;

/**
 * While the VM runs. Where snapshots are layers of the disk, QEMU has to merge them then: `merging`, which all nodes that know how to
 * have it done ask for. Of logical volumes nobody can: the lock of one that is a layer does not become that of a disk while it is open.
 */
export const deletesSnapshotsLive = ({ type }: Pick<Pool, "type">, merging: boolean): boolean =>
	type === "ceph-rbd" || (merging && (type === "local" || type === "nfs"));

/** By id; undefined or null when there is none, or when it is not known. */
type Lookup<T> = (id: string) => T | null | undefined;

/** Why nothing is set back to it: it is no snapshot now. */
export const revertPhaseObstacle = ({ name, phase }: Pick<Snapshot, "name" | "phase">): string | null =>
	phase === "ready" || phase === "reverting" ? null : `The snapshot ${name} is ${phase}.`;

/**
 * Disks of the snapshot that are set back. Where it is half done already, those that the VM still has: the others may be gone for good, or
 * somebody else's, and the VM starts only when this comes to its end. `partly`: all members know that.
 */
export const disksToRevert = (
	{ spec }: Pick<Vm, "spec">,
	{ disks, phase }: Pick<Snapshot, "disks" | "phase">,
	partly: boolean,
): Snapshot["disks"] =>
	partly && phase === "reverting"
		? disks.filter(({ volumeId }) => spec.disks.some((disk) => disk.volumeId === volumeId))
		: disks;

/** Why this disk of the snapshot is not set back. */
export function revertDiskObstacle(
	vm: Pick<Vm, "name" | "spec">,
	snapshot: Pick<Snapshot, "name">,
	volumeId: string,
	volume: Pick<Volume, "name" | "phase"> | null | undefined,
): string | null {
	if (volume && vm.spec.disks.some((disk) => disk.volumeId === volumeId)) return diskPhaseObstacle(volume);
	return `The disk ${volume?.name ?? volumeId} of the snapshot ${snapshot.name} is not attached to the VM ${vm.name}.`;
}

/** Why the snapshot stays: volumes of `volumes` were made of it and rest on it, or are being made of it. */
export function snapshotCopyObstacle(
	{ id, name }: Pick<Snapshot, "id" | "name">,
	volumes: readonly Pick<Volume, "name" | "source" | "phase">[],
): string | null {
	const copies = volumes.filter(
		(volume) => volume.source.kind === "snapshot" && volume.source.snapshotId === id && needsSource(volume),
	);
	const names = copies.map((copy) => copy.name).sort();
	return names.length === 0 ? null : `${subjectOf([{ noun: "volume", names }])} made from the snapshot ${name}.`;
}

/** Why it is reverted to before it is deleted. */
export const halfRevertedDeletionObstacle = (
	vm: Pick<Vm, "name">,
	{ name, phase }: Pick<Snapshot, "name" | "phase">,
): string | null =>
	phase === "reverting"
		? `Some disks of the VM ${vm.name} are set back to the snapshot ${name}, and some are not. Revert it first.`
		: null;

/** While the VM runs, why layers of its disks stay what they are: `copiesOf` a snapshot are being made, and may rest on any of them. */
export function beingCopiedObstacle(
	{ name, status }: Pick<Vm, "name" | "status">,
	snapshots: readonly Pick<Snapshot, "id">[],
	copiesOf: (snapshotId: string) => readonly Pick<Volume, "name" | "phase">[],
): string | null {
	if (status.powerState === "stopped" || status.powerState === "failed") return null;
	const copies = snapshots.flatMap(({ id }) => copiesOf(id));
	const made = copies.find(({ phase }) => phase === "pending" || phase === "creating");
	return made
		? `The volume ${made.name} is being made from a snapshot of the VM ${name}. Wait until it is there.`
		: null;
}

/**
 * Why the VM has to be off before the snapshot is deleted; `merging` as above. Of one that was not taken there is mostly nothing: its
 * node says so if there is.
 */
export function liveDeletionObstacle(
	vm: Pick<Vm, "id" | "status">,
	{ disks, name, phase }: Pick<Snapshot, "disks" | "name" | "phase">,
	volumeOf: Lookup<Pick<Volume, "name" | "poolId" | "vmId">>,
	poolOf: Lookup<Pick<Pool, "name" | "type">>,
	merging: boolean,
): string | null {
	const { powerState } = vm.status;
	if (phase !== "ready" || powerState === "stopped" || powerState === "failed") return null;
	for (const { volumeId } of disks) {
		const volume = volumeOf(volumeId);
		const pool = volume && poolOf(volume.poolId);
		if (pool && volume.vmId === vm.id && !deletesSnapshotsLive(pool, merging))
			return `The snapshot ${name} cannot be deleted while the VM is ${powerState}: in the storage pool ${pool.name} it is a part of the disk ${volume.name}, which is in use. Shut the VM down first.`;
	}
	return null;
}

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
