/** Waiting for a condition of the outside world (a process gone, a file there) that has no event of its own. */
import { AppError } from "../../lib/errors.ts";

const pollMs = 10;

/** Resolves with the first value of `check` that is not `undefined` or `false`; fails with `timeout` after `limitMs`. */
export async function waitUntil<T>(
	what: string,
	limitMs: number,
	check: () => T | undefined | false | Promise<T | undefined | false>,
	/** For checks that cost something: looks only so often (default 10 ms). */
	{ everyMs = pollMs }: { everyMs?: number } = {},
): Promise<T> {
	const deadline = performance.now() + limitMs;
	while (true) {
		const value = await check();
		if (value !== undefined && value !== false) return value;
		if (performance.now() > deadline) throw new AppError("timeout", `Waited ${limitMs} ms for ${what}.`);
		await Bun.sleep(everyMs);
	}
}
