/**
 * The task volume.flatten: a copy-on-write copy is made to depend on nothing. Its VM may run where the pool can do that; elsewhere nothing
 * happens to the VM meanwhile. Cut short, the copy depends on what it did, and the task begins anew.
 */
import { AppError } from "../lib/errors.ts";
import type { NodeContext } from "./context.ts";
import { heavyCopy } from "./heavy-copy.ts";
import type { Pools } from "./pools.ts";
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
				const { allocatedBytes } = await heavyCopy(
					context,
					run,
					`Making volume "${name}" stand alone`,
					(signal, progress) => driver.flattenVolume(id, { signal, progress }),
				);
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
