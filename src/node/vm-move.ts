/**
 * The task vm.move, on the node that gets the VM: its disks and its state are copied here while the VM is still the other
 * node's, then one command makes all of it this node's. Before that command everything here can be removed, after it
 * everything there; so the VM is whole on exactly one node, wherever the work is cut off.
 *
 *   record of the move (moves.ts) → room? → each disk → images in its drives → UEFI, TPM → still off, and nothing was
 *   written since? → vmMoved → record away
 *
 * A run that is cut off goes on with the disks that are not complete. Whether vmMoved was applied is asked of the state, never
 * guessed: while that cannot be known, the task stays and is tried again.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import type { Pool, Volume } from "../model/storage.ts";
import { needsSource } from "../model/storage-rules.ts";
import type { Vm } from "../model/vm.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { requireProvisioning } from "../storage/provisioning.ts";
import { limited, type NodeContext } from "./context.ts";
import { heavyCopy } from "./heavy-copy.ts";
import type { ImageCopies } from "./image-copies.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import type { Moves } from "./moves.ts";
import { isHere, type Pools } from "./pools.ts";
import { Later, onceHypervisorAnswers, type TaskRun, upToDate } from "./task-run.ts";
import { isActive } from "./vm-plan.ts";

type MoveParts = { context: NodeContext; pools: Pick<Pools, "driver">; copies: ImageCopies; moves: Moves };
/** `bytes`: what there is to copy; 0 for one that was never made, which the next start makes. `mark`: DiskSize.mark. */
type Disk = { volume: Volume; pool: Pool; driver: StorageDriver; bytes: number; mark: string | null };

/** Resolves with a message for people. Leaves what it made to `Moves.sweep` when it fails. */
export async function moveVm(parts: MoveParts, vmId: string, run: TaskRun): Promise<string> {
	const { context, moves } = parts;
	const { store, nodeId } = context;
	// A copy of the state that is behind may say that the VM is not here yet, when its disks are those of a running VM.
	await upToDate(context, whereUnknown);
	const vm = store.get("vm", vmId);
	if (!vm) throw new AppError("canceled", "The VM does not exist any more.");
	const from = fromNode(run, vm);
	const said = `Moved from ${store.get("node", from)?.name ?? "its node"} to ${store.get("node", nodeId)?.name ?? "this node"}.`;
	if (vm.nodeId === nodeId) {
		await moves.finish(vmId);
		return said;
	}
	requireMovable(context, vm, from);
	let disks = await disksOf(parts, vm, from, run.signal);
	await moves.begin(vmId, run.task.id, disks, () => clear(parts, vm, disks, run));
	for (let round = 1; ; round++) {
		await copyAll(parts, vm, from, disks, run);
		await run.setCancelable(false);
		run.signal.throwIfAborted();
		// Also whether it is off. It may have been started and stopped with libvirt's own tools while another disk was copied.
		disks = await disksOf(parts, vm, from, run.signal);
		if ((await missing(parts, vm, disks)).length === 0) break;
		if (round === maxRounds)
			throw new AppError("in-use", "The VM's disks are written to again and again while they are copied.");
		run.say("A disk was written to meanwhile; it is copied again");
		await run.setCancelable(true);
	}
	await take(context, vmId, from, disks);
	await moves.finish(vmId);
	return said;
}

const maxRounds = 3;

/** All that the VM has there and is not here yet. */
async function copyAll(parts: MoveParts, vm: Vm, from: string, disks: readonly Disk[], run: TaskRun): Promise<void> {
	const { context } = parts;
	const toCopy = await missing(parts, vm, disks);
	await requireRoom(toCopy);
	await copyDisks(parts, vm, from, { disks, toCopy }, run);
	for (const { imageId } of vm.spec.cdroms) {
		const image = imageId === null ? null : context.store.get("image", imageId);
		if (image) await parts.copies.ensure(image, run);
	}
	run.say("Copying the VM's firmware and TPM state");
	await limited(
		context,
		"Copying the VM's state",
		limits.quickStorageMs,
		async (signal) => context.vmState.write(vm.id, await context.remote.readVmState(from, vm.id, signal)),
		run.signal,
	);
}

/** Disks that are not here as they are there now. One that was never made has nothing to copy. */
async function missing({ moves }: MoveParts, { id: vmId }: Vm, disks: readonly Disk[]): Promise<Disk[]> {
	const found: Disk[] = [];
	for (const disk of disks) {
		const { volume, driver, mark } = disk;
		if (volume.phase === "pending") continue;
		const isHere = (await moves.isDone(vmId, volume.id, mark)) && (await driver.getVolume(volume.id)) !== null;
		if (!isHere) found.push(disk);
	}
	return found;
}

const whereUnknown = "It is not known where the VM is now.";

/** Who had it when it was asked for: the state of now may say that it is here already. */
function fromNode({ task }: TaskRun, vm: Vm): string {
	const from = task.input.fromNodeId;
	return typeof from === "string" ? from : vm.nodeId;
}

function requireMovable({ store }: NodeContext, vm: Vm, from: string): void {
	if (vm.nodeId !== from) throw new AppError("wrong-state", "The VM went to another node meanwhile.");
	if (vm.deleting) throw new AppError("canceled", "The VM is being deleted.");
	const { powerState } = vm.status;
	if (powerState !== "stopped" && powerState !== "failed")
		throw new AppError("wrong-state", `The VM is ${powerState}: only one that is off can be moved.`);
	for (const { volumeId } of vm.spec.disks) {
		if (store.get("volume", volumeId)?.nodeId === null) continue;
		const copy = store.all("volume", { sourceVolumeId: volumeId }).find(needsSource);
		if (copy)
			throw new AppError("in-use", `Volume "${copy.name}" shares data with a disk of the VM: it would be cut off.`);
	}
}

/** The disks that lie on the other node, and where they come to here. */
async function disksOf({ context, pools }: MoveParts, vm: Vm, from: string, signal: AbortSignal): Promise<Disk[]> {
	const { store, remote } = context;
	const measured = await limited(
		context,
		"Measuring the VM's disks",
		limits.quickStorageMs,
		(limit) => remote.diskSizes(from, vm.id, limit),
		signal,
	);
	const sizes = new Map(measured.map((size) => [size.volumeId, size]));
	const disks: Disk[] = [];
	for (const { id, volumeId } of vm.spec.disks) {
		const volume = store.get("volume", volumeId);
		if (!volume) throw new AppError("not-found", `The volume of disk "${id}" does not exist.`);
		if (volume.nodeId === null) continue;
		requireTransferable(volume, from);
		const pool = poolHere(context, volume);
		const size = sizes.get(volumeId);
		const isThick = volume.provisioning === "thick";
		const bytes = volume.phase === "pending" ? 0 : isThick ? volume.sizeBytes : (size?.bytes ?? volume.sizeBytes);
		const driver = await pools.driver(pool.id);
		if (isThick) requireProvisioning(driver.capabilities, "thick");
		disks.push({ volume, pool, driver, bytes, mark: size?.mark ?? null });
	}
	return disks;
}

function requireTransferable({ name, nodeId, phase, source }: Volume, from: string): void {
	if (nodeId !== from) throw new AppError("wrong-state", `Volume "${name}" is on another node than the VM.`);
	if (phase === "ready" || (phase === "pending" && source.kind !== "clone")) return;
	throw new AppError("wrong-state", `Volume "${name}" is ${phase}; it can be moved when it is ready.`);
}

function poolHere({ store, nodeId }: NodeContext, { name, poolId }: Volume): Pool {
	const pool = store.get("pool", poolId);
	if (pool && isHere(pool, nodeId)) return pool;
	throw new AppError(
		"wrong-state",
		`Volume "${name}" is in pool "${pool?.name ?? "?"}", which has no part on this node.`,
	);
}

/** Before the first byte: nothing of an earlier stay of this VM may be taken for what comes now. */
async function clear({ context, pools }: MoveParts, vm: Vm, disks: readonly Disk[], run: TaskRun): Promise<void> {
	const { hypervisor, vmState } = context;
	await onceHypervisorAnswers(context, run, async () => {
		const domain = await limited(context, "Reading the VM's state", limits.readMs, () => hypervisor.getDomain(vm.id));
		if (domain === null) return;
		if (isActive(domain) || !domain.ours)
			throw new AppError(
				"wrong-state",
				"This node has a domain of the VM, which is not off or not known to LimiQuantix.",
			);
		await limited(context, "Removing an old definition", limits.controlMs, () => hypervisor.undefine(vm.id));
	});
	await limited(context, "Removing the VM's folder", limits.removeFolderMs, () => vmState.remove(vm.id));
	for (const { volume } of disks) await removeVolume({ context, pools }, volume);
}

async function removeVolume(
	{ context, pools }: Pick<MoveParts, "context" | "pools">,
	{ id, poolId }: Volume,
): Promise<void> {
	const driver = await pools.driver(poolId);
	await context.locks.run(`volume:${id}`, () =>
		longStep(context, "Deleting a volume", { idleMs: deletionIdleOf(driver) }, (options) =>
			driver.deleteVolume(id, options),
		),
	);
}

async function requireRoom(disks: readonly Disk[]): Promise<void> {
	const needed = new Map<string, { disk: Disk; bytes: number }>();
	for (const disk of disks) {
		const entry = needed.get(disk.pool.id) ?? { disk, bytes: 0 };
		needed.set(disk.pool.id, { disk, bytes: entry.bytes + disk.bytes });
	}
	for (const { disk, bytes } of needed.values()) {
		const { availableBytes } = await disk.driver.check();
		if (availableBytes < bytes)
			throw new AppError(
				"no-space",
				`Pool "${disk.pool.name}" has ${formatBytes(availableBytes)} left on this node; the VM's disks need ${formatBytes(bytes)}.`,
			);
	}
}

async function copyDisks(
	parts: MoveParts,
	{ id: vmId }: Vm,
	from: string,
	{ disks, toCopy }: { disks: readonly Disk[]; toCopy: readonly Disk[] },
	run: TaskRun,
): Promise<void> {
	const { context, moves } = parts;
	const totalBytes = Math.max(
		1,
		disks.reduce((sum, disk) => sum + disk.bytes, 0),
	);
	let doneBytes = 0;
	for (const disk of disks) {
		const { volume, driver } = disk;
		const share = disk.bytes;
		const base = doneBytes;
		doneBytes += share;
		if (!toCopy.includes(disk)) continue;
		await removeVolume(parts, volume);
		await context.locks.run(
			`volume:${volume.id}`,
			() =>
				heavyCopy(context, run, `Copying disk "${volume.name}"`, async (signal, progress) => {
					const at = (ratio: number | null) => progress(ratio === null ? null : (base + ratio * share) / totalBytes);
					const content = await context.remote.openVolume(from, volume.id, { signal, progress: () => at(0) });
					const { provisioning } = volume;
					const way = provisioning === undefined ? {} : { provisioning };
					const info = await driver.receiveVolume(volume.id, content, { ...way, signal, progress: at });
					if (info.sizeBytes !== volume.sizeBytes)
						throw new AppError("corrupt", `Volume "${volume.name}" arrived with another size than its record says.`);
				}),
			run.signal,
		);
		await moves.diskDone(vmId, volume.id, disk.mark);
	}
}

/** From here on the VM is this node's. Fails with `Later` while nobody can say whether it is. */
async function take(context: NodeContext, vmId: string, from: string, disks: readonly Disk[]): Promise<void> {
	const { nodeId, ids, store, stopping } = context;
	try {
		// Once: what was looked at just now does not hold for the minutes for which it would be proposed again.
		await context.proposer.proposeSystem({
			kind: "vmMoved",
			id: vmId,
			nodeId,
			fromNodeId: from,
			volumes: disks.map(({ volume }) => ({ id: volume.id, poolId: volume.poolId })),
			// For each volume, and for what else the other node has of the VM.
			discardTaskIds: [...disks, null].map(() => ids.newId()),
			...(context.everybodyHas("runs-once-1") ? { onlyOff: true as const } : {}),
		});
	} catch (error) {
		stopping.throwIfAborted();
		// An answer that was lost may have been a yes.
		await upToDate(context, whereUnknown);
		if (store.get("vm", vmId)?.nodeId === nodeId) return;
		const refused = isAppError(error) && !["unavailable", "timeout", "too-many-requests"].includes(error.code);
		if (!refused) throw new Later("It is not known whether the VM has moved.", { cause: error });
		throw error;
	}
}
