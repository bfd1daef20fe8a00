/**
 * Audit records that cannot be written just now: there is no quorum. They wait in memory, a limited number of them, and are written
 * when there is one again. A record that was written after all, unknown to this node, is the same record: it has an id.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { type ErrorCode, isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { AuditRecord } from "../model/access.ts";

export type LateRecordsDeps = {
	clock: Clock;
	logger: Logger;
	hasQuorum: () => boolean;
	write: (record: AuditRecord) => Promise<unknown>;
};

const maxWaiting = 1_000;
const retryMs = 2_000;

export class LateRecords {
	readonly #deps: LateRecordsDeps;
	#waiting: AuditRecord[] = [];
	#dropped = 0;
	#timer: Timer | null = null;
	#writing: Promise<void> | null = null;

	constructor(deps: LateRecordsDeps) {
		this.#deps = deps;
	}

	get size(): number {
		return this.#waiting.length;
	}

	add(record: AuditRecord): void {
		if (this.#waiting.length < maxWaiting) this.#waiting.push(record);
		else this.#dropped += 1;
		this.#arm();
	}

	/** Writes what can be written; the rest waits on. */
	flush(): Promise<void> {
		this.#writing ??= this.#flush().finally(() => {
			this.#writing = null;
			// Came meanwhile, and its timer as well.
			if (this.#waiting.length > 0) this.#arm();
		});
		return this.#writing;
	}

	#arm(): void {
		this.#timer ??= this.#deps.clock.schedule(retryMs, () => {
			this.#timer = null;
			void this.flush();
		});
	}

	/** Those that are not written by now are lost, and the log says how many. */
	async close(): Promise<void> {
		await this.#writing;
		await this.flush();
		this.#timer?.cancel();
		this.#timer = null;
		this.#dropped += this.#waiting.length;
		this.#waiting = [];
		this.#sayDropped();
	}

	async #flush(): Promise<void> {
		const { hasQuorum, write, logger } = this.#deps;
		const waiting = this.#waiting;
		this.#waiting = [];
		for (const [at, record] of waiting.entries()) {
			try {
				if (hasQuorum()) {
					await write(record);
					continue;
				}
			} catch (error) {
				if (!mayBeLater(error)) {
					logger.warn("an audit record could not be written", { record, error });
					continue;
				}
			}
			for (const rest of waiting.slice(at)) this.add(rest);
			return;
		}
		this.#sayDropped();
	}

	#sayDropped(): void {
		if (this.#dropped > 0)
			this.#deps.logger.warn("audit records were lost: there was no quorum to write them", { count: this.#dropped });
		this.#dropped = 0;
	}
}

/** What was refused for now, and not for what it is. */
export const mayBeLater = (error: unknown): boolean => isAppError(error) && passing.includes(error.code);
const passing: readonly ErrorCode[] = ["unavailable", "timeout", "no-space", "too-many-requests"];
