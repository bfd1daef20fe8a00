/**
 * Upkeep of the state database in a thread of its own: snapshots when the log has grown enough, the log cut behind
 * them, and the database's own write-ahead log moved into it. Two snapshots are kept, and the log since the older
 * one, so that a snapshot that turns out to be damaged is no loss.
 *
 * What fails is tried again, but for a sync of the database: the write-ahead log still has what it was for, and only until it
 * begins anew, which it does after the next sync that says "ok". So the process ends, and the next one moves all of it again.
 * A copy whose sync fails is thrown away: what it was made from is as it was.
 */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { MiB } from "../../lib/units.ts";
import { rebuildAdvice } from "../advice.ts";
import { WorkerClient, WorkerError } from "../worker-client.ts";
import { isDamageCode, isFullCode, isSyncCode } from "./failures.ts";
import { schemaVersion } from "./migrations.ts";
import { dropOlderSnapshots, listSnapshots } from "./snapshot-files.ts";
import { type SnapshotWorkerCalls, snapshotWorker } from "./snapshot-worker.ts";
import type { StateDatabase } from "./state-database.ts";
import { makeStateDigest } from "./state-digest.ts";
import { flushSteadily } from "./steady-flush.ts";

export type MaintenancePolicy = {
	/**
	 * A snapshot is made when so many entries, or so many bytes of log, came since the last; twice as many when that was twice
	 * as large as `snapshotBytes`, and so on. So what a snapshot costs each change does not grow with the state.
	 */
	snapshotEntries: number;
	snapshotLogBytes: number;
	snapshotBytes: number;
	/** The write-ahead log is moved into the database when it is larger. */
	checkpointBytes: number;
};

export const defaultPolicy: MaintenancePolicy = {
	snapshotEntries: 50_000,
	snapshotLogBytes: 32 * MiB,
	snapshotBytes: 64 * MiB,
	checkpointBytes: 4 * MiB,
};

const kept = 2;
const retryMs = 60_000;
/** Damage does not heal; whoever reads the log is reminded. */
const retryDamagedMs = 3_600_000;
/** Looking at the size of a file for each command would cost more than the command. */
const checkpointCheckInterval = 256;

export type MaintenanceParts = {
	state: StateDatabase;
	statePath: string;
	snapshotDirectory: string;
	policy: MaintenancePolicy;
	clock: Clock;
	logger: Logger;
	logBytesAfter: (index: number) => number;
	compact: (index: number) => Promise<void>;
	/** Nothing is written to the database until `work` is done. */
	held: (work: () => Promise<unknown>) => Promise<unknown>;
	/** A sync has failed: going on would lose what is only in memory. */
	onFatal: (error: AppError) => void;
	/** Starts the thread; for tests. */
	openWorker?: () => WorkerClient;
	/** Whether so much can be written without what is kept for changes that make room. Left out: it is tried. */
	fits?: (bytes: number) => boolean;
	/** Something of that is given up for the database; false when there is nothing. */
	makeRoom?: () => Promise<boolean>;
};

export class Maintenance {
	readonly #parts: MaintenanceParts;
	#worker: WorkerClient | null = null;
	#lastSnapshot: number;
	#lastBytes: number;
	#running: Promise<void> | null = null;
	/** Settles when no call to the thread is under way, of those made so far. */
	#calls: Promise<unknown> = Promise.resolve();
	#closed = false;
	/** Each waits for itself after a failure: without room for a snapshot, the write-ahead log would grow for as long as there is none. */
	readonly #notBeforeMs = { snapshot: 0, checkpoint: 0 };
	#appliedIndex = 0;
	#lastCheckpointCheck = 0;

	constructor(parts: MaintenanceParts, lastSnapshot: { index: number; bytes: number }) {
		this.#parts = parts;
		this.#lastSnapshot = lastSnapshot.index;
		this.#lastBytes = lastSnapshot.bytes;
	}

	/** After entries were applied. Quick; the work itself goes on beside. */
	onApplied(appliedIndex: number): void {
		this.#appliedIndex = appliedIndex;
		if (this.#closed || this.#running !== null) return;
		const nowMs = this.#parts.clock.monotonicMs();
		if (nowMs >= this.#notBeforeMs.snapshot && this.#snapshotIsDue(appliedIndex)) this.#start("snapshot");
		else if (
			nowMs >= this.#notBeforeMs.checkpoint &&
			appliedIndex - this.#lastCheckpointCheck >= checkpointCheckInterval
		) {
			this.#lastCheckpointCheck = appliedIndex;
			this.#start("checkpoint");
		}
	}

	/** One of this node's own now, whether it is due or not; the log is cut behind the one before. */
	async snapshotNow(): Promise<void> {
		await this.#running;
		if (this.#closed) throw new AppError("unavailable", "The store is closing.");
		const before = this.#lastSnapshot;
		this.#start("snapshot");
		await this.#running;
		if (this.#lastSnapshot === before && before < this.#appliedIndex)
			throw new AppError("storage", "A snapshot of the state could not be made; the log says why.");
	}

	/** Runs `work` when no snapshot and no checkpoint is under way, and lets none begin before it is done. */
	async exclusively(work: () => void): Promise<void> {
		for (let calls: Promise<unknown> | null = null; calls !== this.#calls; ) {
			calls = this.#calls;
			await calls;
		}
		// The thread closes its files at the end of each call, and nothing runs before the end of `work`.
		work();
		this.#appliedIndex = this.#parts.state.appliedIndex;
		this.#lastSnapshot = this.#appliedIndex;
	}

	/** A snapshot for a backup, to any path in a folder that exists. */
	async snapshot(path: string): Promise<{ index: number; bytes: number }> {
		try {
			return await this.#snapshot(`${path}.tmp`, path);
		} catch (error) {
			throw snapshotError(error, this.#parts.statePath);
		}
	}

	async #snapshot(temporary: string, target: string): Promise<{ index: number; bytes: number }> {
		const source = this.#parts.statePath;
		const making = this.#call("snapshot", { source, temporary, target, newestVersion: schemaVersion });
		const made = await flushSteadily(temporary, this.#parts.clock, making);
		return made as { index: number; bytes: number };
	}

	/** Waits for what is running; nothing begins any more. */
	async close(): Promise<void> {
		this.#closed = true;
		await this.#running;
		if (this.#worker !== null) await this.#call("release", {}).catch(() => {});
		this.#worker?.close();
	}

	#snapshotIsDue(appliedIndex: number): boolean {
		const { policy, logBytesAfter } = this.#parts;
		const times = Math.max(1, this.#lastBytes / policy.snapshotBytes);
		if (appliedIndex - this.#lastSnapshot >= times * policy.snapshotEntries) return true;
		return appliedIndex > this.#lastSnapshot && logBytesAfter(this.#lastSnapshot) >= times * policy.snapshotLogBytes;
	}

	#start(what: Upkeep): void {
		const work = what === "snapshot" ? this.#automaticSnapshot() : this.#checkpoint();
		this.#running = work
			.catch((failure) => this.#onFailure(what, failure))
			.finally(() => {
				this.#running = null;
				// What became due meanwhile must not wait for the next command.
				this.onApplied(this.#appliedIndex);
			});
	}

	#onFailure(what: Upkeep, failure: unknown): void {
		const { clock, logger, statePath, onFatal } = this.#parts;
		if (failure instanceof SyncFailure) {
			this.#closed = true;
			onFatal(new AppError("storage", syncFailed, { cause: failure.cause }));
			return;
		}
		const error = failure instanceof AppError ? failure : snapshotError(failure, statePath);
		const damaged = isAppError(error, "corrupt");
		this.#notBeforeMs[what] = clock.monotonicMs() + (damaged ? retryDamagedMs : retryMs);
		if (damaged) logger.error("the state is damaged: no snapshot was made, and the log is kept", { error });
		else logger.warn("upkeep of the state failed; it is tried again", { error });
	}

	async #automaticSnapshot(): Promise<void> {
		const { state, snapshotDirectory, compact, logger, fits } = this.#parts;
		// Tried, it would take all the space there is for a while, and others would meanwhile give up what is kept for their writes.
		const hasRoom = () => fits?.(state.copyBytes) !== false;
		// Else the log could not be cut, and would take what is left.
		if (!hasRoom() && !((await dropOlderSnapshots(snapshotDirectory)) && hasRoom())) throw noSpaceForSnapshot();
		const { index, bytes } = await this.#snapshot(join(snapshotDirectory, "new.tmp.db"), snapshotDirectory);
		this.#lastSnapshot = index;
		this.#lastBytes = bytes;
		const [, ...older] = await listSnapshots(snapshotDirectory);
		for (const { path } of older.slice(kept - 1)) await rm(path, { force: true });
		const cutAt = older[kept - 2]?.index;
		if (cutAt !== undefined) await compact(cutAt);
		logger.info("snapshot of the state made", { index, bytes, logCutAt: cutAt ?? null });
	}

	async #checkpoint(): Promise<void> {
		const { statePath, policy, held } = this.#parts;
		const walBytes = async () => (await stat(`${statePath}-wal`).catch(() => null))?.size ?? 0;
		if ((await walBytes()) < policy.checkpointBytes) return;
		await this.#moveIn();
		// Under steady writing the thread never gets to the end, and the file grows. The rest is little by now, and is not
		// moved here: that ends with an fsync, and whoever else writes to the disk may make it last a second.
		if ((await walBytes()) >= 4 * policy.checkpointBytes) await held(() => this.#moveIn());
	}

	/** It makes the database longer at the most by what the write-ahead log then does not grow. */
	async #moveIn(): Promise<void> {
		for (;;) {
			try {
				await this.#call("checkpoint", { source: this.#parts.statePath });
				return;
			} catch (error) {
				const code = error instanceof WorkerError ? (error.code ?? "") : "";
				if (isSyncCode(code)) throw new SyncFailure("the state database is perhaps not on the disk", { cause: error });
				if (!isFullCode(code) || !(await this.#parts.makeRoom?.())) throw error;
			}
		}
	}

	#call<K extends keyof SnapshotWorkerCalls>(operation: K, args: SnapshotWorkerCalls[K]): Promise<unknown> {
		this.#worker ??= this.#parts.openWorker?.() ?? new WorkerClient(snapshotWorker, makeStateDigest);
		const result = this.#worker.call(operation, args);
		this.#calls = Promise.allSettled([this.#calls, result]);
		return result;
	}
}

type Upkeep = "snapshot" | "checkpoint";

/** Of the database itself. */
class SyncFailure extends Error {}

const syncFailed =
	"The disk of the state database failed. This node stops: the log has every change, and the next start brings them again.";
const noSpaceForSnapshot = (cause?: unknown): AppError =>
	new AppError("no-space", "There is not enough space for a snapshot.", cause === undefined ? {} : { cause });

function snapshotError(cause: unknown, statePath: string): AppError {
	const code = cause instanceof WorkerError ? (cause.code ?? "") : "";
	if (code === "ENOSPC" || code === "EDQUOT" || isFullCode(code)) return noSpaceForSnapshot(cause);
	if (code === "corrupt" || isDamageCode(code)) {
		const found = cause instanceof Error ? cause.message : String(cause);
		const advice = `Stop the node. ${rebuildAdvice(statePath)}`;
		return new AppError("corrupt", `The state database ${statePath} is damaged (${found}). ${advice}`, { cause });
	}
	return new AppError("storage", `The snapshot could not be written (${code || "unknown error"}).`, { cause });
}
