/**
 * Messages of the consensus core as bytes, and back. Decoding gives a message of the right shape, all numbers safe
 * integers, or null; whether it makes sense is for the core to say (raft/messages.ts). Entries refer to the bytes given.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
	EntryKind,
	type Entry as ProtoEntry,
	type RaftMessage as ProtoMessage,
	RaftMessageSchema,
} from "../gen/peer_pb.ts";
import type { Message } from "../raft/messages.ts";
import type { Entry } from "../raft/types.ts";
import { decoded, encoded, fromUint64, toUint64 } from "./wire.ts";

type Init = MessageInitShape<typeof RaftMessageSchema>;
type Body = NonNullable<Init["body"]>;
type ReadBody = ProtoMessage["body"];

/** As many as an append may hold (raft/messages.ts), and the other fields. */
const maxFields = 65_536 + 16;

export function encodeRaftMessage(message: Message): Uint8Array {
	return encoded(RaftMessageSchema, {
		clusterId: message.clusterId,
		from: message.from,
		to: message.to,
		term: toUint64(message.term),
		entries: message.type === "append" ? message.entries.map(toEntry) : [],
		body: toBody(message),
	});
}

export function decodeRaftMessage(bytes: Uint8Array): Message | null {
	return decoded(RaftMessageSchema, bytes, fromMessage, maxFields);
}

function toBody(message: Message): Body {
	switch (message.type) {
		case "pre-vote":
			return { case: "preVote", value: position(message) };
		case "pre-vote-answer":
			return { case: "preVoteAnswer", value: { granted: message.granted } };
		case "vote":
			return { case: "vote", value: { ...position(message), transfer: message.transfer } };
		case "vote-answer":
			return { case: "voteAnswer", value: { granted: message.granted } };
		case "append": {
			const { previousIndex, previousTerm, commit } = message;
			return {
				case: "append",
				value: {
					previousIndex: toUint64(previousIndex),
					previousTerm: toUint64(previousTerm),
					commit: toUint64(commit),
				},
			};
		}
		case "append-answer":
			return {
				case: "appendAnswer",
				value: {
					accepted: message.accepted,
					index: toUint64(message.index),
					hintIndex: toUint64(message.hintIndex),
					hintTerm: toUint64(message.hintTerm),
					...health(message),
				},
			};
		case "heartbeat": {
			const { commit, commitTerm, recoveries, round, recovered } = message;
			return {
				case: "heartbeat",
				value: {
					commit: toUint64(commit),
					commitTerm: toUint64(commitTerm),
					recoveries: toUint64(recoveries),
					round: toUint64(round),
					...(recovered === null
						? {}
						: { recovered: { recoveries: toUint64(recovered.recoveries), index: toUint64(recovered.index) } }),
				},
			};
		}
		case "heartbeat-answer":
			return { case: "heartbeatAnswer", value: { round: toUint64(message.round), ...health(message) } };
		case "campaign-now":
			return { case: "campaignNow", value: {} };
		case "read":
			return { case: "read", value: { request: toUint64(message.request) } };
		case "read-answer": {
			const { request, index } = message;
			return {
				case: "readAnswer",
				value: { request: toUint64(request), ...(index === null ? {} : { index: toUint64(index) }) },
			};
		}
		case "removed":
			return { case: "removed", value: { configurationIndex: toUint64(message.configurationIndex) } };
	}
}

const position = (message: { lastIndex: number; lastTerm: number }) => ({
	lastIndex: toUint64(message.lastIndex),
	lastTerm: toUint64(message.lastTerm),
});
const health = (message: { recoveries: number; recovering: boolean }) => ({
	recoveries: toUint64(message.recoveries),
	recovering: message.recovering,
});
const toEntry = ({ index, term, kind, data }: Entry) => ({
	index: toUint64(index),
	term: toUint64(term),
	kind: kind === "command" ? EntryKind.COMMAND : EntryKind.CONFIGURATION,
	data: data as Uint8Array<ArrayBuffer>,
});

/** Throws, inside `decoded`, for what is no message. */
function fromMessage({ clusterId, from, to, term, entries, body }: ProtoMessage): Message {
	if (entries.length > 0 && body.case !== "append") throw new Error("entries outside an append");
	const header = { clusterId, from, to, term: fromUint64(term) };
	return { ...header, ...fromBody(body, entries) };
}

type WithoutHeader<M> = M extends Message ? Omit<M, "clusterId" | "from" | "to" | "term"> : never;

function fromBody(body: ReadBody, entries: readonly ProtoEntry[]): WithoutHeader<Message> {
	switch (body.case) {
		case "preVote":
			return { type: "pre-vote", ...readPosition(body.value) };
		case "preVoteAnswer":
			return { type: "pre-vote-answer", granted: body.value.granted };
		case "vote":
			return { type: "vote", ...readPosition(body.value), transfer: body.value.transfer };
		case "voteAnswer":
			return { type: "vote-answer", granted: body.value.granted };
		case "append": {
			const { previousIndex, previousTerm, commit } = body.value;
			return {
				type: "append",
				previousIndex: fromUint64(previousIndex),
				previousTerm: fromUint64(previousTerm),
				entries: entries.map(fromEntry),
				commit: fromUint64(commit),
			};
		}
		case "appendAnswer": {
			const { accepted, index, hintIndex, hintTerm } = body.value;
			return {
				type: "append-answer",
				accepted,
				index: fromUint64(index),
				hintIndex: fromUint64(hintIndex),
				hintTerm: fromUint64(hintTerm),
				...readHealth(body.value),
			};
		}
		case "heartbeat": {
			const { commit, commitTerm, recoveries, round, recovered } = body.value;
			return {
				type: "heartbeat",
				commit: fromUint64(commit),
				commitTerm: fromUint64(commitTerm),
				recoveries: fromUint64(recoveries),
				round: fromUint64(round),
				recovered:
					recovered === undefined
						? null
						: { recoveries: fromUint64(recovered.recoveries), index: fromUint64(recovered.index) },
			};
		}
		case "heartbeatAnswer":
			return { type: "heartbeat-answer", round: fromUint64(body.value.round), ...readHealth(body.value) };
		case "campaignNow":
			return { type: "campaign-now" };
		case "read":
			return { type: "read", request: fromUint64(body.value.request) };
		case "readAnswer": {
			const { request, index } = body.value;
			return {
				type: "read-answer",
				request: fromUint64(request),
				index: index === undefined ? null : fromUint64(index),
			};
		}
		case "removed":
			return { type: "removed", configurationIndex: fromUint64(body.value.configurationIndex) };
		default:
			throw new Error("a kind of message that this version does not know");
	}
}

const readPosition = (value: { lastIndex: bigint; lastTerm: bigint }) => ({
	lastIndex: fromUint64(value.lastIndex),
	lastTerm: fromUint64(value.lastTerm),
});
const readHealth = (value: { recoveries: bigint; recovering: boolean }) => ({
	recoveries: fromUint64(value.recoveries),
	recovering: value.recovering,
});

function fromEntry({ index, term, kind, data }: ProtoEntry): Entry {
	if (kind !== EntryKind.COMMAND && kind !== EntryKind.CONFIGURATION) throw new Error("a kind of entry not known");
	return {
		index: fromUint64(index),
		term: fromUint64(term),
		kind: kind === EntryKind.COMMAND ? "command" : "configuration",
		data,
	};
}
