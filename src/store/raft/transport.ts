/** How nodes reach each other, as the consensus sees it. What comes in goes to `receive` and `receiveSnapshot` of RaftConsensus. */
import type { Message } from "../../raft/messages.ts";
import type { ReceiverMessage, SenderMessage } from "../../raft/snapshot-stream.ts";
import type { NodeId } from "../../raft/types.ts";

export type SnapshotMessage = SenderMessage | ReceiverMessage;

/**
 * Both may lose, delay and repeat what they are given, and never throw. The order of messages to one node is best kept.
 * What is sent is not changed afterwards, and may be kept.
 */
export interface Transport {
	/** To `message.to`. */
	send(message: Message): void;
	/** On a connection of its own: never before a heartbeat. A few chunks are under way at a time. */
	sendSnapshot(to: NodeId, message: SnapshotMessage): void;
}

/**
 * Carries a proposal to the leader, whose `proposeHere` answers: resolves when it is committed. Bounded in time by
 * whoever implements it.
 */
export type Forward = (leader: NodeId, data: Uint8Array, urgency: "growing" | "essential") => Promise<void>;
