/**
 * What sender and receiver of a snapshot say (raft/snapshot-stream.ts), on a connection of its own. The sender connects. Neither
 * queues anything to speak of: the sender waits for what the receiver has.
 */
import type { ReceiverMessage, SenderMessage } from "../raft/snapshot-stream.ts";
import type { Linked } from "./dial.ts";
import type { Peer } from "./hello.ts";
import type { Close } from "./peer-error.ts";
import { decodeSnapshotMessage, encodeSnapshotMessage, isSenderMessage } from "./snapshot-codec.ts";
import { done } from "./stream.ts";

export type SnapshotHandlers<Received> = { onMessage(message: Received): void; onClose(close: Close): void };

export class SnapshotChannel<Sent extends SenderMessage | ReceiverMessage, Received> {
	readonly peer: Peer;
	readonly #connection: Linked["connection"];
	readonly #isReceived: (message: SenderMessage | ReceiverMessage) => boolean;

	constructor({ connection, peer }: Linked, isReceived: (message: SenderMessage | ReceiverMessage) => boolean) {
		this.peer = peer;
		this.#connection = connection;
		this.#isReceived = isReceived;
	}

	handle({ onMessage, onClose }: SnapshotHandlers<Received>): void {
		this.#connection.handle(["snapshot"], {
			onFrame: ({ payload }) => {
				const message = decodeSnapshotMessage(payload);
				if (message !== null && this.#isReceived(message)) onMessage(message as Received);
				else this.#connection.end({ code: "protocol", message: "A message about a snapshot cannot be read." });
			},
			onClose,
		});
	}

	send(message: Sent): void {
		this.#connection.send("snapshot", encodeSnapshotMessage(message));
	}

	end(): void {
		this.#connection.end(done);
	}
}

export type SnapshotSenderChannel = SnapshotChannel<SenderMessage, ReceiverMessage>;
export type SnapshotReceiverChannel = SnapshotChannel<ReceiverMessage, SenderMessage>;
export const senderChannel = (dialled: Linked): SnapshotSenderChannel =>
	new SnapshotChannel(dialled, (message) => !isSenderMessage(message));
export const receiverChannel = (dialled: Linked): SnapshotReceiverChannel =>
	new SnapshotChannel(dialled, isSenderMessage);
