/**
 * The task volume.move: a volume goes to another pool of this node, and keeps its id. The whole content is copied first, then the
 * command volumeMoved says that it is there, then what is left in the old pool is discarded (the task volume.discard).
 *
 *   at rest    record → room? → read from one pool, received in the other → nobody has written since? → volumeMoved → record away
 *   its VM runs  record → empty volume in the other pool → opened here → block copy by QEMU, which follows what the guest writes →
 *              the VM's queue keeps still, record: switching → QEMU goes over → volumeMoved → record away → old one closed
 *
 * | found by the next run       | at rest                         | VM runs                        | VM does not run any more         |
 * | --------------------------- | ------------------------------- | ------------------------------ | -------------------------------- |
 * | record, copying             | copied anew, unless whole       | the copy is adopted, or begun  | fails: taken back                |
 * | record, switching           | (never)                         | what QEMU has open decides     | what is defined decides          |
 * | volumeMoved applied         | record away                     | record away                    | record away                      |
 *
 * While it is switching nobody may define or start the VM from the state, which may name the pool that QEMU has left: whoever
 * is about to asks `settle` first (domain-spec.ts). Without a quorum nothing goes over, because the task is made uncancelable before.
 * A task that has ended without volumeMoved leaves the volume where it was; what it made goes with the next sweep (volume-moves.ts).
 */
import { AppError, isAppError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import type { Provisioning, Volume } from "../model/storage.ts";
import type { Vm } from "../model/vm.ts";
import type { StorageDriver, VolumeInfo } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { wholeContent } from "./copy-across-pools.ts";
import { heavyCopy } from "./heavy-copy.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import type { Openings } from "./openings.ts";
import type { Pools } from "./pools.ts";
import { measure } from "./sources.ts";
import { orStopping, Stillness, untilStopping } from "./stillness.ts";
import { Later, type TaskRun, upToDate } from "./task-run.ts";
import { fillOrSay, requireDiscardOff } from "./thick-space.ts";
import type { VolumeMoveRecord, VolumeMoves } from "./volume-moves.ts";
import type { VolumeUsers } from "./volumes.ts";

export type VolumeMoveParts = {
	context: NodeContext;
	pools: Pick<Pools, "driver">;
	openings: Pick<Openings, "openIn" | "wentTo">;
	users: VolumeUsers;
	moves: VolumeMoves;
};

/** The handler of the task. */
export async function moveVolume(parts: VolumeMoveParts, volumeId: string, run: TaskRun): Promise<string | null> {
	const { context, moves } = parts;
	try {
		return await move(parts, volumeId, run);
	} catch (error) {
		if (context.stopping.aborted || error instanceof Later) throw error;
		// Whatever failed: when QEMU has gone over, the volume is there.
		if ((await moves.settle(volumeId)) || isThere(parts, volumeId, endsOf(run).toPoolId))
			return await saidOf(parts, volumeId, run);
		// First the end of the task: from now on it cannot say any more that the volume is elsewhere.
		await run.fail(error);
		await moves.sweepOne(volumeId);
		throw error;
	}
}

type Ends = Pick<VolumeMoveRecord, "fromPoolId" | "toPoolId" | "format">;

function endsOf({ task }: TaskRun): Ends {
	const { poolId, fromPoolId, format } = task.input;
	if (typeof poolId !== "string" || typeof fromPoolId !== "string" || (format !== "raw" && format !== "qcow2"))
		throw new AppError("internal", "The task does not say where the volume goes.");
	return { fromPoolId, toPoolId: poolId, format };
}

/** How it gets its space in the other pool, when that was said. */
function wayOf({ task: { input } }: TaskRun): { provisioning?: Provisioning } {
	const { provisioning } = input;
	return provisioning === "thin" || provisioning === "thick" ? { provisioning } : {};
}

/** It is there. QEMU writes what it copies, and no more: a thick one gets the rest of its space now, and it is said when it cannot have it. */
async function saidOf({ context, pools }: VolumeMoveParts, volumeId: string, run: TaskRun): Promise<string> {
	const { store } = context;
	const { fromPoolId, toPoolId } = endsOf(run);
	const name = (id: string) => store.get("pool", id)?.name ?? "another pool";
	const moved = `Moved from ${name(fromPoolId)} to ${name(toPoolId)}.`;
	const volume = store.get("volume", volumeId);
	const lack = volume?.poolId === toPoolId ? await fillOrSay(context, pools, volume, run) : null;
	return lack === null ? moved : `${moved} ${lack}`;
}

async function move(parts: VolumeMoveParts, volumeId: string, run: TaskRun): Promise<string> {
	const { context, moves, users } = parts;
	await upToDate(context, "It is not known where the volume is now.");
	const ends = endsOf(run);
	const volume = context.store.get("volume", volumeId);
	if (!volume || volume.phase === "deleting") throw new AppError("canceled", "The volume is gone, or on its way out.");
	if (volume.poolId === ends.toPoolId) await moves.finish(volumeId);
	else if (volume.vmId === null) {
		const holder = await users.heldBy(volumeId, run.signal);
		if (holder !== null)
			throw new AppError("in-use", `VM "${holder}" still has volume "${volume.name}" open: stop that VM first.`);
		await moveAtRest(parts, volume, ends, run);
	} else await moveOfVm(parts, volume, volume.vmId, ends, run);
	return saidOf(parts, volumeId, run);
}

const isThere = ({ context }: VolumeMoveParts, volumeId: string, poolId: string): boolean =>
	context.store.get("volume", volumeId)?.poolId === poolId;

async function moveOfVm(parts: VolumeMoveParts, volume: Volume, vmId: string, ends: Ends, run: TaskRun): Promise<void> {
	const { moves, users } = parts;
	const wasRunning = (await moves.recordOf(volume.id, run.task.id))?.live ?? null;
	const look = users.whileStill(vmId, run.signal, async (active) => {
		// The VM's queue may have settled it before.
		if (isThere(parts, volume.id, ends.toPoolId)) return "done";
		if (wasRunning === null && !active) {
			await moveAtRest(parts, volume, ends, run);
			return "done";
		}
		if (await moves.settle(volume.id)) return "done";
		if (active) return "running";
		throw new AppError("wrong-state", "The VM stopped while its disk was copied; the disk is where it was.");
	});
	const found = await look.catch((error) => {
		// What was begun is not given up because libvirt does not say whether the VM runs.
		const unknown = isAppError(error, "unavailable") || isAppError(error, "timeout");
		throw wasRunning !== null && unknown ? new Later("It is not known whether the VM runs.", { cause: error }) : error;
	});
	if (found === "running") await moveWhileRunning(parts, volume, vmId, ends, run);
}

function moveAtRest(parts: VolumeMoveParts, volume: Volume, ends: Ends, run: TaskRun): Promise<void> {
	const { context, moves, pools } = parts;
	const work = async () => {
		const { id, name } = volume;
		const from = await pools.driver(ends.fromPoolId);
		const to = await pools.driver(ends.toPoolId);
		const before = await infoOf(context, from, volume);
		await requireNoSnapshots(context, from, volume);
		const known = await moves.begin(id, { taskId: run.task.id, ...ends, live: null, switching: false, copied: null });
		const there = await limited(context, "Looking for the copy", limits.quickStorageMs, () => to.getVolume(id));
		if (there === null || known.copied !== before.contentMark) {
			await longStep(context, "Removing an old copy", { run, cancelable: run, idleMs: deletionIdleOf(to) }, (options) =>
				to.deleteVolume(id, options),
			);
			await requireRoom(context, from, to, volume, run);
			await heavyCopy(context, run, `Copying volume "${name}"`, async (signal, progress) => {
				const content = await wholeContent(from, before, ends.format, signal);
				const received = await to.receiveVolume(id, content, { ...wayOf(run), signal, progress });
				if (received.format !== ends.format || received.sizeBytes < before.sizeBytes)
					throw new AppError("corrupt", `The copy of volume "${name}" is another disk than the volume.`);
			});
			if ((await infoOf(context, from, volume)).contentMark !== before.contentMark)
				throw new AppError("in-use", `Volume "${name}" was written to while it was copied.`);
			await moves.set(id, { ...known, copied: before.contentMark });
		}
		await run.setCancelable(false);
		run.signal.throwIfAborted();
		await moves.take(id);
	};
	return context.locks.run(`volume:${volume.id}`, work, run.signal);
}

async function moveWhileRunning(
	parts: VolumeMoveParts,
	volume: Volume,
	vmId: string,
	ends: Ends,
	run: TaskRun,
): Promise<void> {
	const { context, moves, openings, pools } = parts;
	const { id, name } = volume;
	const vm = context.store.get("vm", vmId);
	const disk = diskOf(vm, volume);
	if (vm) await requireDiscardOff(context, pools, vm, disk, { ...ends, ...wayOf(run) });
	const from = await pools.driver(ends.fromPoolId);
	const to = await pools.driver(ends.toPoolId);
	const { sizeBytes } = await infoOf(context, from, volume);
	await requireNoSnapshots(context, from, volume);
	const live = { vmId, diskId: disk.id };
	const record = await moves.begin(id, { taskId: run.task.id, ...ends, live, switching: false, copied: null });
	const there = await limited(context, "Looking for the copy", limits.quickStorageMs, () => to.getVolume(id));
	if (there === null) await requireRoom(context, from, to, volume, run);
	const wanted = { format: ends.format, sizeBytes, source: { kind: "empty" }, ...wayOf(run) } as const;
	const room = `Making room for volume "${name}"`;
	const made = await longStep(context, room, { run, cancelable: run }, (options) =>
		to.createVolume(id, { ...wanted, ...options }),
	);
	// QEMU takes no other size; a pool may have steps of its own.
	if (made.sizeBytes !== sizeBytes)
		throw new AppError(
			"unsupported",
			`The pool makes volumes of ${formatBytes(made.sizeBytes)}, not of ${formatBytes(sizeBytes)}: move the volume while its VM is off, or enlarge it first.`,
		);
	await openings.openIn(id, ends.toPoolId);
	const target = await limited(context, "Finding the copy", limits.quickStorageMs, () => to.attachInfo(id));
	const still = new Stillness(parts.users, vmId, run.signal, "The VM stopped while its disk was copied.");
	try {
		await heavyCopy(context, run, `Copying volume "${name}" while its VM runs`, (signal, progress) => {
			const beforeSwitch = async () => {
				await still.begin();
				await run.setCancelable(false);
				signal.throwIfAborted();
				await moves.set(id, { ...record, switching: true });
			};
			const options = { signal: orStopping(signal, context.stopping), progress, beforeSwitch };
			const copying = context.hypervisor.copyDisk(vmId, disk.id, { id: disk.id, ...target }, options);
			return untilStopping(copying, context.stopping);
		});
		await moves.take(id);
	} catch (error) {
		if (context.stopping.aborted) throw error;
		// While the VM keeps still: it may have gone over although the answer was lost.
		if (!(await moves.settle(id, { takeBack: true }))) throw error;
	} finally {
		still.end();
	}
	await openings.wentTo(id, ends.fromPoolId, ends.toPoolId);
}

function diskOf(vm: Vm | null, { id, name }: Volume): Vm["spec"]["disks"][number] {
	const disk = vm?.spec.disks.find(({ volumeId }) => volumeId === id);
	if (!disk) throw new AppError("wrong-state", `Volume "${name}" is not a disk of the running VM.`);
	return disk;
}

async function infoOf(context: NodeContext, driver: StorageDriver, { id, name }: Volume): Promise<VolumeInfo> {
	const info = await limited(context, "Looking for the volume", limits.quickStorageMs, () => driver.getVolume(id));
	if (!info) throw new AppError("storage", `The content of volume "${name}" is missing in its pool.`);
	return info;
}

/** They would stay behind. */
async function requireNoSnapshots(context: NodeContext, { snapshots }: StorageDriver, volume: Volume): Promise<void> {
	if (snapshots === null) return;
	const list = () => snapshots.list(volume.id);
	const found = await limited(context, "Looking for snapshots", limits.quickStorageMs, list);
	if (found.length > 0)
		throw new AppError("in-use", `Volume "${volume.name}" has snapshots: they would be cut off. Delete them first.`);
}

async function requireRoom(
	context: NodeContext,
	from: StorageDriver,
	to: StorageDriver,
	{ id, name, sizeBytes }: Volume,
	run: TaskRun,
): Promise<void> {
	const isThick = wayOf(run).provisioning === "thick";
	const bytes = async () => (isThick ? sizeBytes : (await measure(from, id)).bytes);
	const check = async () => ({ needed: await bytes(), usage: await to.check() });
	const { needed, usage } = await limited(context, "Measuring the volume", limits.quickStorageMs, check);
	if (usage.availableBytes >= needed) return;
	throw new AppError(
		"no-space",
		`There is no room for volume "${name}": the pool has ${formatBytes(usage.availableBytes)} left, ${formatBytes(needed)} are needed.`,
	);
}
