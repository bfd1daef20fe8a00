/**
 * Who leads: pre-vote, vote, and stepping down (thesis, 3.4, 3.6.1, 4.2.3, 9.6). A node that hears from a leader, or
 * leads, gives no vote to others unless the leader itself asked for the election.
 */
import { type Core, drawTimeout, isVoter, isWitness, setTerm } from "./core.ts";
import { maxTerm, type PreVote, type PreVoteAnswer, type Vote, type VoteAnswer } from "./messages.ts";
import { planted } from "./mutants.ts";
import { sendDurable } from "./persistence.ts";
import { type VoteResult, voteResult } from "./quorum.ts";
import { failReads } from "./reads.ts";
import { becomeLeader } from "./replication.ts";
import type { NodeId } from "./types.ts";

/** At a term that is not lower than its own. `leader` null: not known yet. */
export function becomeFollower(core: Core, term: number, leader: NodeId | null): void {
	if (term > core.term || (planted(core, "term-goes-back") && term < core.term)) setTerm(core, term);
	if (core.role !== "follower" || leader !== core.leader) failReads(core);
	core.role = "follower";
	core.leader = leader;
	core.elapsed = 0;
	core.transfer = null;
	core.progress.clear();
	core.fetching.clear();
	core.votes.clear();
	core.uncommittedBytes = 0;
	drawTimeout(core);
}

/**
 * Its leader ended the link without a word, as a process that was killed does: the time-out is as good as over. Not in Raft, and
 * not a matter of safety: it only says who asks for votes when. Two that notice at the same time wait differently long.
 */
export function leaderGone(core: Core): void {
	const { electionTicks, heartbeatTicks, witnessDelayTicks } = core.limits;
	if (core.elapsed >= electionTicks) return;
	core.elapsed = electionTicks;
	const wait = 1 + Math.floor(core.random() * (heartbeatTicks + 1));
	core.timeout = electionTicks + wait + (isWitness(core, core.nodeId) ? witnessDelayTicks : 0);
}

export function mayCampaign(core: Core): boolean {
	if (core.inert || core.installing !== null || core.term >= maxTerm) return false;
	if (core.recovering && !planted(core, "recovering-campaigns")) return false;
	// Its vote for itself cannot be written: terms would be used up for nothing.
	if (core.noSpaceUntil !== null && core.hardVersion > core.durableHardVersion) return false;
	return (
		isVoter(core) ||
		isLeaving(core) ||
		(planted(core, "learner-campaigns") && core.configuration.learners.includes(core.nodeId))
	);
}

/**
 * Its removal is in its log and may not be committed: it may be the only one with that entry, and then the others cannot
 * elect anybody before it has led once more (thesis, 4.2.2). Its own vote does not count.
 */
const isLeaving = (core: Core): boolean =>
	core.configurationIndex > core.commit &&
	core.configurations.isVoterSince(core.committedConfiguration.index, core.nodeId);

/** Asks whether an election could be won; no term is used up. */
export function preCampaign(core: Core): void {
	if (planted(core, "no-pre-vote")) {
		campaign(core, false);
		return;
	}
	becomeFollower(core, core.term, null);
	core.role = "pre-candidate";
	core.votes.set(core.nodeId, true);
	const { clusterId, nodeId: from, log } = core;
	const { lastIndex, lastTerm } = log;
	for (const to of core.configuration.voters)
		if (to !== from) core.out.push({ type: "pre-vote", clusterId, from, to, term: core.term + 1, lastIndex, lastTerm });
	countPreVotes(core);
}

/** `transfer`: the leader asked for it. */
export function campaign(core: Core, transfer: boolean): void {
	becomeFollower(core, core.term + 1, null);
	core.role = "candidate";
	core.vote = core.nodeId;
	core.hardVersion += 1;
	core.campaignVersion = core.hardVersion;
	const { clusterId, nodeId: from, term, log } = core;
	const { lastIndex, lastTerm } = log;
	for (const to of core.configuration.voters)
		if (to !== from) sendDurable(core, { type: "vote", clusterId, from, to, term, lastIndex, lastTerm, transfer });
}

/** Its vote for itself counts like any other: once it is durable. */
export function voteForItselfDurable(core: Core): void {
	if (core.role !== "candidate" || core.votes.has(core.nodeId)) return;
	if (core.durableHardVersion < core.campaignVersion) return;
	core.votes.set(core.nodeId, true);
	countVotes(core);
}

/** Heard from a leader within the shortest election time-out, or leads. */
export const hearsLeader = (core: Core): boolean =>
	core.role === "leader" || (core.leader !== null && core.elapsed < core.limits.electionTicks);

export function handlePreVote(core: Core, request: PreVote): void {
	const granted =
		request.term > core.term &&
		(!hearsLeader(core) || planted(core, "no-stickiness")) &&
		mayVote(core) &&
		isUpToDate(core, request.lastIndex, request.lastTerm) &&
		!goesFirst(core, request);
	const { clusterId, nodeId: from } = core;
	const term = granted ? request.term : core.term;
	sendDurable(core, { type: "pre-vote-answer", clusterId, from, to: request.from, term, granted });
}

/**
 * Two that ask at the same time would let each other win and then vote for themselves, which costs a whole election
 * time-out: of two with the same log the greater id goes first. Only for a moment, since its own requests may be lost.
 */
const goesFirst = (core: Core, { from, lastIndex, lastTerm }: PreVote): boolean =>
	core.role === "pre-candidate" &&
	core.elapsed < core.limits.heartbeatTicks &&
	lastTerm === core.log.lastTerm &&
	lastIndex === core.log.lastIndex &&
	core.nodeId > from;

export function handleVote(core: Core, request: Vote): void {
	const free = core.vote === request.from || (core.vote === null && core.leader === null);
	const granted =
		(free || planted(core, "votes-twice")) && mayVote(core) && isUpToDate(core, request.lastIndex, request.lastTerm);
	if (granted && core.vote !== request.from) {
		core.vote = request.from;
		core.hardVersion += 1;
	}
	if (granted) core.elapsed = 0;
	const { clusterId, nodeId: from, term } = core;
	sendDurable(core, { type: "vote-answer", clusterId, from, to: request.from, term, granted });
}

const mayVote = (core: Core): boolean => !core.recovering || planted(core, "recovering-votes");

/** The voter's log may not be newer than the candidate's (thesis, 3.6.1). */
function isUpToDate(core: Core, lastIndex: number, lastTerm: number): boolean {
	if (planted(core, "votes-for-shorter-log")) return true;
	if (planted(core, "compares-length-only")) return lastIndex >= core.log.lastIndex;
	const own = core.log.lastTerm;
	return lastTerm > own || (lastTerm === own && lastIndex >= core.log.lastIndex);
}

export function handlePreVoteAnswer(core: Core, answer: PreVoteAnswer): void {
	if (core.role !== "pre-candidate") return;
	if (answer.granted ? answer.term !== core.term + 1 : answer.term !== core.term) return;
	core.votes.set(answer.from, answer.granted);
	countPreVotes(core);
}

export function handleVoteAnswer(core: Core, answer: VoteAnswer): void {
	if (core.role !== "candidate" || answer.term !== core.term) return;
	core.votes.set(answer.from, answer.granted);
	countVotes(core);
}

function countPreVotes(core: Core): void {
	const result = count(core);
	if (result === "won") campaign(core, false);
	else if (result === "lost") becomeFollower(core, core.term, null);
}

function countVotes(core: Core): void {
	const result = count(core);
	if (result === "won") becomeLeader(core);
	else if (result === "lost") becomeFollower(core, core.term, null);
}

function count(core: Core): VoteResult {
	const { voters } = core.configuration;
	let granted = planted(core, "wins-without-quorum") ? 1 : 0;
	let refused = 0;
	for (const [id, vote] of core.votes) {
		if (!voters.includes(id) && !planted(core, "removed-vote-counted")) continue;
		if (vote) granted += 1;
		else refused += 1;
	}
	return voteResult(voters.length, granted, refused);
}
