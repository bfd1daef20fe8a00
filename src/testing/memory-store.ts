/** A store for tests: the real commands, rules and queries, in memory and without waiting for a disk. */
import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { backups } from "../store/backup.ts";
import type { CommandBody } from "../store/command.ts";
import type { CommittedHandler, Consensus } from "../store/consensus.ts";
import { proposer } from "../store/proposer.ts";
import { ReplicatedStore } from "../store/replicated-store.ts";
import { openMemoryState } from "../store/sqlite/database.ts";
import type { Proposer, Store } from "../store/store.ts";

export type MemoryStore = Store & { proposer: Proposer };

/** `commands` are proposed by the system, one after the other, before it returns. */
export async function openMemoryStore(
	options: { clock?: Clock; commands?: readonly CommandBody[] } = {},
): Promise<MemoryStore> {
	const clock = options.clock ?? systemClock;
	const state = openMemoryState();
	const takeSnapshot = async (path: string) => {
		state.database.run("VACUUM INTO ?", [path]);
		return { index: state.appliedIndex, bytes: Bun.file(path).size };
	};
	const store = await ReplicatedStore.open({
		state,
		clock,
		logger: silentLogger,
		onFatal(error) {
			throw error;
		},
		connect: async (onCommitted, appliedIndex) => immediateConsensus(onCommitted, appliedIndex),
		takeSnapshot,
		takeBackup: backups(takeSnapshot, tmpdir()),
		release: async () => state.close(),
	});
	const made = Object.assign(store, { proposer: proposer(store, clock, idSource(clock, systemRandom)) });
	for (const body of options.commands ?? []) await made.proposer.proposeSystem(body);
	return made;
}

/** Commits at once, in order. */
function immediateConsensus(onCommitted: CommittedHandler, appliedIndex: number): Consensus {
	let index = appliedIndex;
	let open = true;
	return {
		async propose(data) {
			if (!open) throw new AppError("unavailable", "This node is shutting down.");
			index += 1;
			onCommitted([{ index, term: 1, data }]);
		},
		readIndex: async () => index,
		status: () => ({ leader: null, quorum: true, commitIndex: index, term: 1 }),
		compact: async () => {},
		logBytesAfter: () => 0,
		async close() {
			open = false;
		},
	};
}
