/** A snapshot that has arrived in whole becomes the state and the beginning of the log (snapshot-store.ts says the order). */
import { planted } from "../../raft/mutants.ts";
import type { Raft } from "../../raft/raft.ts";
import type { DoneReason, Offer } from "../../raft/snapshot-stream.ts";
import type { RaftDisk } from "./disk.ts";
import type { HandOver } from "./hand-over.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

export type InstallParts = {
	raft: Raft;
	disk: RaftDisk;
	handOver: HandOver;
	snapshots: SnapshotStore;
	/** Writes what is to be written, and reports it. */
	settle: () => Promise<void>;
	/** Of the hard state on disk. */
	durableTerm: () => number;
	/** The node is ending: what is not done yet is for its next start. */
	ending: () => boolean;
};

export async function takeSnapshot(parts: InstallParts, { from, term, meta }: Offer): Promise<DoneReason> {
	const { raft, disk, handOver, snapshots } = parts;
	if (parts.ending()) return "busy";
	const verdict = raft.snapshotReceived(from, term, meta);
	if (verdict === "install") handOver.stop();
	await parts.settle();
	if (verdict !== "install") return verdict;
	if (parts.ending()) return "busy";
	// The term is durable before a log of that term: a start relies on it.
	const begun = planted(disk, "log-not-begun-anew");
	if (parts.durableTerm() < meta.term || !(begun || (await disk.resetTo(meta.index, meta.term)))) {
		raft.snapshotAbandoned();
		handOver.goOn();
		return "no-space";
	}
	await snapshots.install(meta);
	if (parts.ending()) return "busy";
	handOver.goOnAfter(meta.index);
	raft.snapshotInstalled();
	return "installed";
}
