/** Structures of remote_protocol.x that several procedures share. */
import { AppError } from "../../../lib/errors.ts";
import { isUuid } from "../../../lib/ids.ts";
import { ProtocolError } from "./errors.ts";
import type {
	DomainRef,
	DomainTarget,
	NetworkRef,
	NetworkTarget,
	SecretRef,
	SecretTarget,
	TypedParameters,
	TypedValue,
} from "./types.ts";
import type { XdrReader } from "./xdr-reader.ts";
import type { XdrWriter } from "./xdr-writer.ts";

export function writeUuid(writer: XdrWriter, uuid: string): void {
	if (!isUuid(uuid)) throw new AppError("invalid", `"${uuid}" is not a UUID.`);
	writer.fixedOpaque(Buffer.from(uuid.replaceAll("-", ""), "hex"));
}

export function readUuid(reader: XdrReader): string {
	const hex = reader.fixedOpaque(16).toString("hex");
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function writeDomain(writer: XdrWriter, domain: DomainTarget): void {
	writer.string(domain.name ?? "");
	writeUuid(writer, domain.uuid);
	writer.int(-1);
}

export function readDomain(reader: XdrReader): DomainRef {
	const name = reader.string();
	const uuid = readUuid(reader);
	const id = reader.int();
	return { uuid, name, id: id < 0 ? null : id };
}

export function writeNetwork(writer: XdrWriter, network: NetworkTarget): void {
	writer.string(network.name ?? "");
	writeUuid(writer, network.uuid);
}

export function readNetwork(reader: XdrReader): NetworkRef {
	const name = reader.string();
	return { uuid: readUuid(reader), name };
}

export function writeSecret(writer: XdrWriter, secret: SecretTarget): void {
	writeUuid(writer, secret.uuid);
	writer.int(0);
	writer.string("");
}

export function readSecret(reader: XdrReader): SecretRef {
	const uuid = readUuid(reader);
	const usageType = reader.int();
	return { uuid, usageType, usageId: reader.string() };
}

/** `remote_typed_param<max>`. Names come from libvirt but may hold guest data: the object has no prototype. */
export function readTypedParameters(reader: XdrReader, max: number): TypedParameters {
	const parameters: TypedParameters = Object.create(null);
	reader.array(max, () => {
		const field = reader.string();
		parameters[field] = readTypedValue(reader);
	});
	return parameters;
}

/** `remote_typed_param<max>` of 64-bit numbers without a sign. */
export function writeUnsignedParameters(
	writer: XdrWriter,
	max: number,
	parameters: Readonly<Record<string, number>>,
): void {
	writer.array(Object.entries(parameters), max, ([field, value]) => {
		writer.string(field);
		writer.int(4);
		writer.uhyper(value);
	});
}

function readTypedValue(reader: XdrReader): TypedValue {
	const type = reader.int();
	switch (type) {
		case 1:
			return reader.int();
		case 2:
			return reader.uint();
		case 3:
			return reader.hyper();
		case 4:
			return reader.uhyper();
		case 5:
			return reader.double();
		case 6:
			return reader.int() !== 0;
		case 7:
			return reader.string();
		default:
			throw new ProtocolError(`a typed parameter of type ${type}`);
	}
}
