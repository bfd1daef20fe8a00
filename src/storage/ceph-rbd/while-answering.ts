/** A program of others that reads a file whose file system may stop answering: it then ignores every signal, so its end is not waited for. */
import { type Clock, delay } from "../../lib/clock.ts";

const everyMs = 15_000;

/**
 * What `work` gives, or what `look` fails with, which is asked now and then beside it and fails by itself when the file does not answer. `work`
 * gets a signal that is given then: what it has begun goes when it can.
 */
export async function whileAnswering<T>(
	clock: Clock,
	look: () => Promise<unknown>,
	work: (signal: AbortSignal) => Promise<T>,
	lookEveryMs = everyMs,
): Promise<T> {
	const left = new AbortController();
	const done = new AbortController();
	const watching = (async () => {
		for (;;) {
			await delay(clock, lookEveryMs, done.signal);
			await look();
		}
	})();
	const working = work(left.signal);
	working.catch(() => {});
	// It ends by the failure of `look`, or of the delay when `work` is done.
	watching.catch((error) => left.abort(error));
	try {
		return await Promise.race([working, watching]);
	} finally {
		done.abort();
	}
}
