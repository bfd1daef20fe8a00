/** The space of thick volumes in files: kept when a volume comes there while its VM runs, set aside where it is missing, and what is said when it cannot be. */
import { AppError, toAppError } from "../lib/errors.ts";
import type { Provisioning, Volume } from "../model/storage.ts";
import { losesByDiscard } from "../model/storage-rules.ts";
import type { Vm } from "../model/vm.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { compareDisks } from "./compare-disks.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { type LongStepOptions, longStep } from "./long-step.ts";
import type { Pools } from "./pools.ts";
import type { TaskRun } from "./task-run.ts";

/** Enlarging to the size that it has does nothing else. */
export const howToFill = "Enlarge it to the same size again when there is room: then it gets what is missing.";

/** Nothing to do for a thin volume, and where the pool keeps the space of thick ones by itself. Repeated, it changes nothing. */
export async function fillThick(
	context: NodeContext,
	driver: Pick<StorageDriver, "fillVolume">,
	{ id, name, provisioning }: Pick<Volume, "id" | "name" | "provisioning">,
	run: NonNullable<LongStepOptions["run"]>,
): Promise<void> {
	if (provisioning !== "thick") return;
	await longStep(context, `Setting space aside for volume "${name}"`, { run }, async (options) =>
		driver.fillVolume?.(id, options),
	);
}

/** The same after something else that is done and stays so: what is missing is then a sentence, null when nothing is. */
export async function fillOrSay(
	context: NodeContext,
	pools: Pick<Pools, "driver">,
	volume: Pick<Volume, "id" | "name" | "poolId" | "provisioning">,
	{ progress }: Pick<TaskRun, "progress">,
): Promise<string | null> {
	if (volume.provisioning !== "thick") return null;
	try {
		// What it follows is done, and cannot be called off any more.
		await fillThick(context, await pools.driver(volume.poolId), volume, { signal: context.stopping, progress });
		return null;
	} catch (error) {
		context.stopping.throwIfAborted();
		context.logger.warn("a thick volume lacks space", { volumeId: volume.id, error });
		return `The volume ${volume.name} is thick and lacks a part of its space: ${toAppError(error).message} ${howToFill}`;
	}
}

/**
 * A disk that QEMU copies keeps the way that QEMU treats what the guest discards: libvirt gives the copy the disk's own, whatever is said of the
 * copy. In a file it would make holes in the space of a thick volume, already while zeroes are copied. `disk`: of the VM that runs; `toPoolId`: where it goes.
 */
export async function requireDiscardOff(
	context: NodeContext,
	pools: Pick<Pools, "driver">,
	vm: Vm,
	disk: Vm["spec"]["disks"][number],
	to: { toPoolId: string; provisioning?: Provisioning },
): Promise<void> {
	const { store } = context;
	if (!losesByDiscard(to, store.get("pool", to.toPoolId))) return;
	// What the spec says may come with the next start only.
	const disks = vm.spec.disks.map((one) => (one.id === disk.id ? { ...one, discard: false } : one));
	const found = await limited(context, "Reading the VM's disks", limits.readMs, () =>
		compareDisks(context, pools, { ...vm, spec: { ...vm.spec, disks } }, (id) => store.get("volume", id)?.poolId),
	);
	if (!found.some(({ field }) => field === `disks[${disk.id}].discard`)) return;
	throw new AppError(
		"wrong-state",
		`The VM ${vm.name} runs with discard on for the disk ${disk.id}, which would take space from a thick volume in a file: shut the VM down first, and move the volume then.`,
	);
}
