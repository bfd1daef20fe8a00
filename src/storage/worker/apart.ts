/** What a storage worker does without a pool: one file of this node is read, or the folder of a pool that nobody here has open is freed. */
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import type { FileToAdopt } from "../driver.ts";
import type { Readable } from "../inspect/inspect-image.ts";
import { inspectFile } from "../local/adopt-volume.ts";
import { copyHostFile } from "../local/copy-host-file.ts";
import { type HostFile, openHostFile } from "../local/host-file.ts";
import { hashFile, imageBytesHere, readHere, statHere } from "../local/host-file-here.ts";
import { PoolFolder } from "../local/pool-folder.ts";
import { type Leftovers, releasePool } from "../local/release-pool.ts";
import type { Answer, Call } from "./methods.ts";

export function methodsApart(log: Logger): Record<string, (call: Call) => Promise<Answer>> {
	let opened: HostFile["file"] | null = null;
	let sizeBytes = 0;
	const file = () => {
		if (opened === null) throw new AppError("wrong-state", "No file is open.");
		return opened;
	};
	return {
		async openHostFile({ args }) {
			if (opened !== null) throw new AppError("wrong-state", "A file is open already.");
			const { file: handle, ...rest } = await openHostFile(...(args as [string, string[]]));
			opened = handle;
			sizeBytes = rest.sizeBytes;
			return { value: { ...rest, fd: handle.fd } };
		},
		async readHostFile({ args }) {
			const [position, length] = args as [number, number];
			return { value: null, part: await readHere(file(), position, length) };
		},
		statHostFile: async () => ({ value: await statHere(file()) }),
		async copyHostFile({ args, options }) {
			const [path, limitMs] = args as [string, number];
			const limited = { read: withinLimit(file(), limitMs) };
			const within = <T>(work: Promise<T>) => answering(work, limitMs, poolIsSilent);
			return { value: await copyHostFile(limited, sizeBytes, path, options, within) };
		},
		async hashHostFile({ args, options }) {
			const limited = { read: withinLimit(file(), Number(args[0])) };
			return { value: await hashFile(limited, sizeBytes, options) };
		},
		async hostImageBytes() {
			const { fileSizeBytes, head, tail } = await imageBytesHere(file());
			return { value: { fileSizeBytes, headBytes: head.length }, part: Buffer.concat([head, tail]) };
		},
		async inspectHostFile({ args }) {
			const [wanted, protectedPaths, pools] = args as [FileToAdopt, string[], string[]];
			return { value: await inspectFile(wanted, protectedPaths, pools) };
		},
		async handOver({ args }) {
			const [path, from, to] = args as [string, string, string];
			await new PoolFolder(path, systemRandom).handOver(from, to);
			return { value: null };
		},
		async release({ args }) {
			const [path, poolId, left] = args as [string, string, Leftovers];
			const parts = { random: systemRandom, clock: systemClock, log, protectedPaths: [] };
			await releasePool({ path, poolId, ...parts }, left);
			return { value: null };
		},
	};
}

const withinLimit =
	(file: Readable, limitMs: number): Readable["read"] =>
	(...where) =>
		answering(file.read(...where), limitMs, { message: "The file system of the file does not answer." });

const poolIsSilent = { message: "The pool's file system does not answer.", context: { silent: "pool" } };

/** Nobody else sees that a long piece of work has come to a stand. */
async function answering<T>(
	work: Promise<T>,
	limitMs: number,
	{ message, context = {} }: { message: string; context?: Record<string, string> },
): Promise<T> {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const timer = systemClock.schedule(limitMs, () => reject(new AppError("timeout", message, { context })));
	try {
		return await Promise.race([work, late]);
	} finally {
		timer.cancel();
	}
}
