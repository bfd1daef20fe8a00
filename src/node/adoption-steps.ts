/**
 * The steps of the task vm.adopt that no other task has: the disks of a domain that was made outside are taken over, the
 * domain is defined as ours (that step is every task's), and only then the volumes are ready. Whatever fails before the
 * definition is undone: files and domain are again what they were, and the records go. A run that is cut off begins anew;
 * each step finds what was done.
 */
import type { ForeignDomain } from "../hypervisor/driver.ts";
import { AppError, toErrorInfo } from "../lib/errors.ts";
import type { Vm } from "../model/vm.ts";
import { canBeTaken } from "./adoption-plan.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import type { Pools } from "./pools.ts";
import { vmFolder } from "./vm-folder.ts";

type Parts = { context: NodeContext; pools: Pick<Pools, "driver"> };

/** Takes over the files. The domain's disks come in the order of the spec's. */
export async function adoptVolumes({ context, pools }: Parts, vm: Vm): Promise<void> {
	const missing: { volumeId: string; index: number }[] = [];
	for (const [index, disk] of vm.spec.disks.entries()) {
		const volume = context.store.get("volume", disk.volumeId);
		if (!volume) throw new AppError("not-found", `The volume of disk "${disk.id}" does not exist.`);
		const driver = await pools.driver(volume.poolId);
		const info = await limited(context, "Looking for the volume", limits.quickStorageMs, () =>
			driver.getVolume(volume.id),
		);
		if (!info) missing.push({ volumeId: volume.id, index });
	}
	if (missing.length === 0) return;
	const foreign = await limited(context, "Reading the VM's definition", limits.readMs, () =>
		context.hypervisor.inspectForeign(vm.id),
	);
	if (foreign.obstacles.length > 0)
		throw new AppError("wrong-state", `The VM cannot be adopted any more: ${foreign.obstacles.join(" ")}`);
	// One at a time on the node: two pools must not take the same file.
	await context.locks.run("adopt", async () => {
		for (const { volumeId, index } of missing) await adoptFile({ context, pools }, volumeId, foreign.disks[index]);
	});
}

async function adoptFile(
	{ context, pools }: Parts,
	volumeId: string,
	disk: ForeignDomain["disks"][number] | undefined,
): Promise<void> {
	const { store } = context;
	const volume = store.get("volume", volumeId);
	if (!volume || disk?.format !== volume.format)
		throw new AppError("wrong-state", "The VM's disks have changed since it was asked to be adopted.");
	const driver = await pools.driver(volume.poolId);
	const file = { path: disk.path, format: disk.format };
	await limited(context, `Taking over ${disk.path}`, limits.quickStorageMs, async () => {
		const [found] = await driver.adoptableFiles([file]);
		const knowsVolume = (id: string) => store.get("volume", id) !== null;
		// An adoption that could not be undone whole, because the pool was away.
		if (found && "heldBy" in found && found.heldBy !== null && canBeTaken(found, { knowsVolume }))
			await driver.releaseVolume(found.heldBy);
		await driver.adoptVolume(volumeId, file);
	});
}

/** The domain is ours: so are its disks. */
export async function reportVolumes({ context, pools }: Parts, vm: Vm): Promise<void> {
	for (const { volumeId } of vm.spec.disks) {
		const volume = context.store.get("volume", volumeId);
		if (!volume || volume.phase === "ready") continue;
		const driver = await pools.driver(volume.poolId);
		const info = await limited(context, "Looking for the volume", limits.quickStorageMs, () =>
			driver.getVolume(volumeId),
		);
		if (!info) throw new AppError("storage", `The content of volume "${volume.name}" is missing in its pool.`);
		const { id, sizeBytes, allocatedBytes } = info;
		await context.propose({ kind: "volumeStatus", id, phase: "ready", sizeBytes, allocatedBytes, error: null });
	}
}

/**
 * After a failure: true when the adoption was undone, records and task included; false when the domain is ours already,
 * so that there is nothing to undo. Fails while libvirt cannot say which; then it is to be tried again.
 */
export async function undoAdoption({ context, pools }: Parts, vmId: string, error: unknown): Promise<boolean> {
	const { store, nodeId, folders, dataDir, logger } = context;
	const vm = store.get("vm", vmId);
	if (!vm) return true;
	const domain = await limited(context, "Reading the VM's state", limits.readMs, () =>
		context.hypervisor.getDomain(vmId),
	);
	if (domain?.ours) return false;
	for (const { volumeId } of vm.spec.disks) {
		const volume = store.get("volume", volumeId);
		if (!volume || volume.phase === "ready") continue;
		try {
			const driver = await pools.driver(volume.poolId);
			await limited(context, "Giving back a disk", limits.quickStorageMs, () => driver.releaseVolume(volumeId));
		} catch (cause) {
			context.stopping.throwIfAborted();
			// The file is not touched: it is only still named in the pool, until somebody adopts it.
			logger.warn("a disk of a failed adoption stays recorded in its pool", { vmId, volumeId, error: cause });
		}
	}
	// With a copy of the domain's UEFI variables, which would be old at the next try.
	await limited(context, "Removing the VM's folder", limits.removeFolderMs, () =>
		folders.remove(vmFolder(dataDir, vmId)),
	);
	await context.propose({ kind: "vmUnadopt", id: vmId, nodeId, error: toErrorInfo(error) });
	return true;
}
