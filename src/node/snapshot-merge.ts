/**
 * One disk freed of a snapshot. While nobody has it open its driver does it. While its VM runs, where snapshots are layers of the disk:
 * the driver says what is to be merged, QEMU does it with the guest going on, and the driver's record follows, until nothing is left.
 * How a process that was killed meanwhile is followed by the next one is said in live-merges.ts. A VM that ends in the middle leaves
 * files of which the driver makes the same as QEMU would have.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { LayerMerge, LongOptions } from "../storage/driver.ts";
import { limited } from "./context.ts";
import { heavyCopy } from "./heavy-copy.ts";
import { bounds, limits } from "./limits.ts";
import type { LiveMerges } from "./live-merges.ts";
import { type DiskOfSnapshot, type SnapshotParts, withDiskForLong } from "./snapshot-disks.ts";
import { orStopping, Stillness, untilStopping } from "./stillness.ts";
import { onceHypervisorAnswers, type TaskRun } from "./task-run.ts";
import type { VolumeUsers } from "./volumes.ts";

export type DeletionParts = SnapshotParts & { users: Pick<VolumeUsers, "whileStill">; merges: LiveMerges };
type Work = { diskId: string; merge: LayerMerge };

/** A pool with less than this left is taken for full, where QEMU has failed. */
const fullBytes = 64 * MiB;
const recordBytes = MiB;

/** `begun`: called as soon as a part of the snapshot is gone. */
export function deleteOfDisk(
	parts: DeletionParts,
	snapshot: Snapshot,
	disk: DiskOfSnapshot,
	run: TaskRun,
	begun: () => void,
): Promise<void> {
	return onceHypervisorAnswers(parts.context, run, async () => {
		for (let merges = 0; merges <= bounds.mergesOfDisk; merges++) {
			const next = await nextMerge(parts, snapshot, disk, run);
			begun();
			if (next === null) return;
			await mergeLive(parts, snapshot.vmId, disk, next, run);
		}
		throw new AppError("internal", "The merging of the disk did not come to an end.");
	});
}

/** Null when there is nothing left to do. */
function nextMerge(
	{ context, users, merges }: DeletionParts,
	{ id, vmId }: Snapshot,
	disk: DiskOfSnapshot,
	run: TaskRun,
): Promise<Work | null> {
	const { snapshots, volume } = disk;
	run.say("Waits until nothing happens to its VM");
	return users.whileStill(vmId, run.signal, async (active) => {
		run.say(`Disk "${volume.name}"`);
		// What an earlier run has left.
		await merges.end(vmId);
		const diskId = active && snapshots.planLiveDelete ? await openAs(vmId, volume.id) : null;
		const work = (options: Required<LongOptions>) => {
			if (diskId !== null && snapshots.planLiveDelete) return snapshots.planLiveDelete(volume.id, id, options);
			return snapshots.delete(volume.id, id, options).then(() => null);
		};
		const merge = await withDiskForLong(context, disk, "Deleting the snapshot of", run, work);
		return merge && diskId !== null ? { diskId, merge } : null;
	});

	/** The disk of the running VM that the volume is; null when its process has it not. */
	async function openAs(vmId: string, volumeId: string): Promise<string | null> {
		const attached = context.store.get("vm", vmId)?.spec.disks.find((one) => one.volumeId === volumeId);
		if (!attached) return null;
		const layers = await limited(context, "Reading the VM's disks", limits.readMs, () =>
			context.hypervisor.diskLayers(vmId),
		);
		return layers.some(({ diskId }) => diskId === attached.id) ? attached.id : null;
	}
}

/** Returns when QEMU is through, or the VM does not run any more: the next look says what is left. */
async function mergeLive(
	parts: DeletionParts,
	vmId: string,
	disk: DiskOfSnapshot,
	{ diskId, merge }: Work,
	run: TaskRun,
): Promise<void> {
	const { context, users, merges } = parts;
	const { hypervisor, stopping, connection } = context;
	const { top, base, active } = merge;
	if (top.kind === "rbd" || base.kind === "rbd")
		throw new AppError("internal", "Snapshots in a Ceph pool are no layers.");
	const record = { taskId: run.task.id, volumeId: disk.volume.id, diskId, top, base, active, halted: false };
	await merges.begin(vmId, record);
	const still = new Stillness(users, vmId, run.signal, "The VM stopped while its disk was merged.");
	const { epoch } = connection;
	try {
		await heavyCopy(context, run, `Merging disk "${disk.volume.name}" while its VM runs`, (signal, progress) => {
			const beforeSwitch = async () => {
				await still.begin();
				await run.setCancelable(false);
				await requireRoom(disk);
				signal.throwIfAborted();
				stopping.throwIfAborted();
				await merges.halt(vmId);
			};
			const options = { signal: orStopping(signal, stopping), progress, ...(active ? { beforeSwitch } : {}) };
			const merging = hypervisor.commitDisk(vmId, diskId, { top, base, relative: top.kind === "file" }, options);
			// A guest that stands still is waited for.
			return untilStopping(merging, stopping, () => still.isHeld);
		});
		if (still.isHeld) await merges.end(vmId);
	} catch (error) {
		if (stopping.aborted) {
			if (still.isHeld) await merges.end(vmId);
			throw error;
		}
		const away = !connection.connected || connection.epoch !== epoch;
		if (isAppError(error, "unavailable") && away) throw error;
		const takeBack = () => merges.takeBack(vmId);
		// It may be done although the answer was lost.
		if (!(await (still.isHeld ? takeBack() : users.whileStill(vmId, stopping, takeBack))))
			throw await explained(disk, error);
	} finally {
		still.end();
	}
}

/** The guest goes on only when the pool's record says what it writes to. */
async function requireRoom({ driver, volume }: DiskOfSnapshot): Promise<void> {
	if ((await driver.check()).availableBytes < recordBytes) throw noRoom(volume.name);
}

const noRoom = (name: string, cause?: unknown): AppError =>
	new AppError(
		"no-space",
		`The pool has no room left to merge disk "${name}". The VM goes on, and nothing of it is lost. Make room in the pool, then delete the snapshot again.`,
		{ cause },
	);

/** QEMU does not say what was wrong with the file that it wrote to. */
async function explained({ driver, volume }: DiskOfSnapshot, error: unknown): Promise<unknown> {
	if (!isAppError(error, "hypervisor")) return error;
	const usage = await driver.check().catch(() => null);
	if (usage === null || usage.availableBytes >= fullBytes) return error;
	return noRoom(volume.name, error);
}
