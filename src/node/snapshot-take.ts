/**
 * A snapshot of a VM, taken: the guest is halted, its UEFI variables and TPM are copied, each disk's pool keeps what the disk holds, QEMU
 * goes on in the files that are written to from now on, all at one moment, and the guest goes on. Nothing here waits for the
 * cluster, so a guest stands still for as long as its storage needs and no longer.
 *
 * Whatever fails, the guest goes on, and what was taken is taken back, unless all of it is there. A daemon that dies in between leaves a
 * halted guest, and the record that it was running: the next one takes the snapshot from the beginning, and each pool says that it has
 * done its part already.
 */
import type { DomainState } from "../hypervisor/driver.ts";
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import { sourceName } from "../model/disk-source.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import type { Openings } from "./openings.ts";
import { isActive } from "./plan-words.ts";
import {
	type DiskOfSnapshot,
	disksOfSnapshot,
	hasSnapshot,
	nameInPool,
	type SnapshotParts,
	withDisk,
	writtenTo,
} from "./snapshot-disks.ts";
import type { TaskBoard } from "./task-board.ts";
import type { TaskRun } from "./task-run.ts";
import type { VolumeUsers } from "./volumes.ts";

type Parts = SnapshotParts & { openings: Pick<Openings, "openOf"> };
type Sizes = { volumeId: string; sizeBytes: number }[];

export function snapshotIdOf({ task }: Pick<TaskRun, "task">): string {
	const { snapshotId } = task.input;
	if (typeof snapshotId !== "string") throw new AppError("internal", "The task does not say which snapshot.");
	return snapshotId;
}

/** What planners see of them. */
export function snapshotsOf(
	{ store }: Pick<NodeContext, "store">,
	{ input }: Pick<Task, "input">,
	{ id }: Pick<Vm, "id">,
) {
	const snapshots = store.all("snapshot", { vmId: id });
	return { snapshots, snapshot: snapshots.find((one) => one.id === input.snapshotId) ?? null };
}

/**
 * The record says what the VM was. Fails with the guest going on and nothing taken, or `unavailable` without libvirt: then again.
 * `whole` hears of the disks as soon as all of it is there: what fails after that takes nothing back.
 */
export async function takeSnapshot(
	parts: Parts,
	vm: Vm,
	snapshotId: string,
	whole: (sizes: Sizes) => void,
): Promise<void> {
	const { context } = parts;
	const snapshot = context.store.get("snapshot", snapshotId);
	if (!snapshot) throw new AppError("canceled", "The snapshot does not exist any more.");
	const disks = await disksOfSnapshot(parts, snapshot);
	const { epoch } = context.connection;
	try {
		await halt(context, vm, snapshot, disks);
		whole(await takeAll(parts, vm, snapshot, disks));
	} catch (error) {
		if (isAppError(error, "unavailable") && (!context.connection.connected || context.connection.epoch !== epoch))
			throw error;
		await undoSnapshot(parts, vm, snapshot);
		throw error;
	}
	await goOn(context, vm.id, snapshot);
}

async function halt(context: NodeContext, vm: Vm, { id, powerState }: Snapshot, disks: DiskOfSnapshot[]) {
	const domain = await readDomain(context, vm.id);
	if (!isActive(domain) || domain?.powerState === "paused") return;
	// A run before this one may have begun: what it took is of another moment, unless it had come to the end.
	const taken: boolean[] = [];
	for (const disk of disks) taken.push(await hasSnapshot(context, disk, id));
	const isNew = taken.every((one) => !one);
	if (!isNew && !(taken.every(Boolean) && (await isSwitched(context, vm.id, disks))))
		throw new AppError("wrong-state", "The VM was resumed while the snapshot was being taken. Take it again.");
	if (powerState !== "running" && isNew)
		throw new AppError("wrong-state", "The VM was resumed before the snapshot was taken. Take it again.");
	if (!isNew) return;
	await limited(context, "Halting the VM", limits.controlMs, () => context.hypervisor.pause(vm.id)).catch((error) => {
		// It has ended: the next look says so.
		if (!isAppError(error, "wrong-state")) throw error;
	});
}

async function takeAll(parts: Parts, vm: Vm, { id }: Snapshot, disks: DiskOfSnapshot[]): Promise<Sizes> {
	const { context } = parts;
	const running = isActive(await readDomain(context, vm.id));
	await limited(context, "Copying the VM's state", limits.snapshotMs, () => context.vmState.keep(vm.id, id));
	const sizes: Sizes = [];
	for (const disk of disks) {
		const { sizeBytes } = await withDisk(context, disk, "Keeping", limits.snapshotMs, () =>
			disk.snapshots.take(disk.volume.id, id, { running }),
		);
		sizes.push({ volumeId: disk.volume.id, sizeBytes });
	}
	if (running) await switchAll(parts, vm, disks);
	return sizes;
}

/** Those that are written to in another file from now on. */
async function switchAll({ context, openings }: Parts, vm: Vm, disks: DiskOfSnapshot[]): Promise<void> {
	const now = await limited(context, "Reading the VM's disks", limits.readMs, () => writtenTo(context, vm.id));
	const wanted: Parameters<NodeContext["hypervisor"]["switchDisks"]>[1][number][] = [];
	for (const { diskId, driver, volume } of disks) {
		const attached = await driver.attachInfo(volume.id);
		// Not in the process: it was unplugged, or waits for the next start to be there.
		const found = now.get(diskId);
		if (found !== undefined && found !== sourceName(attached.source))
			wanted.push({ diskId, disk: { id: diskId, ...attached } });
	}
	if (wanted.length === 0) return;
	await openings.openOf(vm);
	await limited(context, "Giving the VM its new files", limits.liveChangeMs, () =>
		context.hypervisor.switchDisks(vm.id, wanted),
	);
}

async function isSwitched(context: NodeContext, vmId: string, disks: DiskOfSnapshot[]): Promise<boolean> {
	const now = await limited(context, "Reading the VM's disks", limits.readMs, () => writtenTo(context, vmId));
	for (const disk of disks) {
		const found = now.get(disk.diskId);
		if (found !== undefined && found !== (await nameInPool(disk))) return false;
	}
	return true;
}

/** If it was running before. */
async function goOn(context: NodeContext, vmId: string, { powerState }: Snapshot): Promise<void> {
	if (powerState !== "running") return;
	const domain = await readDomain(context, vmId);
	if (!isActive(domain) || domain?.powerState !== "paused") return;
	await limited(context, "Letting the VM go on", limits.controlMs, () => context.hypervisor.resume(vmId));
}

/**
 * Takes back what there is of it and lets the guest go on; what cannot be taken back is logged, and goes when the snapshot is
 * deleted. Fails only when the guest could not be told to go on.
 */
async function undoSnapshot(parts: SnapshotParts, vm: Vm, snapshot: Snapshot): Promise<void> {
	const { context } = parts;
	const log = (error: unknown) =>
		context.logger.warn("a part of a snapshot that failed could not be taken back", {
			...{ vmId: vm.id, snapshotId: snapshot.id, error },
		});
	try {
		const active = isActive(await readDomain(context, vm.id));
		const now = active ? await writtenTo(context, vm.id) : new Map<string, string>();
		for (const disk of await disksOfSnapshot(parts, snapshot))
			await undoDisk(context, disk, snapshot.id, now).catch(log);
		await context.vmState.forget(vm.id, snapshot.id);
	} catch (error) {
		log(error);
	}
	await goOn(context, vm.id, snapshot);
}

async function undoDisk(context: NodeContext, disk: DiskOfSnapshot, id: string, now: Map<string, string>) {
	const { snapshots, volume } = disk;
	if (!(await hasSnapshot(context, disk, id))) return;
	const found = now.get(disk.diskId);
	const stayed = found !== undefined && found !== (await nameInPool(disk));
	await withDisk(context, disk, "Taking back the snapshot of", limits.snapshotMs, (signal) =>
		stayed && snapshots.undoTake ? snapshots.undoTake(volume.id, id) : snapshots.delete(volume.id, id, { signal }),
	);
}

/**
 * The end of a task that failed: the record says why, unless all of the snapshot is there (`whole`). Done again what the step did when it failed: a task that was ended from
 * outside, or gave up waiting for libvirt, has not come to that. Fails while libvirt cannot say how the VM is; then it is tried again.
 */
export async function abandonSnapshot(
	parts: SnapshotParts,
	snapshotId: string,
	whole: Sizes,
	error: unknown,
): Promise<void> {
	const { context } = parts;
	const snapshot = context.store.get("snapshot", snapshotId);
	const vm = snapshot && context.store.get("vm", snapshot.vmId);
	if (!vm || vm.nodeId !== context.nodeId || snapshot?.phase !== "creating") return;
	const { id } = snapshot;
	if (whole.length > 0) {
		await goOn(context, vm.id, snapshot).catch((cause) =>
			context.logger.error("a VM stays halted after a snapshot", { vmId: vm.id, error: cause }),
		);
		await context.propose({
			kind: "snapshotStatus",
			id,
			phase: "ready",
			consistency: "crash",
			sizes: whole,
			error: null,
		});
		return;
	}
	if (snapshot.powerState !== null) {
		await readDomain(context, vm.id);
		await undoSnapshot(parts, vm, snapshot);
	}
	await context.propose({ kind: "snapshotStatus", id, phase: "error", error: toErrorInfo(error) });
}

/**
 * Those of this node's VMs that no task takes any more: it was ended while this node was away, or stayed behind when the node joined a
 * cluster. A VM may stand still for one.
 */
export async function abandonDeserted(
	parts: SnapshotParts,
	board: Pick<TaskBoard, "ofTarget">,
	users: Pick<VolumeUsers, "whileStill">,
): Promise<void> {
	const { store, nodeId, stopping, logger } = parts.context;
	const hasTask = ({ vmId }: Snapshot) => board.ofTarget("vm", vmId).some(({ kind }) => kind === "vm.snapshot");
	for (const snapshot of store.all("snapshot", { phase: "creating" })) {
		if (store.get("vm", snapshot.vmId)?.nodeId !== nodeId || hasTask(snapshot)) continue;
		const reason = new AppError("canceled", "It was called off before it was taken.");
		await users
			.whileStill(snapshot.vmId, stopping, () => abandonSnapshot(parts, snapshot.id, [], reason))
			.catch((error) => logger.warn("a snapshot that nobody takes stays for now", { snapshotId: snapshot.id, error }));
	}
}

const readDomain = (context: NodeContext, vmId: string): Promise<DomainState | null> =>
	limited(context, "Reading the VM's state", limits.readMs, () => context.hypervisor.getDomain(vmId));
