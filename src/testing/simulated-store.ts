/** A store of one node on simulated files: the real log and consensus, with the state in memory, so that each start replays. */

import { present } from "../lib/assert.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { emptyConfiguration } from "../raft/configuration.ts";
import { openRaft } from "../store/raft/open-raft.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { noSnapshots } from "../store/raft/snapshot-traffic.ts";
import { ReplicatedStore } from "../store/replicated-store.ts";
import { openMemoryState } from "../store/sqlite/database.ts";
import type { StateDatabase } from "../store/sqlite/state-database.ts";
import type { Store } from "../store/store.ts";
import type { MemoryFiles } from "./memory-files.ts";

export async function openSimulatedStore(
	files: MemoryFiles,
	options: {
		clock?: Clock;
		onFatal?: (error: AppError) => void;
		segmentBytes?: number;
		reserveBytes?: number;
		makeRoom?: () => Promise<boolean>;
	} = {},
): Promise<Store & { database: StateDatabase; consensus: RaftConsensus }> {
	const state = openMemoryState();
	const onFatal = options.onFatal ?? (() => {});
	let opened: RaftConsensus | null = null;
	const store = await ReplicatedStore.open({
		state,
		clock: options.clock ?? systemClock,
		logger: silentLogger,
		onFatal,
		async connect(onCommitted) {
			const founders = { ...emptyConfiguration, voters: ["node"] };
			opened = await openRaft({
				clusterId: "cluster",
				nodeId: "node",
				clock: options.clock ?? systemClock,
				logger: silentLogger,
				random: () => 0,
				transport: { send() {}, sendSnapshot() {} },
				snapshots: noSnapshots,
				onCommitted,
				onFatal,
				files,
				base: { index: 0, term: 0, configuration: { index: 0, configuration: founders } },
				reserveBytes: options.reserveBytes ?? 0,
				segmentBytes: options.segmentBytes ?? 64 * 1024,
			});
			return opened;
		},
		takeSnapshot: () => Promise.reject(new Error("a simulated store makes no snapshots")),
		takeBackup: () => Promise.reject(new Error("a simulated store makes no backups")),
		...(options.makeRoom === undefined ? {} : { makeRoom: options.makeRoom }),
		release: async () => state.close(),
	});
	return Object.assign(store, { database: state, consensus: present(opened as RaftConsensus | null, "its consensus") });
}
