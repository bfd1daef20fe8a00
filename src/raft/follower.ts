/** The follower's side of the log: taking the leader's entries, and saying where the logs differ. */
import { assert } from "../lib/assert.ts";
import type { Core } from "./core.ts";
import { advanceCommit, appendToLog, cutLog } from "./membership.ts";
import type { Append, Heartbeat } from "./messages.ts";
import { planted } from "./mutants.ts";
import { sendDurable } from "./persistence.ts";
import { heardRecovered, noteOldDisk } from "./recovery.ts";
import type { Entry, NodeId } from "./types.ts";

/** From the leader of this term. */
export function handleAppend(core: Core, append: Append): void {
	const { log } = core;
	if (core.installing !== null) return;
	// The disk is behind: the leader sends it again, once its window has run out.
	if (append.entries.length > 0 && log.unpersistedBytes > core.limits.maxUnpersistedBytes) return;
	const { previousIndex, previousTerm } = append;
	if (previousIndex < core.commit && !planted(core, "truncates-always")) {
		// What is committed is the leader's, too: the part that is new goes on from there.
		if (previousIndex + append.entries.length <= core.commit) {
			if (wantsAnswer(append)) acknowledge(core, core.commit);
			return;
		}
		take(core, append, append.entries.slice(core.commit - previousIndex));
		return;
	}
	const term = log.termAt(previousIndex);
	if (term === previousTerm || (planted(core, "ignores-previous-term") && previousIndex <= log.lastIndex))
		take(core, append, append.entries);
	else refuse(core, append.from, previousIndex, previousTerm);
}

function take(core: Core, append: Append, entries: readonly Entry[]): void {
	const { log } = core;
	const lastNew = append.previousIndex + append.entries.length;
	let from = 0;
	while (from < entries.length && (entries[from] as Entry).index <= log.lastIndex) {
		const entry = entries[from] as Entry;
		if (log.termAt(entry.index) !== entry.term && !planted(core, "no-truncation")) {
			assert(entry.index > core.commit, "what is committed is never overwritten");
			cutLog(core, entry.index - 1);
			break;
		}
		from += 1;
	}
	if (planted(core, "truncates-always") && lastNew < log.lastIndex && lastNew >= log.snapshotIndex)
		cutLog(core, lastNew);
	for (; from < entries.length; from++) {
		const entry = entries[from] as Entry;
		if (entry.index === log.lastIndex + 1 && entry.term >= log.lastTerm) appendToLog(core, entry);
	}
	const known = planted(core, "commits-beyond-match") ? log.lastIndex : lastNew;
	advanceCommit(core, Math.min(append.commit, known));
	if (wantsAnswer(append)) acknowledge(core, planted(core, "acks-beyond-match") ? log.lastIndex : lastNew);
}

/** News of the commit index alone needs none: a heartbeat says it again. */
const wantsAnswer = ({ entries, commit }: Append): boolean => entries.length > 0 || commit === 0;

/** Once it is durable. */
export function acknowledge(core: Core, index: number): void {
	const { clusterId, nodeId: from, term, leader: to, recoveries, recovering } = core;
	if (to === null || to === from) return;
	sendDurable(
		core,
		{
			type: "append-answer",
			clusterId,
			from,
			to,
			term,
			accepted: true,
			index,
			hintIndex: 0,
			hintTerm: 0,
			recoveries,
			recovering,
		},
		index,
	);
}

/** Also to a leader of an earlier term, which sees from the answer's that it is deposed. */
export function refuse(core: Core, to: NodeId, index: number, previousTerm: number): void {
	const { clusterId, nodeId: from, term, recoveries, recovering, log } = core;
	const hintIndex = log.lastIndexOfTermAtMost(Math.min(index, log.lastIndex), previousTerm);
	const hintTerm = log.termAt(hintIndex) ?? 0;
	sendDurable(core, {
		type: "append-answer",
		clusterId,
		from,
		to,
		term,
		accepted: false,
		index,
		hintIndex,
		hintTerm,
		recoveries,
		recovering,
	});
}

export function handleHeartbeat(core: Core, heartbeat: Heartbeat): void {
	if (heartbeat.recoveries > core.recoveries && !planted(core, "old-disk-not-noticed"))
		noteOldDisk(core, heartbeat.recoveries);
	if (core.installing === null) learnCommit(core, heartbeat);
	const { clusterId, nodeId: from, term, recoveries, recovering } = core;
	if (heartbeat.recovered !== null || planted(core, "recovers-at-once")) heardRecovered(core, heartbeat);
	const { from: to, round } = heartbeat;
	sendDurable(core, { type: "heartbeat-answer", clusterId, from, to, term, round, recoveries, recovering });
}

/** The leader says only what this node has acknowledged to it, in this term; what it lacks of that, its disk has lost. */
function learnCommit(core: Core, { term, commit, commitTerm, recoveries }: Heartbeat): void {
	if (commit <= core.commit) return;
	const own = core.log.termAt(commit);
	// It does not say, as earlier versions never do. There is one leader in a term, so an entry of its own term is its own.
	const known = commitTerm === 0 ? term : commitTerm;
	if (own !== null && own === known) advanceCommit(core, commit);
	else if (own !== null && commitTerm === 0) return;
	else if (planted(core, "old-disk-not-noticed")) advanceCommit(core, Math.min(commit, core.log.lastIndex));
	else if (!core.recovering) noteOldDisk(core, recoveries);
}
