/**
 * Files of this node that a person, or a domain of others, names: opened and read in a storage worker of their own, which has no pool.
 * Where such a path leads nobody knows, and a file system whose server is gone would keep whoever looks at it for ever.
 */
import type { Clock, Timer } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { doesNotAnswer } from "../../lib/hanging-paths.ts";
import type { Logger } from "../../lib/log.ts";
import type { FileToAdopt, LongOptions } from "../driver.ts";
import type { HostFileReader, HostFileState } from "../host-file-reader.ts";
import type { ImageBytes } from "../inspect/image-rules.ts";
import type { InspectedFile } from "../local/adopt-volume.ts";
import type { OpenedHostFile } from "../local/host-file.ts";
import { maxPartBytes } from "./frames.ts";
import {
	type CallOptions,
	type WorkerAnswer,
	type WorkerCommand,
	WorkerProcess,
	workerLimits,
} from "./worker-process.ts";

export type HostFileOptions = {
	command: WorkerCommand;
	clock: Clock;
	log: Logger;
	limits?: Partial<HostFileLimits>;
};

export type HostFileLimits = {
	/** Opening a file, and seeing what is in the beginning of it. */
	lookMs: number;
	/** One part of a file that is being read, or written to a pool: a server that starts again keeps its clients waiting for up to 90 s. */
	readMs: number;
};
const hostFileLimits: HostFileLimits = { lookMs: 5000, readMs: 120_000 };
/** Until a copy that was called off is ended by force. */
const cancelMs = 5000;

/** Fails as openHostFile does, and with `timeout` when the file system does not answer. The caller disposes it. */
export async function hostFileApart(
	options: HostFileOptions,
	path: string,
	protectedPaths: readonly string[],
): Promise<HostFileReader> {
	const { lookMs, readMs } = { ...hostFileLimits, ...options.limits };
	const worker = await startWorker(options);
	const ask = async (method: string, args: unknown[], call: CallOptions): Promise<WorkerAnswer> => {
		try {
			return await worker.call(method, args, call);
		} catch (error) {
			const isOfFile = isAppError(error, "timeout") && error.context.silent !== "pool";
			throw isOfFile ? doesNotAnswer(`The file ${path}`) : error;
		}
	};
	/** What hangs does not hear that it is called off. */
	const long = async (method: string, args: unknown[], how: LongOptions): Promise<unknown> => {
		let timer: Timer | null = null;
		const onAbort = () => {
			const canceled = new AppError("canceled", "The operation was canceled.");
			timer = options.clock.schedule(cancelMs, () => worker.kill(canceled));
		};
		how.signal?.addEventListener("abort", onAbort, { once: true });
		try {
			return (await ask(method, args, { ...how, limitMs: null })).value;
		} finally {
			how.signal?.removeEventListener("abort", onAbort);
			(timer as Timer | null)?.cancel();
		}
	};
	try {
		const { value } = await ask("openHostFile", [path, protectedPaths], { limitMs: lookMs });
		const { fd, ...opened } = value as OpenedHostFile & { fd: number };
		return {
			...opened,
			programPath: `/proc/${worker.processId}/fd/${fd}`,
			async read(position, maxBytes) {
				const length = Math.min(maxBytes, maxPartBytes);
				return (await ask("readHostFile", [position, length], { limitMs: readMs })).part;
			},
			async stat() {
				return (await ask("statHostFile", [], { limitMs: readMs })).value as HostFileState;
			},
			copyTo: async (target, how) => (await long("copyHostFile", [target, readMs], how)) as string,
			sha256: async (how: LongOptions) => (await long("hashHostFile", [readMs], how)) as string,
			async imageBytes(): Promise<ImageBytes> {
				const { value: sizes, part } = await ask("hostImageBytes", [], { limitMs: readMs });
				const { fileSizeBytes, headBytes } = sizes as { fileSizeBytes: number; headBytes: number };
				return { fileSizeBytes, head: part.subarray(0, headBytes), tail: part.subarray(headBytes) };
			},
			[Symbol.asyncDispose]: async () => end(options, worker),
		};
	} catch (error) {
		end(options, worker);
		throw error;
	}
}

/** After so many files that do not answer the rest is not waited for. */
const maxHung = 2;

/**
 * The checks of files that are to be taken over, in their order, each with its answer or what it failed with. `pools`: real paths of
 * the folders whose files are somebody's.
 */
export async function inspectApart(
	options: HostFileOptions,
	files: readonly FileToAdopt[],
	protectedPaths: readonly string[],
	pools: readonly string[],
): Promise<(InspectedFile | AppError)[]> {
	const { lookMs } = { ...hostFileLimits, ...options.limits };
	const answers: (InspectedFile | AppError)[] = [];
	let worker: WorkerProcess | null = null;
	let hung = 0;
	try {
		for (const file of files) {
			if (hung >= maxHung) {
				answers.push(doesNotAnswer(`The file ${file.path}`));
				continue;
			}
			worker ??= await startWorker(options);
			try {
				const { value } = await worker.call("inspectHostFile", [file, protectedPaths, pools], { limitMs: lookMs });
				answers.push(value as InspectedFile);
			} catch (error) {
				if (!(error instanceof AppError)) throw error;
				answers.push(error.code === "timeout" ? doesNotAnswer(`The file ${file.path}`) : error);
				const isHung = error.code === "timeout";
				if (isHung) hung += 1;
				// One that has ended by itself answers nothing more.
				if (!isHung && !worker.isDead) continue;
				end(options, worker);
				worker = null;
			}
		}
		return answers;
	} finally {
		if (worker) end(options, worker);
	}
}

/** Work on the folder of a pool that has no driver here; `method` as in apart.ts. */
export async function folderWorkApart(options: HostFileOptions, method: string, args: unknown[], limitMs: number) {
	const worker = await startWorker(options);
	try {
		return (await worker.call(method, args, { limitMs })).value;
	} finally {
		end(options, worker);
	}
}

/** Killed ones that do not end, because the kernel waits for what they read: of this process, whatever they were for. */
const lingering = new Set<WorkerProcess>();
const maxLingering = 8;
const endWaitMs = 2000;

/** Fails with `timeout` when too many of those before wait still. */
async function startWorker({ command, clock, log }: HostFileOptions): Promise<WorkerProcess> {
	if (lingering.size >= maxLingering)
		throw new AppError(
			"timeout",
			`Files of this node cannot be looked at: ${lingering.size} processes wait for file systems that do not answer.`,
			{ context: { health: "error" } },
		);
	return WorkerProcess.start(command, null, { clock, log, limits: workerLimits });
}

function end({ clock }: HostFileOptions, worker: WorkerProcess): void {
	worker.kill(new AppError("unavailable", "The process that read this file was ended."));
	const timer = clock.schedule(endWaitMs, () => lingering.add(worker));
	void worker.ended.then(() => {
		timer.cancel();
		lingering.delete(worker);
	});
}
