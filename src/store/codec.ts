/**
 * Commands as bytes, and back: the union of command.ts ⇄ proto/command.proto. Total over the union: a kind without a
 * codec, or a message without a kind, does not compile.
 *
 * Decoding gives the types of the union without checking documents; apply does that (model/validate.ts).
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CommandSchema, type Command as ProtoCommand } from "../gen/command_pb.ts";
import { assert, present } from "../lib/assert.ts";
import { AppError } from "../lib/errors.ts";
import type { Requester } from "../model/task.ts";
import { accessCodecs } from "./codec/access.ts";
import { clusterCodecs } from "./codec/cluster.ts";
import { snapshotCodecs } from "./codec/snapshot.ts";
import { storageCodecs } from "./codec/storage.ts";
import type { BodyCodec, BodyCodecs } from "./codec/values.ts";
import { vmCodecs } from "./codec/vm.ts";
import type { Command, CommandBody, CommandKind } from "./command.ts";
import { isKnown } from "./command-features.ts";

const codecs: BodyCodecs<CommandKind> = {
	...clusterCodecs,
	...accessCodecs,
	...vmCodecs,
	...storageCodecs,
	...snapshotCodecs,
};

/** Also the other way round: each message of the oneof is a kind of command. */
type MessageKind = Exclude<ProtoCommand["body"]["case"], undefined>;
const kinds: { [Kind in MessageKind]: CommandKind } = Object.fromEntries(
	Object.keys(codecs).map((kind) => [kind, kind]),
) as { [Kind in MessageKind]: Kind & CommandKind };

export const commandKinds = Object.keys(codecs) as CommandKind[];

/** Which codec belongs to a kind is known to the table only; the one cast is here. */
const codecOf = (kind: CommandKind): BodyCodec<CommandKind> => codecs[kind] as unknown as BodyCodec<CommandKind>;

export function encodeCommand(command: Command): Uint8Array {
	assert(Number.isSafeInteger(command.timeMs), "the time of a command is a whole number of milliseconds");
	const { requester, credential, body } = command;
	const message = create(CommandSchema, {
		id: command.id,
		timeMs: BigInt(command.timeMs),
		requester: { kind: requester.kind, name: requester.name, ...(requester.id === null ? {} : { id: requester.id }) },
		operation: command.operation,
		...(command.remoteAddress === null ? {} : { remoteAddress: command.remoteAddress }),
		...(command.idempotencyKey === null ? {} : { idempotencyKey: command.idempotencyKey }),
		...(command.idempotencyHash === undefined ? {} : { idempotencyHash: command.idempotencyHash }),
		...(credential === null ? {} : { credential }),
		body: { case: body.kind, value: codecOf(body.kind).encode(body) } as NonNullable<ProtoCommand["body"]>,
	});
	return toBinary(CommandSchema, message);
}

/**
 * Throws `malformed` for bytes that are no command, and `unsupported` for a kind of command, or a field of one, that this
 * version does not know: then a newer version wrote it, and going on without it would make this copy differ from the others.
 */
export function decodeCommand(bytes: Uint8Array): Command {
	const message = parse(bytes);
	const { case: messageKind } = message.body;
	if (messageKind === undefined || !isKnown(kinds[messageKind]) || hasUnknownFields(message))
		throw new AppError(
			"unsupported",
			"The log holds a command of a newer version of LimiQuantix. Install that version, or a later one, on this node.",
			{ context: { commandId: message.id } },
		);
	const kind = kinds[messageKind];
	const body = { kind, ...codecOf(kind).decode(message.body.value) } as CommandBody;
	const requester = present(message.requester, "the requester of a command");
	return {
		id: message.id,
		timeMs: Number(message.timeMs),
		requester: { kind: requester.kind as Requester["kind"], id: requester.id ?? null, name: requester.name },
		remoteAddress: message.remoteAddress ?? null,
		operation: message.operation,
		idempotencyKey: message.idempotencyKey ?? null,
		...(message.idempotencyHash === undefined ? {} : { idempotencyHash: message.idempotencyHash }),
		credential: message.credential
			? { kind: message.credential.kind as "session" | "token", id: message.credential.id }
			: null,
		body,
	};
}

function parse(bytes: Uint8Array): ProtoCommand {
	try {
		const message = fromBinary(CommandSchema, bytes);
		if (message.requester === undefined || message.id === "") throw new Error("without id or requester");
		return message;
	} catch (error) {
		throw new AppError("malformed", "These bytes are not a command.", { cause: error });
	}
}

/** Protobuf drops what it does not know; a list of it stays in each message. Also of messages in messages. */
function hasUnknownFields(value: unknown): boolean {
	if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
	if ("$unknown" in value && Array.isArray(value.$unknown) && value.$unknown.length > 0) return true;
	return Object.values(value).some(hasUnknownFields);
}
