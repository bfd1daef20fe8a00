/** Snapshots of VMs that go: by themselves, and with their VM from the volumes that stay. */
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import type { Vm } from "../model/vm.ts";
import { disksOfSnapshot, type SnapshotParts, withDiskForLong } from "./snapshot-disks.ts";
import { type DeletionParts, deleteOfDisk } from "./snapshot-merge.ts";
import type { TaskRun } from "./task-run.ts";
import { fillOrSay } from "./thick-space.ts";

export type { DeletionParts };

/** The task snapshot.delete, disk by disk. What is gone already is no error. */
export async function deleteSnapshot(parts: DeletionParts, snapshotId: string, run: TaskRun): Promise<string | null> {
	const { store, propose, stopping } = parts.context;
	const snapshot = store.get("snapshot", snapshotId);
	if (!snapshot) return null;
	let begun = run.task.input.wasReady !== true;
	const lacks: string[] = [];
	try {
		for (const disk of await disksOfSnapshot(parts, snapshot)) {
			await deleteOfDisk(parts, snapshot, disk, run, () => {
				begun = true;
			});
			begun = true;
			// What is merged may leave holes in the file of a thick one.
			const lack = await fillOrSay(parts.context, parts.pools, disk.volume, run);
			if (lack !== null) lacks.push(lack);
		}
		await parts.users.whileStill(snapshot.vmId, run.signal, () =>
			parts.context.vmState.forget(snapshot.vmId, snapshotId),
		);
	} catch (error) {
		if (!stopping.aborted && store.get("snapshot", snapshotId)?.phase === "deleting") {
			// Refused by the first disk, it is as it was. A part of a snapshot is none.
			const whole = !begun && isAppError(error, "in-use");
			const status = { kind: "snapshotStatus", id: snapshotId } as const;
			if (whole) await propose({ ...status, phase: "ready", error: null });
			else await propose({ ...status, phase: "error", error: toErrorInfo(error) });
		}
		throw error;
	}
	await run.setCancelable(false);
	if (store.get("snapshot", snapshotId)) await propose({ kind: "snapshotGone", id: snapshotId });
	return lacks.length === 0 ? null : lacks.join(" ");
}

/** Of a VM that is being deleted: nobody will know of them any more. What a pool refuses stays in it; returns what there is to say of that. */
export async function forgetSnapshots(
	parts: SnapshotParts,
	vm: Vm,
	run: Pick<TaskRun, "progress">,
): Promise<string | null> {
	const { context } = parts;
	const left: string[] = [];
	for (const snapshot of context.store.all("snapshot", { vmId: vm.id }))
		for (const kept of snapshot.disks)
			try {
				for (const disk of await disksOfSnapshot(parts, { disks: [kept] }))
					if (disk.volume.phase !== "deleting")
						await withDiskForLong(context, disk, "Deleting the snapshot of", run, (options) =>
							disk.snapshots.delete(disk.volume.id, snapshot.id, options),
						);
			} catch (error) {
				context.stopping.throwIfAborted();
				if (!(error instanceof AppError)) throw error;
				const { volumeId } = kept;
				const facts = { snapshotId: snapshot.id, volumeId };
				context.logger.warn("a snapshot of a volume stays although its VM goes", { ...facts, error });
				const name = context.store.get("volume", volumeId)?.name ?? volumeId;
				left.push(`The snapshot "${snapshot.name}" of disk "${name}" stays in its pool: ${error.message}`);
			}
	return left.length === 0 ? null : left.join(" ");
}
