/**
 * The task volume.flatten: a copy-on-write copy is made to depend on nothing. Its VM may run where the pool can do that; elsewhere nothing
 * happens to the VM meanwhile. Cut short, the copy depends on what it did, and the task begins anew.
 */
import { AppError, toAppError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import type { Volume } from "../model/storage.ts";
import type { StorageDriver, VolumeInfo } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { heavyCopy } from "./heavy-copy.ts";
import { requireSpace } from "./image-copies.ts";
import { limits } from "./limits.ts";
import type { Pools } from "./pools.ts";
import { measure } from "./sources.ts";
import { type TaskRun, upToDate } from "./task-run.ts";
import type { VolumeUsers } from "./volumes.ts";

export type FlattenParts = { context: NodeContext; pools: Pick<Pools, "driver">; users: VolumeUsers };

export async function flattenVolume(
	{ context, pools, users }: FlattenParts,
	id: string,
	run: TaskRun,
): Promise<string> {
	const { store, locks, propose } = context;
	await upToDate(context, "It is not known whether the volume is still to be made to stand alone.");
	const volume = store.get("volume", id);
	if (!volume || volume.phase === "deleting") throw new AppError("canceled", "The volume is gone, or on its way out.");
	const { name, vmId, source, poolId } = volume;
	const done = `The volume ${name} depends on nothing.`;
	if (source.kind === "empty" || source.fullCopy) return done;
	const driver = await pools.driver(poolId);
	const work = () =>
		locks.run(
			`volume:${id}`,
			async () => {
				const { allocatedBytes } = await copyInto(context, driver, volume, run);
				await run.setCancelable(false);
				run.signal.throwIfAborted();
				await propose({ kind: "volumeFlattened", id, taskId: run.task.id, allocatedBytes });
			},
			run.signal,
		);
	const why = driver.capabilities.reasons.flattenOnline;
	if (why === undefined) await work();
	else if (vmId !== null)
		await users.whileStill(vmId, run.signal, (active) => {
			if (!active) return work();
			throw new AppError("in-use", `The VM of ${name} runs: shut it down first. ${why}`);
		});
	else {
		const holder = await users.heldBy(id, run.signal);
		if (holder !== null)
			throw new AppError("in-use", `VM "${holder}" still has volume "${name}" open: stop that VM first.`);
		await work();
	}
	return done;
}

/**
 * Begins nothing for which there is no room: a pool that fills up stops all that write to it. What one that was cut short has copied stays in the
 * volume, so that is said, and the next one needs room for the rest only.
 */
async function copyInto(
	context: NodeContext,
	driver: StorageDriver,
	{ id, name }: Volume,
	run: TaskRun,
): Promise<VolumeInfo> {
	const measuring = <T>(work: () => Promise<T>) =>
		limited(context, "Measuring the volume", limits.quickStorageMs, work);
	let ownBytes: number | null = null;
	try {
		return await heavyCopy(context, run, `Making volume "${name}" stand alone`, async (signal, progress) => {
			const measured = await measuring(() => measure(driver, id));
			const missing = measured.bytes - measured.ownBytes;
			// Where the pool shares blocks by itself, nothing is below, and nothing is copied.
			if (missing > 0) await measuring(() => requireSpace(driver, missing, `what volume "${name}" shares`));
			ownBytes = measured.ownBytes;
			return driver.flattenVolume(id, { signal, progress });
		});
	} catch (error) {
		if (ownBytes === null || context.stopping.aborted) throw error;
		const after = await measuring(() => driver.getVolume(id)).catch(() => null);
		const stays = (after?.allocatedBytes ?? 0) - ownBytes;
		if (stays <= 0) throw error;
		const { code, message, context: details } = toAppError(error);
		const kept = `What was copied until then stays in the volume and takes ${formatBytes(stays)}; asked for again, it goes on from there.`;
		throw new AppError(code, `${message} ${kept}`, { context: details, cause: error });
	}
}
