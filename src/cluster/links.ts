/**
 * The consensus and the other nodes: what it sends goes out over the links, what comes in goes to it. Made before either of
 * them is there; what comes too early is lost, as any message may be.
 */
import { passing } from "../lib/halting.ts";
import type { Logger } from "../lib/log.ts";
import type { PeerNode } from "../peer/peer.ts";
import type { SnapshotReceiverChannel, SnapshotSenderChannel } from "../peer/snapshot-channel.ts";
import type { Message } from "../raft/messages.ts";
import type { ReceiverMessage, SenderMessage } from "../raft/snapshot-stream.ts";
import type { NodeId } from "../raft/types.ts";
import type { Urgency } from "../store/disk-reserve.ts";
import type { StoreLinks } from "../store/open-store.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import type { SnapshotMessage } from "../store/raft/transport.ts";
import { Forwarding } from "./forwarding.ts";

type Links = Pick<PeerNode, "sendRaft" | "openSnapshot" | "call">;

export class ClusterLinks implements StoreLinks {
	readonly #logger: Logger;
	#peers: Links | null = null;
	#consensus: RaftConsensus | null = null;
	#isSilent = false;
	readonly #forwarding = new Forwarding(() => this.#peers);
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

	/**
	 * The consensus neither hears nor says anything, as if all links were cut, until what this returns is called: nobody can count
	 * on anything that happens to it meanwhile.
	 */
	readonly silence = (): (() => void) => {
		this.#isSilent = true;
		return () => {
			this.#isSilent = false;
		};
	};

	readonly transport = {
		send: (message: Message): void => {
			if (!this.#isSilent) this.#peers?.sendRaft(message);
		},
		sendSnapshot: (to: NodeId, message: SnapshotMessage): void => {
			if (this.#isSilent) return;
			if (message.type === "offer" || message.type === "chunk") this.#sendAsSender(to, message);
			else this.#incoming.get(to)?.send(message as ReceiverMessage);
		},
	};

	readonly forward = (leader: NodeId, data: Uint8Array, urgency: Urgency): Promise<void> =>
		this.#forwarding.forward(leader, { data, urgency });

	/** What is with a leader that does not lead any more is not waited for: it is proposed again to the next one. */
	readonly onLeader = (leader: NodeId | null): void => this.#forwarding.onLeader(leader);

	onRaftMessage(message: Message): void {
		if (!this.#isSilent) this.#consensus?.receive(message);
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
			onMessage: (message) => this.#receiveSnapshot(from, message),
			onClose: () => {
				if (this.#incoming.get(from) === channel) this.#incoming.delete(from);
			},
		});
	}

	#receiveSnapshot(from: NodeId, message: SnapshotMessage): void {
		if (!this.#isSilent) this.#consensus?.receiveSnapshot(from, message);
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
					onMessage: (answer) => this.#receiveSnapshot(to, answer),
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
