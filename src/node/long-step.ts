/**
 * Work that takes as long as a disk is large, and copies nothing: overwriting with zeroes, setting space aside, deleting where that overwrites.
 * It is ended when it stands still, never because it is long. It takes none of the few places for copies: mostly it is done at once, and what
 * it writes is made by the target, or goes one way only.
 */
import type { LongOptions } from "../storage/driver.ts";
import type { NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import type { TaskRun } from "./task-run.ts";
import { withLimit } from "./wait.ts";

export type LongStepOptions = {
	/** Whose progress it is; its signal ends the work. None: nobody waits for it, and it ends with the node. */
	run?: Partial<Pick<TaskRun, "signal" | "progress">>;
	/** People may call it off, once it turns out to be long. */
	cancelable?: Pick<TaskRun, "setCancelable">;
	/** How long it may go without a sign of progress. */
	idleMs?: number;
};

export async function longStep<T>(
	context: NodeContext,
	what: string,
	{ run = { signal: context.stopping }, cancelable, idleMs = limits.copyIdleMs }: LongStepOptions,
	work: (options: Required<LongOptions>) => Promise<T>,
): Promise<T> {
	let asked: Promise<void> | null = null;
	const offerCancel = () => {
		asked ??= (cancelable?.setCancelable(true) ?? Promise.resolve()).catch((error) => {
			context.logger.debug("that a task can be called off is not recorded", { what, error });
		});
	};
	try {
		const options = { what, limitMs: limits.wholeDiskMs, idleMs, signal: run.signal };
		return await withLimit(context.clock, options, (signal, touch) =>
			work({
				signal,
				progress(ratio, message) {
					touch();
					// What is done at once is not spoken of.
					if (ratio === 1) return;
					offerCancel();
					run.progress?.(ratio, message ?? what);
				},
			}),
		);
	} finally {
		await asked;
	}
}
