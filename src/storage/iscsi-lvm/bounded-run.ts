/**
 * Programs that touch a device that may be dead. A process that waits in the kernel for such a device ignores every signal, so
 * its end is not waited for: the caller gets `timeout` in any case, and what is left of the process goes when the device answers
 * or is taken away.
 */
import { AppError } from "../../lib/errors.ts";
import { type RunOptions, type RunResult, run } from "../../lib/run.ts";

/** After the limit: what run() itself needs to end a program that can be ended. */
const usualGraceMs = 3000;

/** `graceMs`: how long after the limit the answer comes at the latest, where somebody waits for it. */
export async function boundedRun(
	program: string,
	args: readonly string[],
	{ graceMs = usualGraceMs, ...options }: RunOptions & { graceMs?: number },
): Promise<RunResult> {
	const stuck = Promise.withResolvers<never>();
	const timer = setTimeout(
		() =>
			stuck.reject(
				new AppError("timeout", `${program} hangs: the device does not answer.`, { context: { program, args } }),
			),
		options.timeoutMs + graceMs,
	);
	try {
		const running = run(program, args, options);
		running.catch(() => {});
		return await Promise.race([running, stuck.promise]);
	} finally {
		clearTimeout(timer);
	}
}

export const stderrOf = (error: unknown): string =>
	error instanceof AppError && typeof error.context.stderr === "string" ? error.context.stderr : "";
