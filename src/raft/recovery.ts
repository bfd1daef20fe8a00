/**
 * A node whose log was damaged has forgotten entries that it acknowledged. Its vote could make a leader that lacks
 * them, so it neither votes nor campaigns, and nobody counts what it says, until it is known that they are safe without it:
 *
 *   It must reach a commit index of a leader that was elected without its vote, when that index is on a majority that
 *   does not count it.
 *
 * Why that is enough. Let a majority with this node have committed an entry, in a term up to this leader's. This
 * leader's voters, all of them intact, and that majority have a node in common other than this one; so the leader had the entry
 * when it was elected. A later leader needs a term after this node's, and until it has recovered this node takes part in
 * electing none and counts for none.
 *
 * `recoveries` grows whenever damage is found, durably, and goes with every answer: one from before the last damage is
 * late, and says that this node has what it has lost. A leader drops those, and names the count when it confirms.
 */
import { type Core, hasCommittedInTerm } from "./core.ts";
import { type Health, type Heartbeat, maxTerm } from "./messages.ts";
import { planted } from "./mutants.ts";
import type { Progress } from "./progress.ts";
import { majorityIndex, maybeCommit } from "./replication.ts";

/** A disk of an earlier day may have forgotten recoveries, too; the next count must be none of theirs. */
const leastLeap = 1024;
const leapSpan = 2 ** 16;

/**
 * A leader says in a heartbeat only what this node has acknowledged to it. Whoever lacks that, has another entry in its place, or
 * a lower count of recoveries than the leader has heard of it, has the disk of an earlier day, put back by somebody: entries are
 * forgotten, and perhaps votes. It is no different from damage that was found, but for two things. The count of recoveries is old,
 * too, so one more may be a number that was used: then answers of the forgotten life
 * count for this one, and a late confirmation of that time is taken for one of now. And a vote of this term may be forgotten:
 * nobody but its leader gets another. (A vote of a later term that nobody has won yet stays forgotten; see 0040.)
 */
export function noteOldDisk(core: Core, knownRecoveries: number): void {
	const before = Math.max(core.recoveries, knownRecoveries);
	core.recoveries = Math.min(maxTerm, before + leastLeap + Math.floor(core.random() * leapSpan));
	core.vote ??= core.leader;
	core.recovering = true;
	core.recoverTo = null;
	core.hardVersion += 1;
}

/** The leader's note of an answer. False: it is from before the last damage, and says nothing. */
export function noteHealth(core: Core, progress: Progress, { recoveries, recovering }: Health): boolean {
	if (recoveries < progress.recoveries && !planted(core, "old-recovery-accepted")) return false;
	progress.heardAt = core.now;
	if (recoveries > progress.recoveries) {
		progress.recoveries = recoveries;
		progress.match = 0;
		progress.round = 0;
		if (progress.mode !== "snapshot") progress.probeFrom(core.log.lastIndex + 1);
	}
	const counts = progress.recovering && !recovering;
	progress.recovering = recovering;
	if (counts) maybeCommit(core);
	return true;
}

/** What a leader can confirm to a recovering follower; null when that is nothing yet. */
export function recoveredFor(core: Core, { id, recoveries }: Progress): Heartbeat["recovered"] {
	if (core.votes.get(id) === true && !planted(core, "recovers-by-own-vote")) return null;
	if (planted(core, "recovery-not-confirmed")) return { recoveries, index: core.commit };
	if (!hasCommittedInTerm(core) || majorityIndex(core, id) < core.commit) return null;
	return { recoveries, index: core.commit };
}

/** Elected with the vote of a node that is recovering: somebody else should lead. */
export function electedByRecovering(core: Core): boolean {
	for (const progress of core.progress.values())
		if (progress.recovering && core.votes.get(progress.id) === true) return true;
	return false;
}

/** The first confirmed index is as good as any later one. */
export function heardRecovered(core: Core, { recovered, commit }: Heartbeat): void {
	if (!core.recovering) return;
	if (planted(core, "recovers-at-once")) core.recoverTo = Math.min(commit, core.log.lastIndex);
	else if (recovered !== null && recovered.recoveries === core.recoveries) core.recoverTo ??= recovered.index;
	checkRecovered(core);
}

/** After the log or the commit index has moved. That it has recovered is durable before its first vote. */
export function checkRecovered(core: Core): void {
	if (!core.recovering || core.recoverTo === null) return;
	if (core.commit < core.recoverTo || core.log.durableIndex < core.recoverTo) return;
	core.recovering = false;
	core.recoverTo = null;
	core.hardVersion += 1;
}
