/**
 * The task pool.deleteOrphans: content of this node's part of a pool that no record names goes, one after the other. Each is looked up in the
 * newest state right before, and while the task is not finished nobody gives it a record (src/store/apply/pool-orphans.ts). What is gone
 * already is done, so a task that was cut short just begins again.
 */
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import { listNames } from "../lib/list-names.ts";
import { deletedOrphans } from "../model/orphan-tasks.ts";
import type { LongOptions, StorageDriver } from "../storage/driver.ts";
import { limited } from "./context.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import { type OrphanParts, requireOrphan } from "./orphans.ts";
import { Later, type TaskRun, upToDate } from "./task-run.ts";

type Orphan = { kind: "volume" | "image"; id: string };
type Kept = Orphan & { error: AppError };

/** Resolves with what was kept, and why; null when all of it is gone. */
export async function deleteOrphans(parts: OrphanParts, poolId: string, run: TaskRun): Promise<string | null> {
	const { volumeIds, imageIds } = deletedOrphans(run.task);
	let left: Orphan[] = [
		...volumeIds.map((id) => ({ kind: "volume" as const, id })),
		...imageIds.map((id) => ({ kind: "image" as const, id })),
	];
	const all = left.length;
	await run.setCancelable(true);
	const driver = await parts.pools.driver(poolId);
	for (;;) {
		const kept: Kept[] = [];
		for (const [index, one] of left.entries()) {
			const done = all - (left.length - index) - kept.length;
			try {
				await deleteOne(parts, { poolId, driver, one, run, done, all });
			} catch (error) {
				kept.push({ ...one, error: keptFor(error, run, { done, all }) });
				parts.context.logger.info("what no record names is kept", { poolId, ...one, error });
			}
		}
		// What others among them rest on goes after those.
		const again = kept.length < left.length && kept.some(({ error }) => isAppError(error, "in-use"));
		if (!again) return outcome(kept, all);
		left = kept;
	}
}

type Deletion = { poolId: string; driver: StorageDriver; one: Orphan; run: TaskRun; done: number; all: number };

function deleteOne(parts: OrphanParts, { poolId, driver, one, run, done, all }: Deletion): Promise<void> {
	const { context } = parts;
	const { kind, id } = one;
	const what = `Deleting what no record names: ${done + 1} of ${all}`;
	const progress: TaskRun["progress"] = (ratio) => run.progress((done + (ratio ?? 0)) / all, what);
	const work = async () => {
		run.signal.throwIfAborted();
		progress(0);
		await upToDate(context, "It is not known whether there is a record by now.");
		await requireOrphan(parts, poolId, id, run.task.id);
		context.logger.info("what no record names is deleted from a pool", { poolId, kind, id });
		const options = { run: { signal: run.signal, progress }, idleMs: deletionIdleOf(driver) };
		let removing: Promise<void> = Promise.resolve();
		const begin = (step: Required<LongOptions>) => {
			removing = remove(driver, one, step);
			return removing;
		};
		try {
			await longStep(context, "Deleting what no record names", options, begin);
		} catch (error) {
			// Whatever does not hear that it is called off goes on; as long as it does, nobody may make a volume of it.
			context.stopping.throwIfAborted();
			await limited(context, "Ending a deletion", limits.revertIdleMs, () => removing).catch(() => {
				throw error;
			});
		}
	};
	return context.locks.run(`${kind}:${id}`, work, run.signal);
}

async function remove(driver: StorageDriver, { kind, id }: Orphan, step: Required<LongOptions>): Promise<void> {
	if (kind === "image") return driver.deleteImage(id, step);
	await driver.closeVolume(id);
	await driver.deleteVolume(id, step);
}

/** Why one is kept. Throws what ends the task: it was called off, or the pool does not answer, for the others either. */
function keptFor(error: unknown, run: TaskRun, { done, all }: { done: number; all: number }): AppError {
	if (error instanceof Later) throw error;
	const known = toAppError(error);
	const isAway = known.code === "unavailable" || known.code === "timeout";
	if (!run.signal.aborted && !isAway) return known;
	throw new AppError(known.code, `${known.message} Deleted until then: ${done} of ${all}.`, { cause: error });
}

/** Fails when it is all that was chosen. */
function outcome(kept: readonly Kept[], all: number): string | null {
	const [first] = kept;
	if (!first) return null;
	const said = keptText(kept);
	if (kept.length === all) throw new AppError(first.error.code, `Nothing was deleted. ${said}`);
	return `Deleted: ${all - kept.length}. ${said}`;
}

const mostReasons = 5;

function keptText(kept: readonly Kept[]): string {
	const idsOf = Map.groupBy(kept, ({ error }) => error.message);
	const said = [...idsOf]
		.slice(0, mostReasons)
		.map(([why, those]) => `Kept ${listNames(those.map(({ id }) => id))}: ${why}`);
	const others = [...idsOf].slice(mostReasons).reduce((sum, [, those]) => sum + those.length, 0);
	return [...said, ...(others > 0 ? [`Kept for other reasons: ${others}.`] : [])].join(" ");
}
