/**
 * Handing over leadership (thesis, 3.10): no proposals are taken, the target gets what it lacks and is told to campaign
 * at once. If it has not taken over after an election time-out, the leader goes on. A witness hands over by itself; so
 * does a leader whose disk is full or hangs, and one that owes its election to a node with a damaged log (recovery.ts).
 */
import { type Core, hasCommittedInTerm, isWitness } from "./core.ts";
import { campaign, mayCampaign } from "./election.ts";
import { isActive } from "./membership.ts";
import { maxTerm } from "./messages.ts";
import { planted } from "./mutants.ts";
import { majority } from "./quorum.ts";
import { electedByRecovering } from "./recovery.ts";
import { appendNothing, becomeLeader } from "./replication.ts";
import type { NodeId } from "./types.ts";

export type TransferResult = { to: NodeId } | { refused: "not-leader" | "transferring" | "not-a-voter" | "no-target" };

/** Without `to`: to the voter that is best suited. */
export function startTransfer(core: Core, to: NodeId | null): TransferResult {
	if (core.role !== "leader") return { refused: "not-leader" };
	if (core.transfer !== null) return { refused: "transferring" };
	if (to !== null && (to === core.nodeId || !core.configuration.voters.includes(to))) return { refused: "not-a-voter" };
	const target = to ?? bestTarget(core);
	if (target === null || !isActive(core, target)) return { refused: "no-target" };
	core.transfer = { to: target, since: core.now, asked: false };
	continueTransfer(core);
	return { to: target };
}

/** Once the target has the whole log. */
export function continueTransfer(core: Core): void {
	const { transfer } = core;
	if (transfer === null || transfer.asked) return;
	const progress = core.progress.get(transfer.to);
	if (progress === undefined) core.transfer = null;
	else if (progress.match === core.log.lastIndex) {
		transfer.asked = true;
		askToCampaign(core, transfer.to);
	}
}

export function askToCampaign(core: Core, to: NodeId): void {
	const { clusterId, nodeId: from, term } = core;
	core.out.push({ type: "campaign-now", clusterId, from, to, term });
}

/** The active voter with most of the log, `leastMatch` of it or more; a witness only when there is nobody else. */
export function bestTarget(core: Core, leastMatch = 0): NodeId | null {
	let best: NodeId | null = null;
	let bestMatch = -1;
	for (const id of core.configuration.voters) {
		const progress = core.progress.get(id);
		if (progress === undefined || progress.match < leastMatch || !isActive(core, id)) continue;
		const better =
			best === null ||
			(isWitness(core, best) === isWitness(core, id) ? progress.match > bestMatch : isWitness(core, best));
		if (better) {
			best = id;
			bestMatch = progress.match;
		}
	}
	return best;
}

/** Every tick of a leader. */
export function tickTransfer(core: Core): void {
	const { electionTicks } = core.limits;
	const toHave = diskHangs(core);
	const hangs = toHave !== null;
	if (core.transfer !== null) {
		if (core.now - core.transfer.since >= electionTicks) core.transfer = null;
		return;
	}
	const witness = isWitness(core, core.nodeId) && !planted(core, "witness-keeps-leading");
	const full = core.noSpaceUntil !== null && core.now - core.noSpaceSince >= electionTicks;
	if (!witness && !full && !hangs && !electedByRecovering(core)) return;
	// With a disk that hangs, and another voter far behind, this leader may never commit anything.
	if ((!hasCommittedInTerm(core) && !hangs) || core.now - core.offeredAt < electionTicks) return;
	// Whoever lacks what is on a disk that hangs does not get it from there; a witness that has it can give it.
	const target = bestTarget(core, hangs ? Math.max(core.commit, toHave) : 0);
	if (target === null || (isWitness(core, target) && witness)) return;
	if ((core.progress.get(target)?.match ?? 0) < core.commit) return;
	core.offeredAt = core.now;
	startTransfer(core, target);
}

/**
 * One write that does not come to an end while another voter's disk works: heartbeats go out all the same, so nobody else
 * would campaign, nothing that is committed is applied here, and a follower that lacks what only this disk has gets
 * nothing. That the other was ahead when it began says little, as several disks may stand still together; so after an election time-out
 * an empty entry asks. And nobody hands over who is needed for an election: this node's vote would wait for its disk, too.
 * Null: it does not; else what the disk has that works.
 */
function diskHangs(core: Core): number | null {
	const { log, configuration, limits } = core;
	const has = (index: number) => (id: NodeId) =>
		id !== core.nodeId && isActive(core, id) && (core.progress.get(id)?.match ?? 0) >= index;
	// On a disk that is only slow, the question alone is no reason for another one.
	const waitsForQuestionOnly = log.lastIndex === core.lastAsked && log.durableIndex === core.lastAsked - 1;
	if (core.persisting === null || waitsForQuestionOnly || !configuration.voters.some(has(log.durableIndex + 1))) {
		core.behind = null;
		return null;
	}
	core.behind ??= { since: core.now, asked: null };
	const { behind } = core;
	if (core.now - behind.since < limits.electionTicks) return null;
	const asked = behind.asked ?? appendNothing(core);
	behind.asked = asked;
	core.lastAsked = asked;
	if (planted(core, "hanging-leader-stays") || core.now - behind.since < 2 * limits.electionTicks) return null;
	const others = configuration.voters.filter(has(0)).length;
	return others >= majority(configuration.voters.length) && configuration.voters.some(has(asked)) ? asked : null;
}

/** The leader of this term wants this node to take over. */
export function handleCampaignNow(core: Core, from: NodeId): void {
	if (core.leader !== null && core.leader !== from) return;
	if (core.installing !== null || core.term >= maxTerm) return;
	if (!mayCampaign(core) && !planted(core, "transfer-to-anyone")) return;
	campaign(core, true);
	if (planted(core, "transfer-by-fiat")) becomeLeader(core);
}
