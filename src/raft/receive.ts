/** Where a message comes in: whether it is heard at all, what its term means, and who handles it (thesis, 3.3, 4.2.3). */
import type { Core } from "./core.ts";
import {
	becomeFollower,
	handlePreVote,
	handlePreVoteAnswer,
	handleVote,
	handleVoteAnswer,
	hearsLeader,
} from "./election.ts";
import { handleAppend, handleHeartbeat, refuse } from "./follower.ts";
import { handleRemoved, noticeRemoved } from "./membership.ts";
import { isValidMessage, type Message } from "./messages.ts";
import { planted } from "./mutants.ts";
import { sendDurable } from "./persistence.ts";
import { handleRead, handleReadAnswer } from "./reads.ts";
import { handleAppendAnswer, handleHeartbeatAnswer } from "./replication.ts";
import { handleCampaignNow } from "./transfer.ts";

export function receive(core: Core, message: Message): void {
	if (!isHeard(core, message)) return;
	if (message.type === "removed") {
		handleRemoved(core, message);
		return;
	}
	if (message.term > core.term) {
		if (!raiseTerm(core, message)) return;
	} else if (message.term < core.term && !isForThisTerm(core, message)) return;
	if (message.type === "append" || message.type === "heartbeat") {
		if (!follow(core, message)) return;
	}
	handle(core, message);
}

/** Well-formed, for this node, of this cluster, and from nobody who was removed. Members are not asked for: the thesis, 4.1. */
function isHeard(core: Core, message: Message): boolean {
	if (!isValidMessage(message) || message.to !== core.nodeId || message.from === core.nodeId) {
		core.dropped.invalid += 1;
		return false;
	}
	if (message.clusterId !== core.clusterId && !planted(core, "other-cluster-heard")) {
		core.dropped.otherCluster += 1;
		return false;
	}
	if (core.inert) return false;
	const { removed } = core.committedConfiguration.configuration;
	if (removed.length > 0 && removed.includes(message.from) && !planted(core, "removed-node-heard")) {
		core.dropped.removed += 1;
		noticeRemoved(core, message.from);
		return false;
	}
	return true;
}

/** A later term than this node's. False: the message has no effect. */
function raiseTerm(core: Core, message: Message): boolean {
	switch (message.type) {
		case "pre-vote":
			if (planted(core, "pre-vote-raises-term")) becomeFollower(core, message.term, null);
			return true;
		case "pre-vote-answer":
			if (!message.granted) becomeFollower(core, message.term, null);
			return true;
		case "vote":
			// Somebody who cannot hear the leader, or was removed and does not know it, disturbs nobody.
			if (hearsLeader(core) && !message.transfer && !planted(core, "no-stickiness")) return false;
			becomeFollower(core, message.term, null);
			return true;
		case "append":
		case "heartbeat":
		case "campaign-now":
			becomeFollower(core, message.term, message.from);
			return true;
		default:
			becomeFollower(core, message.term, null);
			return true;
	}
}

/** An earlier term than this node's. A deposed leader or a late candidate is told; the rest is out of date. */
function isForThisTerm(core: Core, message: Message): boolean {
	switch (message.type) {
		case "pre-vote":
			return true;
		case "vote": {
			const { clusterId, nodeId: from, term } = core;
			sendDurable(core, { type: "vote-answer", clusterId, from, to: message.from, term, granted: false });
			return false;
		}
		case "append":
			if (planted(core, "old-leader-heard") || planted(core, "term-goes-back")) return true;
			refuse(core, message.from, message.previousIndex, message.previousTerm);
			return false;
		case "heartbeat":
			refuse(core, message.from, 0, 0);
			return false;
		default:
			return false;
	}
}

/** Whoever sends entries leads in this term. False: somebody else does, which no honest node would say. */
function follow(core: Core, message: Message): boolean {
	const current = message.term === core.term;
	if (current && (core.role === "leader" || (core.leader !== null && core.leader !== message.from))) {
		core.dropped.invalid += 1;
		return false;
	}
	if (core.role !== "follower" || core.leader !== message.from)
		becomeFollower(core, planted(core, "term-goes-back") ? message.term : core.term, message.from);
	core.elapsed = 0;
	return true;
}

function handle(core: Core, message: Message): void {
	switch (message.type) {
		case "pre-vote":
			handlePreVote(core, message);
			break;
		case "pre-vote-answer":
			handlePreVoteAnswer(core, message);
			break;
		case "vote":
			handleVote(core, message);
			break;
		case "vote-answer":
			handleVoteAnswer(core, message);
			break;
		case "append":
			handleAppend(core, message);
			break;
		case "append-answer":
			handleAppendAnswer(core, message);
			break;
		case "heartbeat":
			handleHeartbeat(core, message);
			break;
		case "heartbeat-answer":
			handleHeartbeatAnswer(core, message);
			break;
		case "campaign-now":
			handleCampaignNow(core, message.from);
			break;
		case "read":
			handleRead(core, message);
			break;
		case "read-answer":
			handleReadAnswer(core, message);
			break;
	}
}
