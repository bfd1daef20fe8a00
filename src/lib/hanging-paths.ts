/**
 * Questions about paths that may lie on a file system whose server is gone. Such a question never returns, and a few of them hold up
 * all file work of a process, so each is put to a program with a limit, never to the kernel by ourselves.
 */
import type { Clock } from "./clock.ts";
import { AppError, isAppError } from "./errors.ts";
import { type RunOptions, type RunResult, run } from "./run.ts";

/** A server that is merely busy has answered by then. */
const askLimitMs = 3000;
/** What did not answer is not asked again for so long. */
const silentMs = 4000;
/** Arguments of one program. */
const maxPathsAtOnce = 256;
/** Programs, once one of them has hung. */
const atOnce = 8;
const maxSilent = 1024;
/** Paths whose last answer is kept. */
const maxKnown = 4096;
/** `run` has killed the program by then; only one that the kernel does not let go of is there still. */
const killMs = 3000;

/**
 * As `run`, and fails with `timeout` also when the program does not end although it was killed: it waits in the kernel, and ends when
 * what it waits for answers.
 */
export async function runOrGiveUp(
	clock: Clock,
	program: string,
	args: readonly string[],
	options: RunOptions,
): Promise<RunResult> {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const message = `${program} did not end within ${options.timeoutMs} ms.`;
	const timer = clock.schedule(options.timeoutMs + killMs, () => reject(new AppError("timeout", message)));
	const running = run(program, args, options);
	running.catch(() => {});
	try {
		return await Promise.race([running, late]);
	} finally {
		timer.cancel();
	}
}

export class HangingPaths {
	readonly #clock: Clock;
	/** What did not answer, and until when that counts. */
	readonly #silent = new Map<string, number>();
	readonly #known = new Map<string, string>();

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/**
	 * Where these absolute paths lead, links followed, be something there or not; null for one that does not answer. A path that leads
	 * nowhere because of its links is given as it is.
	 */
	async realPaths(paths: readonly string[]): Promise<(string | null)[]> {
		const asked = [...new Set(paths)].filter((path) => !this.#isSilent(path));
		const found = new Map<string, string | null>();
		for (let at = 0; at < asked.length; at += maxPathsAtOnce) {
			const some = asked.slice(at, at + maxPathsAtOnce);
			const together = some.length > 1 ? await unlessLate(this.#ask(some)) : null;
			const answers = together ?? (await this.#askEach(some));
			for (const [index, path] of some.entries()) found.set(path, answers[index] ?? null);
		}
		return paths.map((path) => found.get(path) ?? null);
	}

	/** As realPaths; of one that does not answer, where it led when it last did. Null when it never has. */
	async lastRealPaths(paths: readonly string[]): Promise<(string | null)[]> {
		const found = await this.realPaths(paths);
		return paths.map((path, index) => {
			const now = found[index] ?? null;
			if (now === null) return this.#known.get(path) ?? null;
			this.#known.delete(path);
			this.#known.set(path, now);
			dropOldest(this.#known, maxKnown);
			return now;
		});
	}

	/** Whether the file can be opened and read, or is not there, rather than nothing at all. Only for regular files. Asked each time. */
	async answers(path: string): Promise<boolean> {
		const options = { timeoutMs: askLimitMs, okExitCodes: [0, 1] };
		return (await unlessLate(runOrGiveUp(this.#clock, "head", ["-c", "1", "--", path], options))) !== null;
	}

	/** One of them does not answer: the others do. */
	async #askEach(paths: readonly string[]): Promise<(string | null)[]> {
		const answers: (string | null)[] = [];
		for (let at = 0; at < paths.length; at += atOnce) {
			const some = paths.slice(at, at + atOnce);
			const ask = (path: string) => this.#unlessSilent(path, async () => (await this.#ask([path]))[0] ?? path);
			answers.push(...(await Promise.all(some.map(ask))));
		}
		return answers;
	}

	/** Null when it does not answer, or did not lately. */
	async #unlessSilent<T>(path: string, ask: () => Promise<T>): Promise<T | null> {
		if (this.#isSilent(path)) return null;
		const answer = await unlessLate(ask());
		this.#silent.delete(path);
		if (answer === null) this.#silent.set(path, this.#clock.monotonicMs() + silentMs);
		dropOldest(this.#silent, maxSilent);
		return answer;
	}

	#isSilent(path: string): boolean {
		return this.#clock.monotonicMs() < (this.#silent.get(path) ?? Number.NEGATIVE_INFINITY);
	}

	async #ask(paths: readonly string[]): Promise<string[]> {
		const real = async (some: readonly string[]) => {
			const options = { timeoutMs: askLimitMs, okExitCodes: [0, 1] };
			const { stdout } = await runOrGiveUp(this.#clock, "realpath", ["-m", "-z", "--", ...some], options);
			return stdout.split("\0").slice(0, -1);
		};
		const all = await real(paths);
		if (all.length === paths.length) return all;
		// It says nothing of those that it cannot follow, so each is asked for by itself.
		return Promise.all(paths.map(async (path) => (await real([path]))[0] ?? path));
	}
}

async function unlessLate<T>(answer: Promise<T>): Promise<T | null> {
	try {
		return await answer;
	} catch (error) {
		if (isAppError(error, "timeout")) return null;
		throw error;
	}
}

function dropOldest(map: Map<string, unknown>, limit: number): void {
	const [oldest] = map.keys();
	if (map.size > limit && oldest !== undefined) map.delete(oldest);
}

/** Begins with what was asked for, as "The file /x". */
export const doesNotAnswer = (what: string): AppError =>
	new AppError("timeout", `${what} cannot be looked at: the file system that it lies on does not answer.`, {
		context: { health: "error" },
	});
