/**
 * Linearizable reads without a log entry (thesis, 6.4). A leader that has committed an entry of its term notes its
 * commit index, and answers once a majority has acknowledged a heartbeat sent after that. Reads that come together go
 * in one round. Other nodes ask the leader. The reader waits until it has applied the index.
 */
import { type Core, hasCommittedInTerm, type PendingRead } from "./core.ts";
import type { ReadAnswered, ReadRequest } from "./messages.ts";
import { planted } from "./mutants.ts";
import { majority, quorumIndex } from "./quorum.ts";
import { broadcastHeartbeat } from "./replication.ts";

export function readIndex(core: Core, token: number): void {
	if (core.inert || core.pendingReads >= core.limits.maxPendingReads) core.reads.push({ token, index: null });
	else if (core.role === "leader") addRead(core, { from: null, request: token, askedAt: core.now });
	else if (core.leader === null) core.reads.push({ token, index: null });
	else {
		core.toForward.push(token);
		core.pendingReads += 1;
	}
}

function addRead(core: Core, read: PendingRead): void {
	core.newReads.push(read);
	core.pendingReads += 1;
}

export function handleRead(core: Core, request: ReadRequest): void {
	const { from, request: id } = request;
	if (core.role === "leader" && core.pendingReads < core.limits.maxPendingReads)
		addRead(core, { from, request: id, askedAt: core.now });
	else answer(core, { from, request: id, askedAt: core.now }, null);
}

/** What has gathered since the last time goes out together. */
export function flushReads(core: Core): void {
	if (core.toForward.length > 0) forward(core);
	if (core.role !== "leader" || core.newReads.length === 0) return;
	if (!hasCommittedInTerm(core) && !planted(core, "read-before-own-commit")) return;
	if (planted(core, "read-without-round")) {
		for (const read of core.newReads.splice(0)) finish(core, read, core.commit);
		return;
	}
	if (core.rounds.length >= core.limits.maxReadRounds) return;
	core.round += 1;
	core.rounds.push({ round: core.round, index: core.commit, reads: core.newReads });
	core.newReads = [];
	broadcastHeartbeat(core);
	confirmReads(core);
}

function forward(core: Core): void {
	const { clusterId, nodeId: from, term, leader } = core;
	const tokens = core.toForward;
	core.toForward = [];
	if (leader === null || leader === from) {
		for (const token of tokens) fail(core, token);
		return;
	}
	const request = core.nextRequest++;
	core.forwarded.set(request, { request, tokens, askedAt: core.now });
	core.out.push({ type: "read", clusterId, from, to: leader, term, request });
}

/** After an answer to a heartbeat, or a change of the members. */
export function confirmReads(core: Core): void {
	if (core.rounds.length === 0) return;
	const confirmed = confirmedRound(core);
	while (core.rounds.length > 0 && (core.rounds[0]?.round ?? 0) <= confirmed) {
		const round = core.rounds.shift();
		for (const read of round?.reads ?? []) finish(core, read, round?.index ?? null);
	}
}

function confirmedRound(core: Core): number {
	const { voters, learners } = core.configuration;
	const of = (id: string): number => {
		if (id === core.nodeId) return core.round;
		const progress = core.progress.get(id);
		return progress === undefined || progress.recovering ? 0 : progress.round;
	};
	if (planted(core, "read-counts-learners"))
		return [...voters, ...learners].map(of).sort((a, b) => b - a)[majority(voters.length) - 1] ?? 0;
	return quorumIndex(voters.map(of));
}

export function handleReadAnswer(core: Core, message: ReadAnswered): void {
	const batch = core.forwarded.get(message.request);
	if (batch === undefined) return;
	core.forwarded.delete(message.request);
	core.pendingReads -= batch.tokens.length;
	for (const token of batch.tokens) core.reads.push({ token, index: message.index });
}

/** An answer that does not come within an election time-out was lost, or the leader was. */
export function expireForwarded(core: Core): void {
	for (const batch of core.forwarded.values()) {
		if (core.now - batch.askedAt < core.limits.electionTicks) break;
		core.forwarded.delete(batch.request);
		for (const token of batch.tokens) fail(core, token);
	}
}

/** The leader, or who leads, has changed: nobody will confirm these. */
export function failReads(core: Core): void {
	if (core.pendingReads === 0) return;
	for (const { reads } of core.rounds) for (const read of reads) finish(core, read, null);
	for (const read of core.newReads) finish(core, read, null);
	for (const token of core.toForward) fail(core, token);
	for (const { tokens } of core.forwarded.values()) for (const token of tokens) fail(core, token);
	core.rounds = [];
	core.newReads = [];
	core.toForward = [];
	core.forwarded.clear();
}

function fail(core: Core, token: number): void {
	core.pendingReads -= 1;
	core.reads.push({ token, index: null });
}

function finish(core: Core, read: PendingRead, index: number | null): void {
	core.pendingReads -= 1;
	answer(core, read, index);
}

function answer(core: Core, read: PendingRead, index: number | null): void {
	if (read.from === null) {
		core.reads.push({ token: read.request, index });
		return;
	}
	const { clusterId, nodeId: from, term } = core;
	core.out.push({ type: "read-answer", clusterId, from, to: read.from, term, request: read.request, index });
}
