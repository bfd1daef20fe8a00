/** The leader's side of the log: sending entries, and deciding what is committed (thesis, 3.5, 3.6.2, 10.2.1). */
import { type Core, drawTimeout } from "./core.ts";
import { entryBytes } from "./log-view.ts";
import { advanceCommit, appendToLog, syncProgress } from "./membership.ts";
import type { AppendAnswer, HeartbeatAnswer } from "./messages.ts";
import { planted } from "./mutants.ts";
import type { Progress } from "./progress.ts";
import { quorumIndex } from "./quorum.ts";
import { confirmReads } from "./reads.ts";
import { noteHealth, recoveredFor } from "./recovery.ts";
import { continueTransfer } from "./transfer.ts";
import type { Entry } from "./types.ts";

const none: readonly Entry[] = [];
const noData = new Uint8Array(0);

export function becomeLeader(core: Core): void {
	core.role = "leader";
	core.leader = core.nodeId;
	core.elapsed = 0;
	core.heartbeatElapsed = 0;
	core.leadsFrom = core.log.lastIndex + 1;
	core.uncommittedBytes = 0;
	core.offeredAt = core.now - core.limits.electionTicks;
	core.behind = null;
	core.lastAsked = 0;
	core.progress.clear();
	drawTimeout(core);
	syncProgress(core);
	// Only an entry of its own term tells a leader what is committed.
	appendNothing(core);
	maybeCommit(core);
}

/** An entry that changes nothing. Returns its index. */
export function appendNothing(core: Core): number {
	const entry: Entry = { index: core.log.lastIndex + 1, term: core.term, kind: "command", data: noData };
	appendToLog(core, entry);
	core.uncommittedBytes += entryBytes(entry);
	return entry.index;
}

/** Sends what each follower may have now. Proposals made since the last time go together. */
export function flushAppends(core: Core): void {
	if (core.role !== "leader") return;
	for (const progress of core.progress.values()) sendAppends(core, progress);
}

function sendAppends(core: Core, progress: Progress): void {
	const { log } = core;
	for (;;) {
		if (progress.mode === "snapshot" || (progress.mode === "probe" && progress.paused)) return;
		const previousTerm = log.termAt(progress.next - 1);
		if (previousTerm === null) {
			wantSnapshot(core, progress);
			return;
		}
		const entries = entriesFor(core, progress);
		if (entries.length > 0) {
			sendAppend(core, progress, previousTerm, entries, core.commit);
			continue;
		}
		if (progress.mode === "probe" || progress.poke) sendAppend(core, progress, previousTerm, none, 0);
		else if (progress.sentCommit < core.commit) sendAppend(core, progress, previousTerm, none, core.commit);
		return;
	}
}

function entriesFor(core: Core, progress: Progress): readonly Entry[] {
	const { log, limits } = core;
	if (progress.next > log.lastIndex) return none;
	if (progress.mode === "replicate" && progress.window.full) return none;
	if (log.entry(progress.next) !== null) return log.entries(progress.next, log.lastIndex, limits.maxAppendBytes);
	// A probe only has to find where the logs agree.
	if (progress.mode === "replicate" && progress.fetch === null && progress.missedAt !== core.now) {
		const request = core.nextRequest++;
		progress.fetch = request;
		core.fetching.set(request, progress.id);
		core.fetches.push({ request, firstIndex: progress.next, maxBytes: limits.maxAppendBytes });
	}
	return none;
}

/** `commit` 0: an answer is wanted, even without entries. */
function sendAppend(
	core: Core,
	progress: Progress,
	previousTerm: number,
	entries: readonly Entry[],
	commit: number,
): void {
	const { clusterId, nodeId: from, term } = core;
	const previousIndex = progress.next - 1;
	core.out.push({
		type: "append",
		clusterId,
		from,
		to: progress.id,
		term,
		previousIndex,
		previousTerm,
		entries,
		commit,
	});
	progress.sentCommit = Math.max(progress.sentCommit, commit);
	if (commit === 0 || entries.length > 0) progress.poke = false;
	if (progress.mode === "probe") progress.paused = true;
	else if (entries.length > 0) {
		progress.next += entries.length;
		let bytes = 0;
		for (const entry of entries) bytes += entryBytes(entry);
		progress.window.add(progress.next - 1, bytes);
	}
}

/** The caller has read them from its log; none when it could not. */
export function entriesRead(core: Core, request: number, read: readonly Entry[]): void {
	const id = core.fetching.get(request);
	core.fetching.delete(request);
	const progress = id === undefined ? undefined : core.progress.get(id);
	if (core.role !== "leader" || progress?.fetch !== request) return;
	progress.fetch = null;
	const previousTerm = core.log.termAt(progress.next - 1);
	const entries = ofThisLog(core, read);
	const first = entries[0];
	// What this node believes to be in its log is there, unless the log is at fault; asked for at once, it would be so for ever.
	if (first === undefined) progress.missedAt = core.now;
	if (first === undefined || previousTerm === null || first.index !== progress.next) return;
	if (progress.mode !== "replicate" || progress.window.full) return;
	sendAppend(core, progress, previousTerm, entries, core.commit);
}

/** Where a cut is still to be made, since the disk was full, the disk goes on with what was cut off. */
function ofThisLog({ log }: Core, read: readonly Entry[]): readonly Entry[] {
	const count = read.findIndex(({ index, term }) => log.termAt(index) !== term);
	return count < 0 ? read : read.slice(0, count);
}

function wantSnapshot(core: Core, progress: Progress): void {
	// Nobody sends a snapshot into the void: a heartbeat's answer comes first.
	if (core.now - progress.heardAt > core.limits.electionTicks || core.now < progress.snapshotFrom) {
		progress.paused = true;
		progress.mode = "probe";
		return;
	}
	progress.awaitSnapshot();
	core.snapshots.push({ to: progress.id, term: core.term });
}

/** `index`: what the snapshot holds; null when it did not arrive. Goes on at the next sign of life. */
export function snapshotSent(core: Core, to: string, index: number | null): void {
	const progress = core.progress.get(to);
	if (core.role !== "leader" || progress?.mode !== "snapshot") return;
	if (index === null) progress.snapshotFailed(core.now, core.limits.electionTicks);
	progress.probeFrom(index === null ? progress.match + 1 : Math.min(index, core.log.lastIndex) + 1);
	progress.paused = true;
}

export function broadcastHeartbeat(core: Core): void {
	const { clusterId, nodeId: from, term, round } = core;
	core.heartbeatElapsed = 0;
	for (const progress of core.progress.values()) {
		const commit = planted(core, "heartbeat-commits-all") ? core.commit : Math.min(progress.match, core.commit);
		const recovered = progress.recovering ? recoveredFor(core, progress) : null;
		const commitTerm = core.log.termAt(commit) ?? 0;
		const known = { commit, commitTerm, recoveries: progress.recoveries };
		core.out.push({ type: "heartbeat", clusterId, from, to: progress.id, term, ...known, round, recovered });
	}
}

export function handleHeartbeatAnswer(core: Core, answer: HeartbeatAnswer): void {
	const progress = core.progress.get(answer.from);
	if (core.role !== "leader" || progress === undefined || answer.round > core.round) return;
	if (!noteHealth(core, progress, answer)) return;
	progress.paused = false;
	if (progress.match < core.log.lastIndex && progress.match === progress.matchAtHeartbeat) progress.poke = true;
	progress.matchAtHeartbeat = progress.match;
	const round = planted(core, "read-round-counts-any") ? core.round : answer.round;
	progress.round = Math.max(progress.round, round);
	confirmReads(core);
}

export function handleAppendAnswer(core: Core, answer: AppendAnswer): void {
	const progress = core.progress.get(answer.from);
	if (core.role !== "leader" || progress === undefined || !noteHealth(core, progress, answer)) return;
	if (answer.accepted) accepted(core, progress, answer.index);
	else refused(core, progress, answer);
}

function accepted(core: Core, progress: Progress, index: number): void {
	// No honest follower has more than the leader; a forged answer has no effect.
	if (index > core.log.lastIndex || index < progress.match) return;
	const advanced = index > progress.match;
	progress.match = index;
	if (progress.mode === "replicate") {
		progress.next = Math.max(progress.next, index + 1);
		progress.window.freeUpTo(index);
	} else if (core.log.termAt(index) !== null && (progress.mode === "probe" || index >= core.log.snapshotIndex)) {
		progress.replicate();
	}
	if (!advanced) return;
	maybeCommit(core);
	continueTransfer(core);
}

function refused(core: Core, progress: Progress, answer: AppendAnswer): void {
	const late = answer.index <= progress.match || (progress.mode === "probe" && answer.index !== progress.next - 1);
	if (planted(core, "skips-committed-check")) progress.match = Math.min(progress.match, answer.hintIndex);
	else if (late || progress.mode === "snapshot") return;
	const hint = Math.min(answer.hintIndex, answer.index - 1);
	progress.probeFrom(core.log.lastIndexOfTermAtMost(hint, answer.hintTerm) + 1);
}

const scratch: number[] = [];

/** What a majority holds durably; `without` does not count. */
export function majorityIndex(core: Core, without: string | null): number {
	const { voters, learners } = core.configuration;
	scratch.length = 0;
	for (const id of voters) scratch.push(id === without ? 0 : heldBy(core, id));
	if (planted(core, "learner-counted"))
		for (const id of learners) {
			const least = scratch.indexOf(Math.min(...scratch));
			scratch[least] = Math.max(scratch[least] ?? 0, heldBy(core, id));
		}
	if (planted(core, "commits-without-quorum") && scratch.length > 1)
		scratch[scratch.indexOf(Math.min(...scratch))] = core.log.lastIndex;
	return quorumIndex(scratch);
}

function heldBy(core: Core, id: string): number {
	if (id === core.nodeId)
		return planted(core, "counts-itself-before-durable") ? core.log.lastIndex : core.log.durableIndex;
	const progress = core.progress.get(id);
	if (progress === undefined) return 0;
	return progress.recovering && !planted(core, "recovering-counted") ? 0 : progress.match;
}

/** An entry of an earlier term is committed only by one of this term after it. */
export function maybeCommit(core: Core): void {
	if (core.role !== "leader") return;
	const index = majorityIndex(core, null);
	if (index <= core.commit || index > core.log.lastIndex) return;
	if (core.log.termAt(index) !== core.term && !planted(core, "commits-earlier-term")) return;
	advanceCommit(core, index);
}
