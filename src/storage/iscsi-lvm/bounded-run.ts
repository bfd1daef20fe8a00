/** Programs that touch a device that may be dead (run-or-give-up.ts). */
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { RunResult } from "../../lib/run.ts";
import { type GiveUpOptions, runOrGiveUp } from "../../lib/run-or-give-up.ts";

export const boundedRun = (program: string, args: readonly string[], options: GiveUpOptions): Promise<RunResult> =>
	runOrGiveUp(systemClock, program, args, options);

export const stderrOf = (error: unknown): string =>
	error instanceof AppError && typeof error.context.stderr === "string" ? error.context.stderr : "";
