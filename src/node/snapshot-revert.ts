/**
 * A VM set back to a snapshot: each disk, then UEFI variables and TPM. That is begun is in the record before anything changes, and
 * until all of it is done the VM does not start (model/snapshot-rules.ts). One that was cut off is done again from the beginning, with
 * the disks that the VM still has; one that failed on its way waits for a person, who may choose another snapshot.
 */
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { disksToRevert } from "../model/snapshot-rules.ts";
import type { Vm } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import {
	type DiskOfSnapshot,
	disksOfSnapshot,
	hasSnapshot,
	type SnapshotParts,
	withDiskForLong,
} from "./snapshot-disks.ts";
import type { TaskRun } from "./task-run.ts";

/** The VM does not run. Returns what there is to say. */
export async function revertToSnapshot(
	parts: SnapshotParts,
	vm: Vm,
	snapshotId: string,
	run: Pick<TaskRun, "progress">,
): Promise<string | null> {
	const { context } = parts;
	const snapshot = context.store.get("snapshot", snapshotId);
	if (!snapshot) throw new AppError("canceled", "The snapshot does not exist any more.");
	const wanted = disksToRevert(vm, snapshot, true);
	const disks = await disksOfSnapshot(parts, { disks: wanted });
	if (disks.length < wanted.length || wanted.some(({ volumeId }) => !hasDisk(vm, volumeId)))
		throw new AppError("wrong-state", "A disk of the snapshot is not attached to the VM any more.");
	await requireKept(context, snapshot.id, disks);
	const status = (phase: "reverting" | "ready", error: unknown) =>
		context.propose({
			...{ kind: "snapshotStatus", id: snapshotId, phase, error: error === null ? null : toErrorInfo(error) },
		});
	await status("reverting", null);
	let changed = snapshot.phase === "reverting";
	try {
		for (const disk of disks) {
			await revertDisk(context, disk, snapshotId, run).catch((error) => {
				// A refusal has changed nothing.
				changed ||= !isAppError(error, "in-use") && !isAppError(error, "not-found");
				throw error;
			});
			changed = true;
		}
		const remark = await restoreState(context, vm, snapshotId);
		await context.propose({ kind: "snapshotReverted", id: snapshotId });
		const taken = asTheyAre(
			context,
			snapshot.disks.filter((disk) => !wanted.includes(disk)),
		);
		return [remark, taken].filter((one) => one !== null).join(" ") || null;
	} catch (error) {
		if (!context.stopping.aborted) await status(changed ? "reverting" : "ready", error);
		throw error;
	}
}

const hasDisk = ({ spec }: Vm, volumeId: string): boolean => spec.disks.some((disk) => disk.volumeId === volumeId);

const asTheyAre = ({ store }: NodeContext, taken: Snapshot["disks"]): string | null => {
	const names = taken.map(({ volumeId }) => `"${store.get("volume", volumeId)?.name ?? volumeId}"`);
	return names.length === 0 ? null : `Not set back, because the VM has them no more: ${names.join(", ")}.`;
};

/** Before anything is begun. */
async function requireKept(context: NodeContext, snapshotId: string, disks: DiskOfSnapshot[]): Promise<void> {
	for (const disk of disks)
		if (!(await hasSnapshot(context, disk, snapshotId)))
			throw new AppError("storage", `Disk "${disk.volume.name}" has lost this snapshot in its pool.`);
}

async function revertDisk(
	context: NodeContext,
	disk: DiskOfSnapshot,
	snapshotId: string,
	run: Pick<TaskRun, "progress">,
): Promise<void> {
	const { id, sizeBytes, allocatedBytes } = await withDiskForLong(context, disk, "Setting back", run, (options) =>
		disk.snapshots.revert(disk.volume.id, snapshotId, options),
	);
	await context.propose({ kind: "volumeStatus", id, phase: "ready", sizeBytes, allocatedBytes, error: null });
}

async function restoreState(context: NodeContext, { id, spec }: Vm, snapshotId: string): Promise<string | null> {
	const restored = await limited(context, "Setting back the VM's state", limits.snapshotMs, () =>
		context.vmState.restore(id, snapshotId),
	);
	const hasState = spec.firmware !== "bios" || spec.tpm;
	if (restored || !hasState) return null;
	return "UEFI variables and TPM stay as they are: what the snapshot kept of them was lost with the node that had it.";
}
