/**
 * Errors of the libvirt client, all of them AppErrors:
 * - LibvirtError: libvirt refused or failed. Its numbers (virterror.h) are on the error and in `context`.
 * - ProtocolError (`hypervisor`): the peer does not speak the protocol; its connection is torn down.
 * - `unavailable` (not connected, or the connection went while the call was under way), `timeout`, `canceled`.
 */
import { AppError, type ErrorCode } from "../../../lib/errors.ts";
import type { XdrReader } from "./xdr-reader.ts";

/** virErrorNumber, as far as callers tell errors apart. */
export const libvirtErrors = {
	internalError: 1,
	noSupport: 3,
	noConnect: 5,
	invalidArgument: 8,
	operationFailed: 9,
	xmlError: 27,
	domainExists: 28,
	networkExists: 37,
	systemError: 38,
	rpc: 39,
	noDomain: 42,
	noNetwork: 43,
	authFailed: 45,
	operationInvalid: 55,
	noSecret: 66,
	configUnsupported: 67,
	operationTimeout: 68,
	argumentUnsupported: 74,
	operationAborted: 78,
	noDomainMetadata: 80,
	/** A disk is being copied, and cannot do what was asked; or its copy is not ready to be gone over to. */
	blockCopyActive: 83,
	operationUnsupported: 84,
	agentUnresponsive: 86,
	resourceBusy: 87,
	agentUnsynced: 97,
	deviceMissing: 99,
	noNetworkMetadata: 111,
	agentCommandTimeout: 112,
} as const;

const codes = new Map<number, ErrorCode>([
	[libvirtErrors.noSupport, "unsupported"],
	[libvirtErrors.configUnsupported, "unsupported"],
	[libvirtErrors.argumentUnsupported, "unsupported"],
	[libvirtErrors.operationUnsupported, "unsupported"],
	[libvirtErrors.noDomain, "not-found"],
	[libvirtErrors.noNetwork, "not-found"],
	[libvirtErrors.noSecret, "not-found"],
	[libvirtErrors.noDomainMetadata, "not-found"],
	[libvirtErrors.noNetworkMetadata, "not-found"],
	[libvirtErrors.deviceMissing, "not-found"],
	[libvirtErrors.domainExists, "already-exists"],
	[libvirtErrors.networkExists, "already-exists"],
	[libvirtErrors.operationInvalid, "wrong-state"],
	[libvirtErrors.resourceBusy, "wrong-state"],
	[libvirtErrors.blockCopyActive, "wrong-state"],
	[libvirtErrors.operationTimeout, "timeout"],
	[libvirtErrors.agentCommandTimeout, "timeout"],
	[libvirtErrors.operationAborted, "canceled"],
	[libvirtErrors.noConnect, "unavailable"],
	[libvirtErrors.agentUnresponsive, "unavailable"],
	[libvirtErrors.agentUnsynced, "unavailable"],
]);

/** The fields of virError that say something. */
export type RemoteError = {
	code: number;
	domain: number;
	level: number;
	message: string;
	details: (string | null)[];
	int1: number;
	int2: number;
};

export class LibvirtError extends AppError {
	override name = "LibvirtError";
	/** virErrorNumber; see `libvirtErrors`. */
	readonly libvirtCode: number;
	/** virErrorDomain: the part of libvirt that raised it. */
	readonly libvirtDomain: number;

	constructor(error: RemoteError, procedure: string) {
		super(codes.get(error.code) ?? "hypervisor", `libvirt: ${printable(error.message)}`, {
			context: {
				procedure,
				libvirtCode: error.code,
				libvirtDomain: error.domain,
				libvirtLevel: error.level,
				details: error.details.map((detail) => (detail === null ? null : printable(detail))),
				int1: error.int1,
				int2: error.int2,
			},
		});
		this.libvirtCode = error.code;
		this.libvirtDomain = error.domain;
	}
}

/** True for an error that libvirt itself gave, with that number when one is named. */
export const isLibvirtError = (error: unknown, libvirtCode?: number): error is LibvirtError =>
	error instanceof LibvirtError && (libvirtCode === undefined || error.libvirtCode === libvirtCode);

export class ProtocolError extends AppError {
	override name = "ProtocolError";

	constructor(what: string) {
		super("hypervisor", `libvirt's answer makes no sense: ${what}.`);
	}
}

/** `unavailable`; `callWasSent` tells whether libvirt may have carried out what was asked. */
export function disconnected(reason: string, callWasSent: boolean, retryAfterMs: number, cause?: unknown): AppError {
	return new AppError("unavailable", `The connection to libvirt is down: ${reason}`, {
		retryAfterMs,
		context: { callWasSent },
		...(cause === undefined ? {} : { cause }),
	});
}

/** struct virNetMessageError. */
export function readRemoteError(reader: XdrReader): RemoteError {
	const code = reader.int();
	const domain = reader.int();
	const message = reader.optionalString() ?? "no message";
	const level = reader.int();
	reader.optional(() => {
		reader.string();
		reader.fixedOpaque(16);
		reader.int();
	});
	const details = [reader.optionalString(), reader.optionalString(), reader.optionalString()];
	const int1 = reader.int();
	const int2 = reader.int();
	reader.optional(() => {
		reader.string();
		reader.fixedOpaque(16);
	});
	return { code, domain, message, level, details, int1, int2 };
}

// Messages quote names and guest output: no control characters, no endless lines.
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").slice(0, 1000);
