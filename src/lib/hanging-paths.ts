/**
 * Questions about paths that may lie on a file system whose server is gone. Such a question never returns, and a few of them hold up
 * all file work of a process, so each is put to a program with a limit, never to the kernel by ourselves.
 */
import type { Clock } from "./clock.ts";
import { AppError, isAppError } from "./errors.ts";
import type { RunResult } from "./run.ts";
import { startOrGiveUp } from "./run-or-give-up.ts";

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
/** While a program that asked it is there still, though it was killed: so that a mount that was taken away and made anew is seen. */
const lingeringMs = 600_000;
/** Of those, for one path, and in all: more are not started. */
const [maxLingeringEach, maxLingering] = [3, 256];
/** Stands for what asks for several paths at once. */
const together = "";

export type HangingPathsOptions = {
	/** What asks (default startOrGiveUp); for tests. */
	start?: typeof startOrGiveUp;
};

export class HangingPaths {
	readonly #clock: Clock;
	readonly #start: typeof startOrGiveUp;
	/** What did not answer, and until when that counts. */
	readonly #silent = new Map<string, number>();
	readonly #known = new Map<string, string>();
	/** Programs that have been given up and are there still, by what they ask for. */
	readonly #lingering = new Map<string, number>();

	constructor(clock: Clock, { start = startOrGiveUp }: HangingPathsOptions = {}) {
		this.#clock = clock;
		this.#start = start;
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
			const isAsked = some.length > 1 && this.#mayLinger(together);
			const all = isAsked ? await unlessLate(this.#ask(some, together)) : null;
			const answers = all ?? (await this.#askEach(some));
			for (const [index, path] of some.entries()) {
				const answer = answers[index] ?? null;
				found.set(path, answer);
				if (answer === null) continue;
				this.#known.delete(path);
				this.#known.set(path, answer);
				dropOldest(this.#known, maxKnown);
			}
		}
		return paths.map((path) => found.get(path) ?? null);
	}

	/** Where they led when they were last asked and answered; null when that never was. Asks nothing. */
	lastKnown = (paths: readonly string[]): (string | null)[] => paths.map((path) => this.#known.get(path) ?? null);

	/** As realPaths; of one that does not answer, where it led when it last did. Null when it never has. */
	async lastRealPaths(paths: readonly string[]): Promise<(string | null)[]> {
		const found = await this.realPaths(paths);
		const known = this.lastKnown(paths);
		return paths.map((_path, index) => found[index] ?? known[index] ?? null);
	}

	/**
	 * Whether the file can be opened and read, or is not there, rather than nothing at all. Only for regular files. `on`: what is silent
	 * with it, as the mount that it lies on.
	 */
	async answers(path: string, on = path): Promise<boolean> {
		const ask = () => this.#run(on, "head", ["-c", "1", "--", path]);
		return (await this.#unlessSilent(on, ask)) !== null;
	}

	/** One of them does not answer: the others do. */
	async #askEach(paths: readonly string[]): Promise<(string | null)[]> {
		const answers: (string | null)[] = [];
		for (let at = 0; at < paths.length; at += atOnce) {
			const some = paths.slice(at, at + atOnce);
			const ask = (path: string) => this.#unlessSilent(path, async () => (await this.#ask([path], path))[0] ?? path);
			answers.push(...(await Promise.all(some.map(ask))));
		}
		return answers;
	}

	/** Null when it does not answer, or did not lately. */
	async #unlessSilent<T>(path: string, ask: () => Promise<T>): Promise<T | null> {
		if (this.#isSilent(path) || !this.#mayLinger(path)) return null;
		const answer = await unlessLate(ask());
		this.#silent.delete(path);
		if (answer === null) this.#silent.set(path, this.#clock.monotonicMs() + this.#pauseMs(path));
		dropOldest(this.#silent, maxSilent);
		return answer;
	}

	#isSilent(path: string): boolean {
		return this.#clock.monotonicMs() < (this.#silent.get(path) ?? Number.NEGATIVE_INFINITY);
	}

	/** While somebody asks still, others would only join. */
	#pauseMs = (path: string): number => (this.#lingering.has(path) ? lingeringMs : silentMs);

	#mayLinger(path: string): boolean {
		let all = 0;
		for (const count of this.#lingering.values()) all += count;
		return all < maxLingering && (this.#lingering.get(path) ?? 0) < maxLingeringEach;
	}

	async #ask(paths: readonly string[], on: string): Promise<string[]> {
		const real = async (some: readonly string[]) => {
			const { stdout } = await this.#run(on, "realpath", ["-m", "-z", "--", ...some]);
			return stdout.split("\0").slice(0, -1);
		};
		const all = await real(paths);
		if (all.length === paths.length) return all;
		// It says nothing of those that it cannot follow, so each is asked for by itself.
		return Promise.all(paths.map(async (path) => (await real([path]))[0] ?? path));
	}

	/** A program that does not end counts against `on` until it does. */
	async #run(on: string, program: string, args: readonly string[]): Promise<RunResult> {
		const asking = this.#start(this.#clock, program, args, { timeoutMs: askLimitMs, okExitCodes: [0, 1] });
		try {
			return await asking.result;
		} catch (error) {
			if (asking.lingers()) {
				this.#lingering.set(on, (this.#lingering.get(on) ?? 0) + 1);
				void asking.ended.then(() => this.#hasEnded(on));
			}
			throw error;
		}
	}

	#hasEnded(on: string): void {
		const left = (this.#lingering.get(on) ?? 0) - 1;
		if (left > 0) this.#lingering.set(on, left);
		else this.#lingering.delete(on);
		// What it waited for has answered.
		this.#silent.delete(on);
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
