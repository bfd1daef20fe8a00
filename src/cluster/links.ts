/**
 * The consensus and the other nodes: what it sends goes out over the links, what comes in goes to it. Made before either of
 * them is there; what comes too early is lost, as any message may be.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { Logger } from "../lib/log.ts";
import type { PeerNode } from "../peer/peer.ts";
import { isPeerError } from "../peer/peer-error.ts";
import type { SnapshotReceiverChannel, SnapshotSenderChannel } from "../peer/snapshot-channel.ts";
import type { Message } from "../raft/messages.ts";
import type { ReceiverMessage, SenderMessage } from "../raft/snapshot-stream.ts";
import type { NodeId } from "../raft/types.ts";
import type { Urgency } from "../store/disk-reserve.ts";
import type { StoreLinks } from "../store/open-store.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { notLeading, unknownOutcome } from "../store/raft/refusals.ts";
import type { SnapshotMessage } from "../store/raft/transport.ts";
import { encodeProposal, methods } from "./methods.ts";

type Links = Pick<PeerNode, "sendRaft" | "openSnapshot" | "call">;

/** Longer than a change of the leader takes; the caller's own limit is 30 s. */
const forwardLimitMs = 10_000;

export class ClusterLinks implements StoreLinks {
	readonly #logger: Logger;
	#peers: Links | null = null;
	#consensus: RaftConsensus | null = null;
	/** Proposals that are with a leader. */
	readonly #forwards = new Set<{ leader: NodeId; controller: AbortController }>();
	/** To nodes that are sent a snapshot; null while it is being made. */
	readonly #outgoing = new Map<NodeId, SnapshotSenderChannel | null>();
	/** From the leader. */
	readonly #incoming = new Map<NodeId, SnapshotReceiverChannel>();

	constructor(logger: Logger) {
		this.#logger = logger;
	}

	usePeers(peers: Links): void {
		this.#peers = peers;
	}

	useConsensus(consensus: RaftConsensus): void {
		this.#consensus = consensus;
	}

	readonly transport = {
		send: (message: Message): void => this.#peers?.sendRaft(message),
		sendSnapshot: (to: NodeId, message: SnapshotMessage): void => {
			if (message.type === "offer" || message.type === "chunk") this.#sendAsSender(to, message);
			else this.#incoming.get(to)?.send(message as ReceiverMessage);
		},
	};

	readonly forward = async (leader: NodeId, data: Uint8Array, urgency: Urgency): Promise<void> => {
		if (this.#peers === null) throw notLeading(leader);
		const controller = new AbortController();
		const pending = { leader, controller };
		this.#forwards.add(pending);
		const options = { timeoutMs: forwardLimitMs, signal: controller.signal };
		try {
			await this.#peers.call(leader, methods.propose, encodeProposal(data, urgency), options);
		} catch (error) {
			throw controller.signal.aborted ? unknownOutcome("Another node leads meanwhile.") : forwarded(error, leader);
		} finally {
			this.#forwards.delete(pending);
		}
	};

	/** What is with a leader that does not lead any more is not waited for: it is proposed again to the next one. */
	readonly onLeader = (leader: NodeId | null): void => {
		for (const pending of [...this.#forwards]) if (pending.leader !== leader) pending.controller.abort();
	};

	onRaftMessage(message: Message): void {
		this.#consensus?.receive(message);
	}

	onCutOff(nodeId: NodeId): void {
		this.#consensus?.peerGone(nodeId);
	}

	/** The leader has something to send. */
	onSnapshot(channel: SnapshotReceiverChannel): void {
		const from = channel.peer.nodeId;
		this.#incoming.get(from)?.end();
		this.#incoming.set(from, channel);
		channel.handle({
			onMessage: (message) => this.#consensus?.receiveSnapshot(from, message),
			onClose: () => {
				if (this.#incoming.get(from) === channel) this.#incoming.delete(from);
			},
		});
	}

	#sendAsSender(to: NodeId, message: SenderMessage): void {
		const channel = this.#outgoing.get(to);
		if (channel) channel.send(message);
		// What is not sent now is sent again.
		if (channel !== undefined || message.type !== "offer" || this.#peers === null) return;
		this.#outgoing.set(to, null);
		this.#peers.openSnapshot(to).then(
			(opened) => {
				this.#outgoing.set(to, opened);
				opened.handle({
					onMessage: (answer) => this.#consensus?.receiveSnapshot(to, answer),
					onClose: () => {
						if (this.#outgoing.get(to) === opened) this.#outgoing.delete(to);
					},
				});
				passing("state offered");
				opened.send(message);
			},
			(error) => {
				this.#outgoing.delete(to);
				this.#logger.debug("a snapshot could not be offered", { to, error });
			},
		);
	}
}

/** As the store understands it: whether it may be proposed again, and whether it may have happened. */
function forwarded(error: unknown, leader: NodeId): unknown {
	if (isPeerError(error)) return error.sent ? unknownOutcome("The leading node was lost.") : notLeading(leader);
	if (!isAppError(error)) return error;
	// There are no links to it any more: the leader has left, and another one will be heard of.
	if (error.code === "not-found") return notLeading(leader);
	// It was removed, and has not gone yet.
	if (error.code === "wrong-state") return notLeading(leader);
	// The leader's own answer; what it says in `context` does not come over the link.
	if (error.code === "unavailable" || error.code === "timeout")
		return new AppError(error.code, error.message, {
			retryAfterMs: error.retryAfterMs ?? 1000,
			context: { outcome: "unknown" },
			cause: error,
		});
	return error;
}
