/**
 * Entries come into and out of the log here, because a configuration is in force from when its entry is in the log;
 * and the commit index moves here, because a committed configuration ends somebody's membership (thesis, 4.1 to 4.2.2).
 */
import { assert, present } from "../lib/assert.ts";
import { changed, decodeConfiguration, encodeConfiguration } from "./configuration.ts";
import { type Core, configurationInForce, hasCommittedInTerm } from "./core.ts";
import { becomeFollower } from "./election.ts";
import { entryBytes } from "./log-view.ts";
import type { RemovedNotice } from "./messages.ts";
import { planted } from "./mutants.ts";
import { truncateLog } from "./persistence.ts";
import { Progress } from "./progress.ts";
import { majority } from "./quorum.ts";
import { checkRecovered } from "./recovery.ts";
import { flushAppends, maybeCommit } from "./replication.ts";
import { askToCampaign, bestTarget } from "./transfer.ts";
import type { Change, Configuration, Entry, NodeId, Proposed, Refusal, RefusalReason } from "./types.ts";

export function appendToLog(core: Core, entry: Entry): void {
	core.log.append(entry);
	if (entry.kind !== "configuration") return;
	const configuration = present(decodeConfiguration(entry.data), "the configuration, checked when it came,");
	core.configurations.append({ index: entry.index, configuration });
	configurationInForce(core);
	if (core.role === "leader") syncProgress(core);
}

export function cutLog(core: Core, afterIndex: number): void {
	truncateLog(core, afterIndex);
	const before = core.configurations.latest;
	if (!core.configurations.truncateAfter(afterIndex)) return;
	// The next configuration, whatever its index, replaces the one that should not be there.
	if (planted(core, "configuration-not-rolled-back")) core.configuration = before.configuration;
	else configurationInForce(core);
}

/** A progress for each other member, and for nobody else. */
export function syncProgress(core: Core): void {
	const { voters, learners } = core.configuration;
	const { maxInflightMessages, maxInflightBytes } = core.limits;
	const add = (id: NodeId): void => {
		if (id === core.nodeId || core.progress.has(id)) return;
		const next = core.log.lastIndex + 1;
		core.progress.set(id, new Progress(id, next, core.now, maxInflightMessages, maxInflightBytes));
	};
	voters.forEach(add);
	learners.forEach(add);
	for (const id of core.progress.keys()) if (!voters.includes(id) && !learners.includes(id)) core.progress.delete(id);
}

/** Everything up to `index` is on a majority. Never moves back. */
export function advanceCommit(core: Core, index: number): void {
	if (index <= core.commit) return;
	assert(index <= core.log.lastIndex, "what is committed is in the log");
	if (core.role === "leader" && core.uncommittedBytes > 0) {
		for (let at = Math.max(core.commit + 1, core.leadsFrom); at <= index; at++)
			core.uncommittedBytes -= entryBytes(present(core.log.entry(at), "an entry that is not committed"));
	}
	core.commit = index;
	checkRecovered(core);
	if (planted(core, "configuration-on-commit")) configurationInForce(core);
	const committed = core.configurations.at(index);
	if (committed.index === core.committedConfiguration.index) return;
	core.committedConfiguration = committed;
	configurationCommitted(core, committed.configuration);
}

/** A leader leads, not counting itself, until its own removal is committed. */
export function configurationCommitted(core: Core, configuration: Configuration): void {
	if (core.role === "leader" && !configuration.voters.includes(core.nodeId)) {
		if (planted(core, "leader-removed-stays")) return;
		flushAppends(core);
		const target = bestTarget(core);
		if (target !== null) askToCampaign(core, target);
		becomeFollower(core, core.term, null);
	}
	if (configuration.removed.includes(core.nodeId)) becomeInert(core);
}

function becomeInert(core: Core): void {
	becomeFollower(core, core.term, null);
	core.inert = true;
}

export function proposeChange(core: Core, change: Change): Proposed | Refusal {
	const refusal = refusalOf(core, change);
	if (refusal !== null) return { refused: refusal, leader: core.leader };
	const next = changed(core.configuration, change, core.limits);
	if (typeof next === "string") return { refused: next, leader: core.leader };
	if (change.kind !== "add-learner" && !hasQuorum(core, next))
		return { refused: "would-lose-quorum", leader: core.leader };
	const index = core.log.lastIndex + 1;
	const entry: Entry = { index, term: core.term, kind: "configuration", data: encodeConfiguration(next) };
	core.uncommittedBytes += entryBytes(entry);
	appendToLog(core, entry);
	maybeCommit(core);
	return { index, term: core.term };
}

function refusalOf(core: Core, change: Change): RefusalReason | null {
	if (core.role !== "leader") return "not-leader";
	if (core.transfer !== null) return "transferring";
	if (core.noSpaceUntil !== null) return "no-space";
	if (!hasCommittedInTerm(core) && !planted(core, "change-before-own-commit")) return "not-ready";
	if (core.configurations.latest.index > core.commit && !planted(core, "two-changes-at-once"))
		return "change-in-flight";
	if (change.kind !== "promote" || !core.configuration.learners.includes(change.node)) return null;
	const progress = core.progress.get(change.node);
	const caughtUp =
		progress !== undefined &&
		progress.mode === "replicate" &&
		!progress.recovering &&
		progress.match + core.limits.promoteLagEntries >= core.log.lastIndex;
	return caughtUp ? null : "not-caught-up";
}

/** Whether a majority of these voters was heard within an election time-out. */
export function hasQuorum(core: Core, { voters }: Configuration): boolean {
	let active = 0;
	for (const id of voters) if (isActive(core, id)) active += 1;
	return active >= majority(voters.length);
}

export function isActive(core: Core, id: NodeId): boolean {
	if (id === core.nodeId) return true;
	const progress = core.progress.get(id);
	return progress !== undefined && !progress.recovering && core.now - progress.heardAt <= core.limits.electionTicks;
}

/** Tells a removed node so: at most once a tick. */
export function noticeRemoved(core: Core, to: NodeId): void {
	if (core.noticed.has(to)) return;
	core.noticed.add(to);
	const { clusterId, nodeId: from, term } = core;
	const configurationIndex = core.committedConfiguration.index;
	core.out.push({ type: "removed", clusterId, from, to, term, configurationIndex });
}

/** Believed from a member, when it can know: its configuration is as new as what this node knows to be committed. */
export function handleRemoved(core: Core, notice: RemovedNotice): void {
	const { voters, learners } = core.configuration;
	if (!voters.includes(notice.from) && !learners.includes(notice.from)) return;
	if (notice.configurationIndex >= core.committedConfiguration.index) becomeInert(core);
}
