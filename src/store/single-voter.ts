/**
 * Consensus with one voter: an entry is committed once it is durable here. Raft replaces this file, behind the same
 * interface. Group commit: while one fdatasync runs, later proposals gather and go into the next; the entries of the
 * one before are applied meanwhile.
 *
 * Each start is a term of its own, as after an election, made durable before anything is appended.
 */
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import { restoreAdvice } from "./advice.ts";
import type { LogEntry } from "./apply/apply.ts";
import type { CommittedHandler, Consensus, ConsensusStatus } from "./consensus.ts";
import { keptFreeBytes, type Urgency } from "./disk-reserve.ts";
import { maxPendingProposals } from "./limits.ts";
import type { LogFiles } from "./log/files.ts";
import { readHardState, writeHardState } from "./log/hard-state.ts";
import type { SegmentLog } from "./log/segment-log.ts";

type Proposal = { data: Uint8Array; urgency: Urgency; resolve: () => void; reject: (error: AppError) => void };

const maxBatchBytes = 1024 * 1024;
const replayBytes = 4 * 1024 * 1024;

export type SingleVoterOptions = {
	files: LogFiles;
	log: SegmentLog;
	/** The last entry that the state has; the ones after it are handed over before `start` returns. */
	appliedIndex: number;
	onCommitted: CommittedHandler;
	/** Free bytes of the disk that the log leaves alone. */
	reserveBytes: number;
};

export class SingleVoter implements Consensus {
	readonly #log: SegmentLog;
	readonly #onCommitted: CommittedHandler;
	readonly #reserveBytes: number;
	readonly #term: number;
	#queue: Proposal[] = [];
	#writing: Promise<void> | null = null;
	/** Log maintenance and appends take turns. */
	#maintenance: Promise<void> = Promise.resolve();
	#closed: AppError | null = null;

	private constructor({ log, onCommitted, reserveBytes }: SingleVoterOptions, term: number) {
		this.#log = log;
		this.#onCommitted = onCommitted;
		this.#reserveBytes = reserveBytes;
		this.#term = term;
	}

	static async start(options: SingleVoterOptions): Promise<SingleVoter> {
		const { files, log, appliedIndex, onCommitted } = options;
		const before = await readHardState(files);
		if (before === null && log.lastIndex >= log.firstIndex)
			throw new AppError(
				"corrupt",
				`There is a log without the file hard-state beside it, which holds this node's vote. Nothing was changed. Put it back from a copy of the data folder. ${restoreAdvice}`,
			);
		const term = Math.max(before?.term ?? 0, log.lastTerm) + 1;
		await writeHardState(files, { term, vote: before?.vote ?? null });
		for (let index = appliedIndex + 1; index <= log.lastIndex; ) {
			const entries = await log.read(index, replayBytes);
			onCommitted(entries);
			index += entries.length;
		}
		return new SingleVoter(options, term);
	}

	propose(data: Uint8Array, urgency: Urgency): Promise<void> {
		if (this.#closed !== null) return Promise.reject(this.#closed);
		if (this.#queue.length >= maxPendingProposals)
			return Promise.reject(
				new AppError("too-many-requests", "Too many changes are waiting. Try again in a moment.", {
					retryAfterMs: 1000,
				}),
			);
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		this.#queue.push({ data, urgency, resolve, reject });
		this.#writing ??= this.#writeAll();
		return promise;
	}

	/** All that was acknowledged is committed here: there is nobody else to ask. */
	async readIndex(): Promise<number> {
		if (this.#closed !== null) throw this.#closed;
		return this.#log.lastIndex;
	}

	status(): ConsensusStatus {
		return { leader: null, quorum: this.#closed === null, commitIndex: this.#log.lastIndex, term: this.#term };
	}

	compact(index: number): Promise<void> {
		return this.#exclusively(() => this.#log.cutBefore(index + 1));
	}

	logBytesAfter(index: number): number {
		return this.#log.bytesAfter(index);
	}

	async close(): Promise<void> {
		this.#closed ??= new AppError("unavailable", "This node is shutting down.", { retryAfterMs: 1000 });
		await this.#writing;
		await this.#maintenance;
		await this.#log.close();
	}

	async #writeAll(): Promise<void> {
		// Proposals of the same turn of the event loop go together.
		await Promise.resolve();
		let durable: Batch | null = null;
		while (this.#queue.length > 0 || durable !== null) {
			const batch: Batch | null = this.#queue.length > 0 ? this.#nextBatch() : null;
			const appending = batch === null ? null : this.#append(batch);
			if (durable !== null) this.#finish(durable);
			durable = batch !== null && (await appending) ? batch : null;
		}
		this.#writing = null;
	}

	#nextBatch(): Batch {
		let bytes = 0;
		let count = 0;
		const urgency = this.#queue[0]?.urgency ?? "essential";
		for (const { data, urgency: other } of this.#queue) {
			// One that is refused for lack of space must not take others along.
			if (other !== urgency || (count > 0 && bytes + data.length > maxBatchBytes)) break;
			bytes += data.length;
			count += 1;
		}
		return { proposals: this.#queue.splice(0, count), entries: [], urgency };
	}

	/** True when the batch is durable; else its proposals have been refused. */
	async #append(batch: Batch): Promise<boolean> {
		try {
			await this.#exclusively(async () => {
				const first = this.#log.lastIndex + 1;
				batch.entries = batch.proposals.map(({ data }, position) => ({
					index: first + position,
					term: this.#term,
					data,
				}));
				await this.#log.append(batch.entries, keptFreeBytes(batch.urgency, this.#reserveBytes));
			});
			return true;
		} catch (error) {
			const known = toAppError(error);
			if (!isAppError(known, "no-space")) this.#closed ??= known;
			for (const proposal of batch.proposals) proposal.reject(known);
			return false;
		}
	}

	#finish({ proposals, entries }: Batch): void {
		this.#onCommitted(entries);
		for (const proposal of proposals) proposal.resolve();
	}

	#exclusively(work: () => Promise<void>): Promise<void> {
		const result = this.#maintenance.then(work);
		this.#maintenance = result.catch(() => {});
		return result;
	}
}

type Batch = { proposals: Proposal[]; entries: LogEntry[]; urgency: Urgency };
