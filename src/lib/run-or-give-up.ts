/**
 * Programs that may come to wait in the kernel for ever, for a device or a server that does not answer. Such a process ignores every signal, so
 * its end is not waited for: the caller gets `timeout` in any case, and what is left of it goes when what it waits for answers or is taken away.
 */
import type { Clock } from "./clock.ts";
import { AppError } from "./errors.ts";
import { type RunOptions, type RunResult, run } from "./run.ts";

/** `run` has killed the program by then; only one that the kernel does not let go of is there still. */
const usualGraceMs = 3000;

/** `graceMs`: how long after `timeoutMs` it is given up at the latest, where somebody waits for the answer. */
export type GiveUpOptions = RunOptions & { graceMs?: number };

export type GivenUp = {
	/** As that of `run`, and fails with `timeout` also when the program does not end although it was killed. */
	result: Promise<RunResult>;
	/** Resolves when the program has ended, however long that takes. */
	ended: Promise<void>;
	/** `result` has failed, and the program is there still: it waits in the kernel, and ends when what it waits for answers. */
	lingers(): boolean;
};

/** Starts a program that may come to wait in the kernel for ever. */
export function startOrGiveUp(
	clock: Clock,
	program: string,
	args: readonly string[],
	{ graceMs = usualGraceMs, ...options }: GiveUpOptions,
): GivenUp {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const message = `${program} did not end within ${options.timeoutMs} ms.`;
	let lingers = false;
	const timer = clock.schedule(options.timeoutMs + graceMs, () => {
		lingers = true;
		reject(new AppError("timeout", message, { context: { program, args } }));
	});
	const running = run(program, args, options);
	const end = () => {
		timer.cancel();
		lingers = false;
	};
	return { result: Promise.race([running, late]), ended: running.then(end, end), lingers: () => lingers };
}

/** As `run`, and fails with `timeout` also when the program does not end although it was killed. */
export const runOrGiveUp = (
	clock: Clock,
	program: string,
	args: readonly string[],
	options: GiveUpOptions,
): Promise<RunResult> => startOrGiveUp(clock, program, args, options).result;
