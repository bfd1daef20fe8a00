/**
 * Committed entries into the database: several in one transaction, together with the index of the last. Throws only
 * when the database fails, and then nothing of the batch has happened.
 */
import { assert, present } from "../lib/assert.ts";
import type { Logger } from "../lib/log.ts";
import { decodeConfiguration } from "../raft/configuration.ts";
import { applyEntry, type LogEntry, type Outcome } from "./apply/apply.ts";
import { countAhead } from "./sqlite/prunable.ts";
import type { StateDatabase } from "./sqlite/state-database.ts";

const maxBatch = 128;
/** So many go together in any case, and then again so many while there is time. */
const batchStep = 32;

export class StateMachine {
	readonly #state: StateDatabase;
	readonly #logger: Logger;
	#appliedIndex: number;

	constructor(state: StateDatabase, logger: Logger) {
		this.#state = state;
		this.#logger = logger;
		this.#appliedIndex = state.appliedIndex;
		countAhead(state);
	}

	get appliedIndex(): number {
		return this.#appliedIndex;
	}

	/** Another state took the place of this one. */
	replaced(): void {
		this.#appliedIndex = this.#state.appliedIndex;
		countAhead(this.#state);
	}

	/** Applies the first entries, at most 128, and says what came of them; call again with the rest. */
	apply(entries: readonly LogEntry[], mayGoOn = () => true): { outcomes: Outcome[]; appliedCount: number } {
		if (entries.length === 0) return { outcomes: [], appliedCount: 0 };
		const outcomes: Outcome[] = [];
		let last = present(entries[0], "the first entry");
		let appliedCount = 0;
		this.#state.transaction(() => {
			// It may be done twice; see transaction.
			outcomes.length = 0;
			appliedCount = 0;
			let expected = this.#appliedIndex + 1;
			for (const entry of entries) {
				if (appliedCount === maxBatch || (appliedCount > 0 && appliedCount % batchStep === 0 && !mayGoOn())) break;
				assert(entry.index === expected, () => `entry ${entry.index} follows ${expected - 1}`);
				if (entry.kind === "configuration") this.#applyConfiguration(entry);
				else {
					const outcome = applyEntry(this.#state, entry);
					if (outcome !== null) outcomes.push(outcome);
					else if (entry.data.length > 0)
						this.#logger.error("an entry of the log is no command", { index: entry.index });
				}
				expected += 1;
				appliedCount += 1;
				last = entry;
			}
			this.#state.setApplied(last.index, last.term);
		});
		this.#appliedIndex = last.index;
		for (const { bug, commandId } of outcomes)
			if (bug !== undefined) this.#logger.error("a command failed by a bug", { commandId, error: bug });
		return { outcomes, appliedCount };
	}

	/** The consensus knows it already; it is kept so that a snapshot, and the next start, say who the members are. */
	#applyConfiguration({ index, data }: LogEntry): void {
		const configuration = decodeConfiguration(data);
		if (configuration !== null) this.#state.setConfiguration({ index, configuration });
		else this.#logger.error("an entry of the log does not say who the members are", { index });
	}
}
