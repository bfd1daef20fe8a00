/**
 * What the consensus asks of the disk, one thing after the other: the log has one writer, and what is read is not cut
 * away meanwhile.
 */
import { isAppError } from "../../lib/errors.ts";
import { type MutantName, planted } from "../../raft/mutants.ts";
import type { Entry, Persist } from "../../raft/types.ts";
import { keptFreeBytes } from "../disk-reserve.ts";
import type { LogFiles } from "../log/files.ts";
import { writeHardState } from "../log/hard-state.ts";
import type { SegmentLog } from "../log/segment-log.ts";
import type { Room } from "./space.ts";

/** What entries always leave free: a vote must fit where they do not. */
const hardStateRoomBytes = 16 * 1024;

export type RaftDiskOptions = { files: LogFiles; log: SegmentLog; reserveBytes: number; mutant: MutantName | null };

export class RaftDisk {
	readonly mutant: MutantName | null;
	readonly reserveBytes: number;
	readonly #files: LogFiles;
	readonly #log: SegmentLog;
	readonly #keptFree: number;
	#waiting = 0;
	#last: Promise<unknown> = Promise.resolve();

	constructor({ files, log, reserveBytes, mutant }: RaftDiskOptions) {
		this.#files = files;
		this.#log = log;
		this.reserveBytes = reserveBytes;
		this.#keptFree = Math.max(keptFreeBytes("essential", reserveBytes), hardStateRoomBytes);
		this.mutant = mutant;
	}

	/** True when all of it is durable; false when there is no space, and then none of it counts. */
	persist(persist: Persist): Promise<boolean> {
		return this.#next(() => this.#persist(persist));
	}

	/** Entries of the log from `firstIndex` on; none when they are not there any more. */
	read(firstIndex: number, lastIndex: number, maxBytes: number): Promise<Entry[]> {
		return this.#next(async () => {
			if (firstIndex < this.#log.firstIndex || firstIndex > this.#log.lastIndex) return [];
			const entries = await this.#log.read(firstIndex, maxBytes);
			return entries.length > lastIndex - firstIndex + 1 ? entries.slice(0, lastIndex - firstIndex + 1) : entries;
		});
	}

	cutBefore(index: number): Promise<void> {
		return this.#next(() => this.#log.cutBefore(index));
	}

	/** False when there is no space; then nothing has changed. */
	resetTo(index: number, term: number): Promise<boolean> {
		return this.#next(() => unlessFull(this.#log.resetTo(index, term)));
	}

	/** What may still be written (disk-reserve.ts). */
	room(): Promise<Room> {
		const forGrowing = Math.max(keptFreeBytes("growing", this.reserveBytes), this.#keptFree);
		return this.#next(async () => {
			if (await this.#log.hasSpace("growing", forGrowing)) return "growing";
			return forGrowing > this.#keptFree && (await this.#log.hasSpace("essential", this.#keptFree))
				? "essential"
				: "none";
		});
	}

	/** When what is under way is done, well or not. */
	async idle(): Promise<void> {
		await this.#last;
	}

	async close(): Promise<void> {
		await this.#last;
		await this.#log.close();
	}

	async #persist({ hardState, truncateAfter, entries }: Persist): Promise<boolean> {
		try {
			if (hardState !== null && !planted(this, "hard-state-not-written")) await writeHardState(this.#files, hardState);
			if (truncateAfter !== null && !planted(this, "cut-not-written")) await this.#log.truncateAfter(truncateAfter);
			const written = entries.length > 0 ? this.#log.append(entries, this.#keptFree) : null;
			if (!planted(this, "log-not-awaited")) await written;
			else written?.catch(() => {});
			return true;
		} catch (error) {
			if (isAppError(error, "no-space")) return planted(this, "no-space-acknowledged");
			throw error;
		}
	}

	#next<T>(work: () => Promise<T>): Promise<T> {
		const result = this.#waiting === 0 ? work() : this.#last.then(work, work);
		this.#waiting += 1;
		const done = (): void => {
			this.#waiting -= 1;
		};
		this.#last = result.then(done, done);
		return result;
	}
}

async function unlessFull(work: Promise<void>): Promise<boolean> {
	try {
		await work;
		return true;
	} catch (error) {
		if (isAppError(error, "no-space")) return false;
		throw error;
	}
}
