/**
 * Snapshots on their way: one to each follower that needs one, and one from the leader. The messages may be lost as any
 * others; a snapshot that makes no progress is offered again, and goes on where it was. Without progress for long it is
 * given up, and the core asks for another one when the follower is heard again.
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { MutantName } from "../../raft/mutants.ts";
import { type ReceiverAction, type Resume, SnapshotReceiver } from "../../raft/snapshot-receiver.ts";
import { SnapshotSender } from "../../raft/snapshot-sender.ts";
import type { DoneReason, Offer, ReceiverMessage, SenderMessage } from "../../raft/snapshot-stream.ts";
import type { NodeId, SnapshotWanted } from "../../raft/types.ts";
import { crc32c } from "../log/crc32c.ts";
import type { SnapshotStore, StoredSnapshot } from "./snapshot-store.ts";
import type { SnapshotMessage, Transport } from "./transport.ts";

export type SnapshotTrafficParts = {
	clusterId: string;
	nodeId: NodeId;
	store: SnapshotStore;
	transport: Transport;
	logger: Logger;
	chunkBytes: number;
	/** Without progress for so long, a snapshot is offered again. */
	retryTicks: number;
	/** The term of this node, and whether it leads in it. */
	current: () => { term: number; leads: boolean };
	/** What was there of one at the start. */
	resume: Resume | null;
	/** What this node has applied. */
	appliedIndex: () => number;
	/** A snapshot holds this much at least. */
	minIndex: () => number;
	onSent: (to: NodeId, index: number | null) => void;
	/** It is whole and durable: takes or refuses it, and says what became of it. */
	onReceived: (offer: Offer) => Promise<DoneReason>;
	onFatal: (error: unknown) => void;
	mutant: MutantName | null;
};

const maxStalls = 5;
/** All was sent: the follower makes it its state, which takes a while when it is large. */
const maxStallsAtEnd = 100;

type Sending = {
	to: NodeId;
	term: number;
	stored: StoredSnapshot | null;
	sender: SnapshotSender | null;
	progress: number;
	idleTicks: number;
	stalls: number;
};

export class SnapshotTraffic {
	readonly #parts: SnapshotTrafficParts;
	readonly #sending = new Map<NodeId, Sending>();
	readonly #receiver: SnapshotReceiver;
	/** Who sends which: to whom the answers go. */
	readonly #senders = new Map<string, NodeId>();
	/** Counts the snapshots that were begun. */
	#begun = 0;
	#work: Promise<void> = Promise.resolve();
	#closed = false;

	constructor(parts: SnapshotTrafficParts) {
		this.#parts = parts;
		const { clusterId, nodeId, mutant, resume } = parts;
		this.#receiver = new SnapshotReceiver({
			...{ clusterId, nodeId, crc32c },
			...(resume === null ? {} : { resume }),
			...(mutant === null ? {} : { mutant }),
		});
	}

	/** The core wants a snapshot to be sent. */
	wanted({ to, term }: SnapshotWanted): void {
		this.#end(this.#sending.get(to));
		const sending: Sending = { to, term, stored: null, sender: null, progress: 0, idleTicks: 0, stalls: 0 };
		this.#sending.set(to, sending);
		this.#begin(sending).catch((error) => this.#failed(sending, error));
	}

	tick(): void {
		this.#dropOvertaken();
		if (this.#sending.size === 0) return;
		const { term, leads } = this.#parts.current();
		for (const sending of this.#sending.values()) {
			if (!leads || sending.term !== term) {
				this.#end(sending);
				continue;
			}
			const { sender, stored } = sending;
			if (sender === null || stored === null) continue;
			sending.idleTicks += 1;
			if (sender.progressBytes > sending.progress) {
				sending.progress = sender.progressBytes;
				sending.idleTicks = 0;
				sending.stalls = 0;
			} else if (sending.idleTicks >= this.#parts.retryTicks) {
				sending.idleTicks = 0;
				sending.stalls += 1;
				if (sending.stalls > (sending.progress === stored.sizeBytes ? maxStallsAtEnd : maxStalls)) sender.failed();
				else sender.connected();
				this.#flush(sending);
			}
		}
	}

	receive(from: NodeId, message: SnapshotMessage): void {
		if (this.#closed) return;
		if (message.type === "offer" || message.type === "chunk") {
			this.#receive(from, message);
			return;
		}
		const sending = this.#sending.get(from);
		if (sending?.sender == null || sending.stored === null) return;
		if (message.type === "want" && message.offset === 0 && sending.stored.meta.index < this.#parts.minIndex()) {
			// The follower was away since it was offered, and the log has been cut behind it: it would need another one after it.
			this.wanted({ to: from, term: sending.term });
			return;
		}
		sending.sender.step(message);
		this.#flush(sending);
	}

	/** Half a snapshot whose sender is gone, while the log has brought all of it: nobody else would throw it away. */
	#dropOvertaken(): void {
		const offer = this.#receiver.arriving;
		if (offer === null || this.#closed || offer.meta.index > this.#parts.appliedIndex()) return;
		this.#receiver.overtaken();
		this.#begun += 1;
		this.#carryOut(offer.from);
	}

	/** Waits for what is being written. */
	async close(): Promise<void> {
		this.#closed = true;
		for (const sending of this.#sending.values()) this.#end(sending);
		await this.#work;
		await this.#parts.store.close();
	}

	async #begin(sending: Sending): Promise<void> {
		const stored = await this.#parts.store.newest(this.#parts.minIndex());
		if (this.#sending.get(sending.to) !== sending) {
			stored?.release();
			return;
		}
		if (stored === null) {
			this.#finish(sending, null);
			return;
		}
		const { clusterId, nodeId: from, chunkBytes } = this.#parts;
		const { name: snapshot, meta, sizeBytes, crc } = stored;
		const { to, term } = sending;
		const offer: Offer = { type: "offer", clusterId, from, to, term, snapshot, meta, sizeBytes, crc };
		sending.stored = stored;
		sending.sender = new SnapshotSender({ offer, crc32c, chunkBytes });
		sending.sender.connected();
		this.#flush(sending);
	}

	#flush(sending: Sending): void {
		const { sender, stored, to } = sending;
		if (sender === null || stored === null || this.#sending.get(to) !== sending) return;
		for (const message of sender.takeMessages()) this.#parts.transport.sendSnapshot(to, message);
		for (const read of sender.takeReads())
			stored.read(read.offset, read.length).then(
				(data) => {
					sender.dataRead(read, data);
					this.#flush(sending);
				},
				(error) => this.#failed(sending, error),
			);
		if (sender.result !== null) this.#finish(sending, sender.result.index);
	}

	#failed(sending: Sending, error: unknown): void {
		this.#parts.logger.warn("a snapshot could not be sent", { to: sending.to, error });
		this.#finish(sending, null);
	}

	#finish(sending: Sending, index: number | null): void {
		if (this.#sending.get(sending.to) !== sending) return;
		this.#end(sending);
		this.#parts.onSent(sending.to, index);
	}

	#end(sending: Sending | undefined): void {
		if (sending === undefined) return;
		this.#sending.delete(sending.to);
		sending.stored?.release();
		sending.stored = null;
	}

	#receive(from: NodeId, message: SenderMessage): void {
		if (message.type === "offer") {
			// What a deposed leader sends would be refused in the end.
			const old = message.from !== from || message.term < this.#parts.current().term;
			if (old) {
				this.#parts.transport.sendSnapshot(from, { type: "done", snapshot: message.snapshot, reason: "old-term" });
				return;
			}
			this.#senders.set(message.snapshot, from);
		} else if (this.#senders.get(message.snapshot) !== from) return;
		this.#receiver.step(message);
		this.#carryOut(from);
	}

	/** `from`: whose message brought this about. */
	#carryOut(from: NodeId): void {
		for (const message of this.#receiver.takeMessages()) this.#answer(message, from);
		for (const action of this.#receiver.takeActions()) {
			if (action.type === "begin") this.#begun += 1;
			const snapshot = this.#begun;
			this.#work = this.#work.then(() => this.#act(action, snapshot, from)).catch(this.#parts.onFatal);
		}
	}

	#answer(message: ReceiverMessage, from: NodeId): void {
		this.#parts.transport.sendSnapshot(this.#senders.get(message.snapshot) ?? from, message);
		if (message.type === "done") this.#senders.delete(message.snapshot);
	}

	async #act(action: ReceiverAction, snapshot: number, from: NodeId): Promise<void> {
		const { store, logger } = this.#parts;
		if (this.#closed) return;
		// Of one that was given up, or replaced by another.
		if (snapshot !== this.#begun && action.type !== "discard") return;
		try {
			if (action.type === "begin") await store.begin(action.offer);
			else if (action.type === "write") await store.write(action.offset, action.data, action.crc);
			else if (action.type === "discard") await store.discard();
			else await store.finish(action.offer);
		} catch (error) {
			const known = isAppError(error) && ["no-space", "corrupt", "unsupported"].includes(error.code);
			if (!known) throw error;
			logger.warn("a snapshot could not be received", { from, error });
			if (snapshot !== this.#begun) return;
			if (action.type === "finish") {
				// One of a newer version is of no use until this node is upgraded.
				const reasons = { corrupt: "damaged", unsupported: "refused" } as const;
				this.#receiver.finished(reasons[error.code as keyof typeof reasons] ?? "no-space");
				await store.discard();
			} else {
				this.#receiver.noSpace();
				this.#begun += 1;
			}
			this.#carryOut(from);
			return;
		}
		if (this.#closed || snapshot !== this.#begun) return;
		if (action.type === "write") this.#receiver.written(action.offset + action.data.length);
		else if (action.type === "finish") {
			const reason = await this.#parts.onReceived(action.offer);
			if (reason !== "installed") await store.discard();
			this.#receiver.finished(reason);
		}
		this.#carryOut(from);
	}
}

/** A node without snapshots: nobody gets one from it, and it takes none. */
export const noSnapshots: SnapshotStore = {
	newest: async () => null,
	begin: () => Promise.reject(new AppError("no-space", "This node takes no snapshots.")),
	write: async () => {},
	resume: async () => null,
	close: async () => {},
	finish: async () => {},
	install: async () => {},
	discard: async () => {},
	completeInstall: () => Promise.reject(new AppError("corrupt", "There is no snapshot that reaches the log.")),
};
