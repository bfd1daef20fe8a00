/** Conversions between the values of commands and protobuf fields. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CommandSchema, Command as ProtoCommand } from "../../gen/command_pb.ts";
import { AppError } from "../../lib/errors.ts";
import type { CommandBody, CommandKind } from "../command.ts";

export type BodyOf<K extends CommandKind> = Extract<CommandBody, { kind: K }>;
type AnyInit = NonNullable<MessageInitShape<typeof CommandSchema>["body"]>;
type InitOf<K extends CommandKind> = Extract<AnyInit, { case: K }>["value"];
type MessageOf<K extends CommandKind> = Extract<ProtoCommand["body"], { case: K }>["value"];

/** How one kind of command becomes its message, and back. `decode` leaves `kind` to the caller. */
export type BodyCodec<K extends CommandKind> = {
	encode(body: BodyOf<K>): InitOf<K>;
	decode(message: MessageOf<K>): Omit<BodyOf<K>, "kind">;
};
export type BodyCodecs<K extends CommandKind> = { [Kind in K]: BodyCodec<Kind> };

export function toUint64(value: number): bigint {
	if (!Number.isSafeInteger(value) || value < 0)
		throw new AppError("invalid", `${value} is not a whole number between 0 and 2^53.`);
	return BigInt(value);
}

export function fromUint64(value: bigint): number {
	if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
		throw new AppError("malformed", "A number in a command is out of range.");
	return Number(value);
}

export const toOptionalUint64 = (value: number | undefined): bigint | undefined =>
	value === undefined ? undefined : toUint64(value);
export const fromOptionalUint64 = (value: bigint | undefined): number | undefined =>
	value === undefined ? undefined : fromUint64(value);

export const toJson = (document: unknown): string => JSON.stringify(document);

/** The caller's type is a promise that apply verifies against the model's schema before anything uses the value. */
export function fromJson<T>(text: string): T {
	try {
		return JSON.parse(text) as T;
	} catch (error) {
		throw new AppError("malformed", "A command holds a document that is not JSON.", { cause: error });
	}
}
export const toOptionalJson = (document: unknown): string | undefined =>
	document === undefined ? undefined : JSON.stringify(document);
export const fromOptionalJson = <T>(text: string | undefined): T | undefined =>
	text === undefined ? undefined : fromJson<T>(text);

/** Three states: undefined (no message), null (message without value), a value. */
export const toNullable = <T>(value: T | null | undefined): { value?: T } | undefined =>
	value === undefined ? undefined : value === null ? {} : { value };
export const fromNullable = <T>(message: { value?: T | undefined } | undefined): T | null | undefined =>
	message === undefined ? undefined : (message.value ?? null);

/** `{ [key]: value }`, or nothing when the value is undefined: absent fields stay absent. */
export const optional = <K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } =>
	(value === undefined ? {} : { [key]: value }) as { [P in K]?: V };

type Expected = { id: string; expectedGeneration?: number };
export const encodeExpected = (body: Expected) => ({
	id: body.id,
	expectedGeneration: toOptionalUint64(body.expectedGeneration),
});
export const decodeExpected = (message: { id: string; expectedGeneration?: bigint | undefined }): Expected => ({
	id: message.id,
	...optional("expectedGeneration", fromOptionalUint64(message.expectedGeneration)),
});

/** A member that is there, and true, or is not there. */
export const onlyTrue = <K extends string>(key: K, value: boolean | undefined): { [P in K]?: true } =>
	(value === true ? { [key]: true } : {}) as { [P in K]?: true };

export const onlyId = {
	encode: (body: { id: string }) => ({ id: body.id }),
	decode: (message: { id: string }) => ({ id: message.id }),
};
