/**
 * What nodes say to each other, and which of it is well-formed. A message that is not is dropped before it touches
 * anything: it can come from a broken or hostile peer. Snapshots travel on a stream of their own (snapshot-stream.ts).
 *
 * `term` is the sender's, but that of the election it would begin in "pre-vote" and in a granted answer to it.
 */
import { decodeConfiguration } from "./configuration.ts";
import type { Entry, NodeId } from "./types.ts";

export type Header = { clusterId: string; from: NodeId; to: NodeId; term: number };

/** Of an answer: how often this node's log was found damaged, and whether it has not recovered yet (recovery.ts). */
export type Health = { recoveries: number; recovering: boolean };

export type PreVote = Header & { type: "pre-vote"; lastIndex: number; lastTerm: number };
export type PreVoteAnswer = Header & { type: "pre-vote-answer"; granted: boolean };
/** `transfer`: the leader itself wants this election. */
export type Vote = Header & { type: "vote"; lastIndex: number; lastTerm: number; transfer: boolean };
export type VoteAnswer = Header & { type: "vote-answer"; granted: boolean };
/** Without entries, a `commit` above 0 is all it says: it is answered only when it does not fit. */
export type Append = Header & {
	type: "append";
	previousIndex: number;
	previousTerm: number;
	entries: readonly Entry[];
	commit: number;
};
/**
 * Accepted: the log is the leader's up to `index`, durably. Refused: `index` is the append's previous one; the logs may
 * agree at `hintIndex`, where this node has `hintTerm`, and do not agree after it.
 */
export type AppendAnswer = Header &
	Health & { type: "append-answer"; accepted: boolean; index: number; hintIndex: number; hintTerm: number };
/**
 * The follower has acknowledged the leader's log up to `commit`, which is committed and of term `commitTerm` (0: the leader's log
 * begins later). `recoveries`: the highest count that the leader has heard of it. `round` counts the leader's rounds of
 * confirming reads. `recovered`: only to a node that is recovering.
 */
export type Heartbeat = Header & {
	type: "heartbeat";
	commit: number;
	commitTerm: number;
	recoveries: number;
	round: number;
	recovered: { recoveries: number; index: number } | null;
};
export type HeartbeatAnswer = Header & Health & { type: "heartbeat-answer"; round: number };
export type CampaignNow = Header & { type: "campaign-now" };
export type ReadRequest = Header & { type: "read"; request: number };
export type ReadAnswered = Header & { type: "read-answer"; request: number; index: number | null };
/** You are in the list of removed members of the configuration committed at this index. */
export type RemovedNotice = Header & { type: "removed"; configurationIndex: number };

export type Message =
	| PreVote
	| PreVoteAnswer
	| Vote
	| VoteAnswer
	| Append
	| AppendAnswer
	| Heartbeat
	| HeartbeatAnswer
	| CampaignNow
	| ReadRequest
	| ReadAnswered
	| RemovedNotice;

/** Terms are counted one by one: one beyond this was made up. */
export const maxTerm = 2 ** 32 - 1;
const maxIndex = 2 ** 52;
const maxCounter = 2 ** 52;
const maxIdLength = 64;
const maxEntriesOfMessage = 65_536;

const isCount = (value: unknown, max: number): boolean =>
	typeof value === "number" && value >= 0 && value <= max && Number.isInteger(value);
const isIndex = (value: unknown): boolean => isCount(value, maxIndex);
const isTerm = (value: unknown): boolean => isCount(value, maxTerm);
const isFlag = (value: unknown): boolean => typeof value === "boolean";
const isId = (value: unknown): boolean => typeof value === "string" && value.length > 0 && value.length <= maxIdLength;
const isHealth = (message: Health): boolean => isCount(message.recoveries, maxTerm) && isFlag(message.recovering);

/** Never throws, whatever it is given. */
export function isValidMessage(message: Message): boolean {
	if (typeof message !== "object" || message === null) return false;
	if (!isId(message.from) || !isId(message.to) || !isId(message.clusterId) || !isTerm(message.term)) return false;
	switch (message.type) {
		case "pre-vote":
			return isPosition(message.lastIndex, message.lastTerm) && message.lastTerm < message.term;
		case "vote":
			return (
				isPosition(message.lastIndex, message.lastTerm) && message.lastTerm < message.term && isFlag(message.transfer)
			);
		case "pre-vote-answer":
		case "vote-answer":
			return isFlag(message.granted);
		case "append":
			return message.term > 0 && isIndex(message.commit) && areEntries(message);
		case "append-answer":
			return (
				isHealth(message) &&
				isFlag(message.accepted) &&
				isIndex(message.index) &&
				isIndex(message.hintIndex) &&
				isTerm(message.hintTerm)
			);
		case "heartbeat":
			return (
				message.term > 0 &&
				isIndex(message.commit) &&
				isTerm(message.commitTerm) &&
				isCount(message.recoveries, maxTerm) &&
				isCount(message.round, maxCounter) &&
				(message.recovered === null ||
					(typeof message.recovered === "object" &&
						isCount(message.recovered.recoveries, maxTerm) &&
						isIndex(message.recovered.index)))
			);
		case "heartbeat-answer":
			return isHealth(message) && isCount(message.round, maxCounter);
		case "campaign-now":
			return true;
		case "read":
			return isCount(message.request, maxCounter);
		case "read-answer":
			return isCount(message.request, maxCounter) && (message.index === null || isIndex(message.index));
		case "removed":
			return isIndex(message.configurationIndex);
		default:
			return false;
	}
}

/** Index 0 is before the first entry and has term 0; no entry has. */
const isPosition = (index: unknown, term: unknown): boolean =>
	isIndex(index) && isTerm(term) && (index === 0) === (term === 0);

function areEntries(message: Append): boolean {
	const { previousIndex, previousTerm, entries, term: leaderTerm } = message;
	if (!isPosition(previousIndex, previousTerm) || previousTerm > leaderTerm) return false;
	if (!Array.isArray(entries) || entries.length > maxEntriesOfMessage) return false;
	let index = previousIndex;
	let term = Math.max(previousTerm, 1);
	for (const entry of entries as readonly Entry[]) {
		index += 1;
		if (typeof entry !== "object" || entry === null) return false;
		if (entry.index !== index || !isTerm(entry.term) || entry.term < term || entry.term > leaderTerm) return false;
		if (!(entry.data instanceof Uint8Array)) return false;
		if (entry.kind === "configuration" ? decodeConfiguration(entry.data) === null : entry.kind !== "command")
			return false;
		term = entry.term;
	}
	return index <= maxIndex;
}
