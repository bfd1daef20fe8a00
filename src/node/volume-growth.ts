/** A volume grows: through QEMU while a VM of this node runs with it, else in its pool. One operation at a time for each volume (volumes.ts). */
import { AppError, toAppError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import { sourceName } from "../model/disk-source.ts";
import type { Volume } from "../model/storage.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { requireSpace } from "./image-copies.ts";
import { limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import type { TaskRun } from "./task-run.ts";
import { fillThick, howToFill } from "./thick-space.ts";

export type Growth = { volume: Volume; driver: StorageDriver; haveBytes: number; wantedBytes: number };

/** `runningVmId`: the VM that runs with it. Repeated, it does what is missing; called off, the volume has its old size. */
export async function growVolume(
	context: NodeContext,
	growth: Growth,
	runningVmId: string | null,
	run: TaskRun,
): Promise<void> {
	const { volume, driver, haveBytes, wantedBytes } = growth;
	const isThick = volume.provisioning === "thick";
	// One that was cut short may lack the space for what it has grown by, or QEMU may not have been told.
	const mayLack = isThick || (runningVmId !== null && driver.growOpenVolume !== undefined);
	if (haveBytes === wantedBytes && !mayLack) return;
	if (haveBytes > wantedBytes)
		throw new AppError("invalid", `Volume "${volume.name}" has ${formatBytes(haveBytes)}; volumes cannot shrink.`);
	const what = `Growing volume "${volume.name}"`;
	if (runningVmId === null) {
		await longStep(context, what, { run, cancelable: run }, (options) =>
			driver.resizeVolume(volume.id, wantedBytes, options),
		);
		return;
	}
	if (haveBytes < wantedBytes || driver.growOpenVolume) await growOpen(context, growth, runningVmId, run);
	await fillThick(context, driver, volume, run).catch((error) => {
		context.stopping.throwIfAborted();
		const { code, message, context: details } = toAppError(error);
		const has = `The volume has the new size, but lacks a part of its space.`;
		throw new AppError(code, `${message} ${has} ${howToFill}`, { context: details, cause: error });
	});
}

async function growOpen(
	context: NodeContext,
	{ volume, driver, haveBytes, wantedBytes }: Growth,
	vmId: string,
	run: TaskRun,
): Promise<void> {
	const what = `Growing volume "${volume.name}"`;
	const disk = context.store.get("vm", vmId)?.spec.disks.find((candidate) => candidate.volumeId === volume.id);
	if (!disk) throw new AppError("wrong-state", `Volume "${volume.name}" is not a disk of the running VM.`);
	if (driver.growOpenVolume) await requireSameDisk(context, { volume, driver }, vmId, disk.id);
	let hasGrown = false;
	await longStep(context, what, { run, cancelable: run }, async (options) => {
		if (driver.growOpenVolume) {
			await driver.growOpenVolume(volume.id, wantedBytes, options);
			hasGrown = true;
		}
		// QEMU leaves a hole, which is filled afterwards: then it must not turn out that there is no room.
		if (volume.provisioning === "thick" && driver.fillVolume)
			await requireSpace(driver, wantedBytes - haveBytes, `volume "${volume.name}"`);
	});
	await run.setCancelable(false);
	// Called off when it has grown, it is gone through with: the disk would be larger than its VM knows.
	if (!hasGrown) run.signal.throwIfAborted();
	context.stopping.throwIfAborted();
	await limited(context, what, limits.liveChangeMs, () => context.hypervisor.resizeDisk(vmId, disk.id, wantedBytes));
}

/** The room is made in what the pool takes for the disk; a snapshot that failed may have left QEMU on the layer below that. */
async function requireSameDisk(
	context: NodeContext,
	{ volume, driver }: Pick<Growth, "volume" | "driver">,
	vmId: string,
	diskId: string,
): Promise<void> {
	const { source } = await limited(context, "Reading the volume", limits.quickStorageMs, () =>
		driver.attachInfo(volume.id),
	);
	const disks = await limited(context, "Reading the VM's disks", limits.readMs, () =>
		context.hypervisor.diskLayers(vmId),
	);
	if (disks.find((one) => one.diskId === diskId)?.layers[0] === sourceName(source)) return;
	throw new AppError(
		"wrong-state",
		`The VM goes on with an older layer of "${volume.name}" than the pool has, since a snapshot failed. Shut it down, then enlarge the volume.`,
	);
}
