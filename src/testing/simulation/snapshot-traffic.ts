/** Snapshots that come and go, by the core's sender and receiver, over a stream that is lossy here. */
import type { MutantName } from "../../raft/mutants.ts";
import { SnapshotReceiver } from "../../raft/snapshot-receiver.ts";
import { SnapshotSender } from "../../raft/snapshot-sender.ts";
import type { DoneReason, Offer, ReceiverMessage, SenderMessage } from "../../raft/snapshot-stream.ts";
import type { NodeId, SnapshotVerdict } from "../../raft/types.ts";
import { crc32c } from "../../store/log/crc32c.ts";
import type { Snapshot } from "./node-disk.ts";
import type { ProcessHost, StreamMessage } from "./process.ts";

const reconnectMs = 300;
/** Reconnections without any progress. */
const maxAttempts = 8;

type Sending = { sender: SnapshotSender; data: Uint8Array; progress: number; attempts: number };

export type SnapshotTrafficOptions = {
	id: NodeId;
	host: ProcessHost;
	mutant: MutantName | null;
	chunkBytes: number;
	sent: (to: NodeId, index: number | null) => void;
	received: (
		from: NodeId,
		term: number,
		snapshot: Snapshot,
		finished: (reason: "installed" | SnapshotVerdict) => void,
	) => void;
};

export class SnapshotTraffic {
	readonly #options: SnapshotTrafficOptions;
	readonly #sending = new Map<NodeId, Sending>();
	readonly #receiver: SnapshotReceiver;
	#file = new Uint8Array(0);

	constructor(options: SnapshotTrafficOptions) {
		this.#options = options;
		const { id: nodeId, mutant } = options;
		this.#receiver = new SnapshotReceiver({
			clusterId: "cluster",
			nodeId,
			crc32c,
			...(mutant === null ? {} : { mutant }),
		});
	}

	begin(to: NodeId, term: number, { meta, data }: Snapshot): void {
		const { id: from, chunkBytes } = this.#options;
		const offer: Offer = {
			type: "offer",
			clusterId: "cluster",
			from,
			to,
			term,
			snapshot: `${from}-${meta.index}`,
			meta,
			sizeBytes: data.length,
			crc: crc32c(data),
		};
		const sending = { sender: new SnapshotSender({ offer, crc32c, chunkBytes }), data, progress: 0, attempts: 0 };
		this.#sending.set(to, sending);
		sending.sender.connected();
		this.#send(to, sending);
		this.#watch(to, sending);
	}

	/** The connection was lost, for all that is known: offered again, and given up in the end. */
	#watch(to: NodeId, sending: Sending): void {
		this.#options.host.later(reconnectMs, () => {
			if (this.#sending.get(to) !== sending) return;
			const { progressBytes } = sending.sender;
			if (progressBytes > sending.progress) {
				sending.progress = progressBytes;
				sending.attempts = 0;
			} else if (++sending.attempts > maxAttempts) sending.sender.failed();
			else sending.sender.connected();
			this.#send(to, sending);
			this.#watch(to, sending);
		});
	}

	#send(to: NodeId, sending: Sending): void {
		const { sender, data } = sending;
		for (;;) {
			const reads = sender.takeReads();
			if (reads.length === 0) break;
			for (const read of reads) sender.dataRead(read, data.subarray(read.offset, read.offset + read.length));
		}
		for (const message of sender.takeMessages()) this.#options.host.sendStream(to, message);
		if (sender.result === null || this.#sending.get(to) !== sending) return;
		this.#sending.delete(to);
		this.#options.sent(to, sender.result.index);
	}

	receive(from: NodeId, message: StreamMessage): void {
		if (isOfSender(message)) {
			this.#receiver.step(message);
			this.#carryOut();
			return;
		}
		const sending = this.#sending.get(from);
		if (sending === undefined) return;
		sending.sender.step(message as ReceiverMessage);
		this.#send(from, sending);
	}

	#carryOut(): void {
		for (const action of this.#receiver.takeActions()) {
			if (action.type === "begin") this.#file = new Uint8Array(action.offer.sizeBytes);
			else if (action.type === "write") {
				this.#file.set(action.data.subarray(0, Math.max(0, this.#file.length - action.offset)), action.offset);
				this.#receiver.written(action.offset + action.data.length);
			} else if (action.type === "finish") this.#finish(action.offer);
		}
		const messages = this.#receiver.takeMessages();
		for (const message of messages) this.#options.host.sendStream(offererOf(message.snapshot), message);
		if (messages.length > 0) this.#carryOut();
	}

	#finish(offer: Offer): void {
		const data = this.#file;
		this.#options.host.later(this.#options.host.writeMs(), () => {
			this.#options.received(
				offer.from,
				offer.term,
				{ meta: offer.meta, data },
				(reason: DoneReason | SnapshotVerdict) => {
					this.#receiver.finished(reason === "install" ? "installed" : reason);
					this.#carryOut();
				},
			);
		});
	}
}

/** A snapshot's name begins with the id of who made it. */
const offererOf = (snapshot: string): NodeId => snapshot.slice(0, snapshot.lastIndexOf("-"));

const isOfSender = (message: StreamMessage): message is SenderMessage =>
	message.type === "offer" || message.type === "chunk";
