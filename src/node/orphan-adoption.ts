/**
 * The task volume.create of content that is adopted and has snapshots that no record names: they go first, since nobody could go back to them, delete
 * them, or move the volume as long as it has them. Nobody gets the volume before (src/store/apply/pool-orphans.ts). Cut short, it is gone
 * on with; failed or called off, the record goes, and what lies in the pool stays.
 */
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import { snapshotsToGo } from "../model/orphan-tasks.ts";
import { limited } from "./context.ts";
import { limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import type { OrphanParts } from "./orphans.ts";
import { type TaskRun, upToDate } from "./task-run.ts";

export async function adoptVolume(parts: OrphanParts, id: string, run: TaskRun): Promise<null> {
	const { context } = parts;
	await upToDate(context, "It is not known whether the volume is still to be adopted.");
	try {
		await context.locks.run(`volume:${id}`, () => adoptLocked(parts, id, run), run.signal);
		return null;
	} catch (error) {
		if (context.stopping.aborted) throw error;
		await giveBack(parts, id, run, error);
		throw error;
	}
}

async function adoptLocked({ context, pools }: OrphanParts, id: string, run: TaskRun): Promise<void> {
	const volume = context.store.get("volume", id);
	if (!volume) throw new AppError("not-found", "The volume does not exist any more.");
	const snapshotIds = snapshotsToGo(run.task);
	await run.setCancelable(true);
	const driver = await pools.driver(volume.poolId);
	for (const [done, snapshotId] of snapshotIds.entries()) {
		const what = `Deleting a snapshot that no record names: ${done + 1} of ${snapshotIds.length}`;
		const progress: TaskRun["progress"] = (ratio) => run.progress((done + (ratio ?? 0)) / snapshotIds.length, what);
		run.signal.throwIfAborted();
		progress(0);
		if (context.store.get("snapshot", snapshotId) !== null)
			throw new AppError("wrong-state", `There is a record of the snapshot ${snapshotId}.`);
		context.logger.info("a snapshot that no record names is deleted", { poolId: volume.poolId, id, snapshotId });
		const options = { run: { signal: run.signal, progress }, idleMs: limits.revertIdleMs };
		await longStep(context, "Deleting a snapshot that no record names", options, async (step) => {
			await driver.snapshots?.delete(id, snapshotId, step);
		});
	}
	const look = () => driver.getVolume(id);
	const info = await limited(context, "Looking for the volume", limits.quickStorageMs, look);
	if (!info) throw new AppError("storage", "What was to be adopted is not in the pool any more.");
	await run.setCancelable(false);
	run.signal.throwIfAborted();
	// Without its snapshots it may be of the format that it was made in.
	const { format, sizeBytes, allocatedBytes } = info;
	await context.propose({ kind: "volumeStatus", id, phase: "ready", format, sizeBytes, allocatedBytes, error: null });
}

async function giveBack({ context }: OrphanParts, id: string, run: TaskRun, error: unknown): Promise<void> {
	try {
		await context.propose({ kind: "volumeUnadopt", id, taskId: run.task.id, error: toErrorInfo(error) });
	} catch (refused) {
		if (!isAppError(refused, "wrong-state") && !isAppError(refused, "not-found")) throw refused;
	}
}
