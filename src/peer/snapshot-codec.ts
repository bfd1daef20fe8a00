/** What sender and receiver of a snapshot say (raft/snapshot-stream.ts) as bytes, and back; null for what is neither. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type SnapshotMessage as ProtoMessage, SnapshotMessageSchema } from "../gen/peer_pb.ts";
import { decodeConfiguration, encodeConfiguration } from "../raft/configuration.ts";
import type { DoneReason, Offer, ReceiverMessage, SenderMessage } from "../raft/snapshot-stream.ts";
import { decoded, encoded, fromUint64, toUint64 } from "./wire.ts";

export type SnapshotMessage = SenderMessage | ReceiverMessage;
type Body = NonNullable<MessageInitShape<typeof SnapshotMessageSchema>["body"]>;

export const encodeSnapshotMessage = (message: SnapshotMessage): Uint8Array =>
	encoded(SnapshotMessageSchema, { snapshot: message.snapshot, body: toBody(message) });

export const decodeSnapshotMessage = (bytes: Uint8Array): SnapshotMessage | null =>
	decoded(SnapshotMessageSchema, bytes, fromMessage, 64);

export const isSenderMessage = (message: SnapshotMessage): message is SenderMessage =>
	message.type === "offer" || message.type === "chunk";

function toBody(message: SnapshotMessage): Body {
	switch (message.type) {
		case "offer": {
			const { clusterId, from, to, term, meta, sizeBytes, crc } = message;
			return {
				case: "offer",
				value: {
					clusterId,
					from,
					to,
					term: toUint64(term),
					metaIndex: toUint64(meta.index),
					metaTerm: toUint64(meta.term),
					configurationIndex: toUint64(meta.configuration.index),
					configuration: encodeConfiguration(meta.configuration.configuration) as Uint8Array<ArrayBuffer>,
					sizeBytes: toUint64(sizeBytes),
					crc,
				},
			};
		}
		case "want":
		case "have":
			return { case: message.type, value: { offset: toUint64(message.offset) } };
		case "chunk": {
			const { offset, data, crc } = message;
			return { case: "chunk", value: { offset: toUint64(offset), data: data as Uint8Array<ArrayBuffer>, crc } };
		}
		case "done":
			return { case: "done", value: { reason: message.reason } };
	}
}

const doneReasons: readonly DoneReason[] = [
	"installed",
	"have",
	"old-term",
	"busy",
	"refused",
	"damaged",
	"no-space",
	"replaced",
];

function fromMessage({ snapshot, body }: ProtoMessage): SnapshotMessage {
	switch (body.case) {
		case "offer":
			return { type: "offer", snapshot, ...readOffer(body.value) };
		case "want":
			return { type: "want", snapshot, offset: fromUint64(body.value.offset) };
		case "have":
			return { type: "have", snapshot, offset: fromUint64(body.value.offset) };
		case "chunk":
			return {
				type: "chunk",
				snapshot,
				offset: fromUint64(body.value.offset),
				data: body.value.data,
				crc: body.value.crc,
			};
		case "done": {
			const { reason } = body.value;
			// One that a newer version knows: not installed, in any case.
			return { type: "done", snapshot, reason: doneReasons.find((known) => known === reason) ?? "refused" };
		}
		default:
			throw new Error("a kind of message that this version does not know");
	}
}

type ProtoOffer = Extract<ProtoMessage["body"], { case: "offer" }>["value"];

function readOffer(value: ProtoOffer): Omit<Offer, "type" | "snapshot"> {
	const configuration = decodeConfiguration(value.configuration);
	if (configuration === null) throw new Error("no configuration");
	return {
		clusterId: value.clusterId,
		from: value.from,
		to: value.to,
		term: fromUint64(value.term),
		meta: {
			index: fromUint64(value.metaIndex),
			term: fromUint64(value.metaTerm),
			configuration: { index: fromUint64(value.configurationIndex), configuration },
		},
		sizeBytes: fromUint64(value.sizeBytes),
		crc: value.crc,
	};
}
