/**
 * A program that writes into a pool which gets full: the cluster lets it wait, and not every such program gives that up by itself (`qemu-img`
 * of QEMU 7.2 does not, whatever time limit its client has).
 */
import { type Clock, delay } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";

const everyMs = 10_000;
/** So many looks one after the other must find no progress and a full pool. */
const maxStanding = 2;

export const noSpace = (cause?: unknown) =>
	new AppError("no-space", "The Ceph pool is full, or its quota is reached.", { cause });

/** What `work` gives; ends it by its signal, and fails with `no-space`, when it makes no progress and the pool is full. */
export async function whileRoom<T>(
	clock: Clock,
	isFull: () => Promise<boolean>,
	{ signal, progress }: LongOptions,
	work: (options: LongOptions) => Promise<T>,
	lookEveryMs = everyMs,
): Promise<T> {
	let last: number | null = null;
	let moved = false;
	const full = new AbortController();
	const done = new AbortController();
	const watch = async () => {
		for (let standing = 0; standing < maxStanding; ) {
			await delay(clock, lookEveryMs, done.signal);
			const stands = !moved && (await isFull().catch(() => false));
			standing = stands && !moved ? standing + 1 : 0;
			moved = false;
		}
		full.abort();
	};
	// It ends by the failure of the delay when `work` is done.
	watch().catch(() => {});
	const signals = [full.signal, ...(signal ? [signal] : [])];
	try {
		return await work({
			signal: AbortSignal.any(signals),
			progress(ratio, message) {
				moved ||= ratio !== last;
				last = ratio;
				progress?.(ratio, message);
			},
		});
	} catch (error) {
		throw full.signal.aborted ? noSpace(error) : error;
	} finally {
		done.abort();
	}
}
