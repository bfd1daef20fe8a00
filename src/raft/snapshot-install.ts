/** A snapshot replaces this node's log (Raft paper, 7). The bytes come on a stream of their own (snapshot-receiver.ts). */
import { assert } from "../lib/assert.ts";
import { type Core, configurationInForce } from "./core.ts";
import { becomeFollower } from "./election.ts";
import { acknowledge } from "./follower.ts";
import { advanceCommit, configurationCommitted } from "./membership.ts";
import { maxTerm } from "./messages.ts";
import { planted } from "./mutants.ts";
import { checkRecovered } from "./recovery.ts";
import type { NodeId, SnapshotMeta, SnapshotVerdict } from "./types.ts";

/** A whole snapshot lies on this node's disk, from the leader `from` of `term`. Is it to be installed? */
export function snapshotReceived(core: Core, from: NodeId, term: number, meta: SnapshotMeta): SnapshotVerdict {
	if (core.inert || !isSound(term, meta) || core.committedConfiguration.configuration.removed.includes(from))
		return "refused";
	if (core.installing !== null) return "busy";
	if (term < core.term && !planted(core, "snapshot-without-term")) return "old-term";
	if (term === core.term && (core.role === "leader" || (core.leader !== null && core.leader !== from)))
		return "refused";
	if (term > core.term || core.role !== "follower" || core.leader === null)
		becomeFollower(core, Math.max(term, core.term), from);
	core.elapsed = 0;
	if (meta.index <= core.commit && !planted(core, "stale-snapshot-installed")) {
		acknowledge(core, core.commit);
		return "have";
	}
	const own = core.log.termAt(meta.index);
	if (own === meta.term || (planted(core, "snapshot-keeps-conflict") && own !== null)) {
		// The same index and term: the same log up to there. It is committed, and that is all this node did not know.
		advanceCommit(core, meta.index);
		acknowledge(core, meta.index);
		return "have";
	}
	core.installing = meta;
	return "install";
}

const isSound = (term: number, { index, term: last, configuration }: SnapshotMeta): boolean =>
	[term, index, last, configuration.index].every((value) => Number.isSafeInteger(value) && value >= 0) &&
	term <= maxTerm &&
	last <= term &&
	last > 0 &&
	index > 0 &&
	configuration.index <= index;

/** Snapshot and state are durable, and the log on disk begins anew after it. */
export function snapshotInstalled(core: Core): void {
	const meta = core.installing;
	assert(meta !== null, "a snapshot is being installed");
	assert(core.persisting?.hardStateOnly ?? true, "nothing is written to the log while it is replaced");
	assert(meta.index > core.commit || planted(core, "stale-snapshot-installed"), "a snapshot never goes back");
	const { index, term, configuration } = meta;
	core.installing = null;
	core.waiting = core.waiting.filter((waiting) => waiting.index === 0);
	core.log.reset(index, term);
	if (core.persisting !== null) core.persisting.lastIndex = index;
	core.commit = index;
	core.applied = index;
	core.applying = planted(core, "skips-entry-after-snapshot") ? index + 1 : index;
	core.configurations.reset(configuration);
	configurationInForce(core);
	core.committedConfiguration = configuration;
	configurationCommitted(core, configuration.configuration);
	checkRecovered(core);
	acknowledge(core, index);
}

/** It was not installed, and nothing has changed. */
export function snapshotAbandoned(core: Core): void {
	core.installing = null;
}
