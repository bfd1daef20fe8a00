/** The disks of a snapshot on this node: each with the driver that has it. */
import { AppError } from "../lib/errors.ts";
import { sourceName } from "../model/disk-source.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Volume } from "../model/storage.ts";
import type { LongOptions, StorageDriver, VolumeSnapshots } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import type { Pools } from "./pools.ts";
import type { TaskRun } from "./task-run.ts";

export type SnapshotParts = { context: NodeContext; pools: Pick<Pools, "driver"> };
export type DiskOfSnapshot = {
	diskId: string;
	volume: Volume;
	driver: StorageDriver;
	snapshots: VolumeSnapshots;
};

/** One of a volume that is gone is left out. `unsupported` where a pool makes none. */
export async function disksOfSnapshot(
	{ context, pools }: SnapshotParts,
	{ disks }: Pick<Snapshot, "disks">,
): Promise<DiskOfSnapshot[]> {
	const found: DiskOfSnapshot[] = [];
	for (const { diskId, volumeId } of disks) {
		const volume = context.store.get("volume", volumeId);
		if (!volume) continue;
		const driver = await pools.driver(volume.poolId);
		const { snapshots } = driver;
		if (snapshots === null) {
			const reason = driver.capabilities.reasons.snapshots ?? "";
			throw new AppError("unsupported", `Disk "${volume.name}" can have no snapshots. ${reason}`.trim());
		}
		found.push({ diskId, volume, driver, snapshots });
	}
	return found;
}

/** What is done with a volume is done by one at a time. */
export const withDisk = <T>(
	context: NodeContext,
	{ volume }: DiskOfSnapshot,
	what: string,
	limitMs: number,
	work: (signal: AbortSignal) => Promise<T>,
): Promise<T> =>
	context.locks.run(`volume:${volume.id}`, () => limited(context, `${what} disk "${volume.name}"`, limitMs, work));

/** The same where the work takes as long as the disk is large. It is not called off half-way: a part of a snapshot is none. */
export const withDiskForLong = <T>(
	context: NodeContext,
	{ volume }: DiskOfSnapshot,
	what: string,
	{ progress }: Pick<TaskRun, "progress">,
	work: (options: Required<LongOptions>) => Promise<T>,
): Promise<T> =>
	context.locks.run(`volume:${volume.id}`, () =>
		longStep(context, `${what} disk "${volume.name}"`, { run: { progress }, idleMs: limits.revertIdleMs }, work),
	);

export const hasSnapshot = async (context: NodeContext, disk: DiskOfSnapshot, snapshotId: string): Promise<boolean> => {
	const list = await withDisk(context, disk, "Looking at", limits.snapshotMs, () =>
		disk.snapshots.list(disk.volume.id),
	);
	return list.some(({ id }) => id === snapshotId);
};

/** By disk id: the name of what QEMU writes to. Empty when the VM does not run. */
export async function writtenTo({ hypervisor }: NodeContext, vmId: string): Promise<Map<string, string>> {
	const layers = await hypervisor.diskLayers(vmId);
	return new Map(layers.flatMap(({ diskId, layers: [top] }) => (top === undefined ? [] : [[diskId, top] as const])));
}

/** The name of what its pool says that the disk is. */
export const nameInPool = async ({ driver, volume }: DiskOfSnapshot): Promise<string> =>
	sourceName((await driver.attachInfo(volume.id)).source);
