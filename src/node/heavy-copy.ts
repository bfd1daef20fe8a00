/** Copies of whole disks and images: few at once on the node, cancelable, with progress; ended when they stand still. */
import type { Progress } from "../storage/driver.ts";
import type { NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import type { TaskRun } from "./task-run.ts";
import { withLimit } from "./wait.ts";

/** What a copy needs of the task that it is part of. */
export type MakingRun = Pick<TaskRun, "signal" | "say" | "setCancelable" | "progress">;

export async function heavyCopy<T>(
	context: NodeContext,
	run: MakingRun,
	what: string,
	work: (signal: AbortSignal, progress: Progress) => Promise<T>,
): Promise<T> {
	await run.setCancelable(true);
	run.say(`${what}: waits for its turn`);
	return context.heavyCopies.run(() => {
		run.say(what);
		const options = { what, limitMs: limits.copyMs, idleMs: limits.copyIdleMs, signal: run.signal };
		return withLimit(context.clock, options, (signal, touch) =>
			work(signal, (ratio, message) => {
				touch();
				run.progress(ratio, message ?? what);
			}),
		);
	}, run.signal);
}
