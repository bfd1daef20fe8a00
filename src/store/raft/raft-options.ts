/** What RaftConsensus is given. */
import type { Clock } from "../../lib/clock.ts";
import type { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { MutantName } from "../../raft/mutants.ts";
import type { Resume } from "../../raft/snapshot-receiver.ts";
import type { Entry, Limits, NodeId, RaftOptions } from "../../raft/types.ts";
import type { SegmentLog } from "../log/segment-log.ts";
import type { RaftDisk } from "./disk.ts";
import type { RaftConsensus } from "./raft-consensus.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import type { Forward, Transport } from "./transport.ts";

export type RaftConsensusOptions = {
	clusterId: string;
	nodeId: NodeId;
	clock: Clock;
	logger: Logger;
	/** In [0, 1). */
	random: () => number;
	transport: Transport;
	snapshots: SnapshotStore;
	/** Entries of all kinds, in order, each once since what the state held at the start. Must not throw. */
	onCommitted: (entries: readonly Entry[]) => void;
	/**
	 * True: the state says by `applied` how far it is, and the consensus waits for it when it is far behind. Otherwise what
	 * was handed over counts as applied.
	 */
	reportsApplied?: boolean;
	/** Called before anything is handed over, and before anything is sent. */
	onStarting?: (consensus: RaftConsensus) => void;
	/** Called when this node follows another leader than before, or none. */
	onLeader?: (leader: NodeId | null) => void;
	/** Called once; the process should end. */
	onFatal: (error: AppError) => void;
	forward?: Forward;
	/** Between two ticks: so long, and up to so much longer. */
	tickMs?: number;
	tickJitterMs?: number;
	/** How long a proposal waits, and a read. */
	proposalTicks?: number;
	readTicks?: number;
	limits?: Partial<Limits>;
	snapshotChunkBytes?: number;
	/** For tests: plants one bug (raft/mutants.ts). */
	mutant?: MutantName;
};

/** With what open-raft.ts found on the disk. */
export type RaftConsensusParts = RaftConsensusOptions & {
	disk: RaftDisk;
	log: SegmentLog;
	/** Of a snapshot that had not arrived in whole. */
	resume: Resume | null;
	start: Pick<RaftOptions, "hardState" | "log" | "configurations" | "appliedIndex">;
};
