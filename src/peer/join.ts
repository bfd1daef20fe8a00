/**
 * The new node's half of a join. Neither side trusts the other before:
 *
 *  1. It connects without a certificate and looks at the chain that the member shows: the authority in it must be the one whose
 *     fingerprint the token carries, and must have signed the member's certificate, of the token's cluster.
 *  2. Only then does it send token and certificate request.
 *  3. It gets its certificate, the authorities, its node id and what the cluster tells a new member; it checks that they belong
 *     together and to its key.
 *
 * It can break off anywhere and be repeated: the key is kept (identity.ts, loadOrMakeKey), and the same token with the same key
 * gives the same node id again. The caller saves the identity before it acts on it.
 */
import { X509Certificate } from "node:crypto";
import { JoinAcceptedSchema, JoinRequestSchema } from "../gen/peer_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { MiB } from "../lib/units.ts";
import { type Address, formatAddress } from "./address.ts";
import { makeRequest } from "./ca.ts";
import type { PeerClock } from "./clock-filter.ts";
import { calmPace } from "./connection.ts";
import { type Dialled, dial, dialAny } from "./dial.ts";
import type { Self } from "./hello.ts";
import { type Identity, makeIdentity } from "./identity.ts";
import type { JoinToken } from "./join-token.ts";
import { type Close, isLasting, isPeerError, PeerError } from "./peer-error.ts";
import { asBytes } from "./requests.ts";
import { checkCertificate, faultText, fingerprintOf } from "./trust.ts";
import { cutOffBy, silent } from "./unreached.ts";
import { decoded, encoded } from "./wire.ts";

export type JoinOptions = {
	token: JoinToken;
	/** Asked instead of those in the token; the first that answers. */
	addresses?: readonly Address[];
	/** From loadOrMakeKey. */
	keyPem: string;
	self: Pick<Self, "nodeName" | "build" | "instance" | "features" | "versions">;
	/** Where the others reach this node. */
	ownAddresses: readonly Address[];
	/** What else the cluster wants to know (opaque here, ≤ 512 KiB). */
	facts: Uint8Array;
	clock: Clock;
	logger: Logger;
	connectTimeoutMs?: number;
	answerTimeoutMs?: number;
};

export type Joined = { identity: Identity; configuration: Uint8Array };

/** Rejects with a PeerError (its `close` says why), or `invalid` when the answer does not fit together. */
export const join = (options: JoinOptions): Promise<Joined> =>
	exchange(options, (payload) => readAccepted(payload, options));

/** A member was there and could not now: it has no leader, another node is joining, or too many others knock there. */
export const isNotNow = (error: unknown): error is PeerError =>
	isPeerError(error) &&
	(["unavailable", "too-many-connections"].includes(error.close) || (error.close === "timeout" && error.sent));

/** `clock`: of the member that answered; null when it does not say. */
export type Previewed = { configuration: Uint8Array; clock: PeerClock | null };

/** It only asks: its facts say so, and it is told about the cluster without being admitted. */
export const previewJoin = (options: JoinOptions): Promise<Previewed> =>
	exchange(options, (payload, { peerClock: clock }) => ({ configuration: acceptedIn(payload).configuration, clock }));

type Read<Result> = (payload: Uint8Array, connection: Dialled["connection"]) => Result;

async function exchange<Result>(options: JoinOptions, read: Read<Result>): Promise<Result> {
	const { token, keyPem, clock, logger } = options;
	const csr = await makeRequest(keyPem);
	const self: Self = { ...options.self, clusterId: token.clusterId, nodeId: "" };
	const attempt = async (address: Address): Promise<Result> => {
		const dialled = await dial({
			purpose: "join",
			address,
			self,
			judge: (chain) => judgeChain(chain, { address, token, nowMs: clock.nowMs() }),
			pace: calmPace,
			clock,
			logger,
			timeoutMs: options.connectTimeoutMs ?? 10_000,
			maxQueuedBytes: 2 * MiB,
		});
		return ask(dialled, { address, csr, options, read });
	};
	const addresses = options.addresses ?? token.addresses;
	if (addresses.length === 0)
		throw new PeerError({ code: "unreachable", message: "The token names no address of a member." });
	return dialAny(addresses, attempt, (error) => isPeerError(error) && !isLasting(error.close));
}

/** Null when the chain is one to send the token to. */
function judgeChain(
	chain: readonly Uint8Array[],
	{ address, token, nowMs }: { address: Address; token: JoinToken; nowMs: number },
): Close | null {
	const node = `The node at ${formatAddress(address)}`;
	const bad = (message: string): Close => ({ code: "bad-certificate", message });
	const [own = null, ...others] = chain;
	const authority = others.map(parse).find((one) => one !== null && fingerprintOf(one) === token.authorityFingerprint);
	if (!authority) return bad(`${node} does not belong to the cluster of the token. Nothing was sent to it.`);
	const judged = checkCertificate(own, { clusterId: token.clusterId, authorities: [authority] }, nowMs);
	return typeof judged === "string" ? bad(`${node} cannot be trusted. ${faultText(judged, own, nowMs)}`) : null;
}

function parse(der: Uint8Array): X509Certificate | null {
	try {
		return new X509Certificate(der);
	} catch {
		return null;
	}
}

type Question<Result> = {
	address: Address;
	csr: Uint8Array;
	options: JoinOptions;
	read: Read<Result>;
};

function ask<Result>({ connection }: Dialled, { address, csr, options, read }: Question<Result>): Promise<Result> {
	const { token, self, ownAddresses, facts, clock } = options;
	const limitMs = options.answerTimeoutMs ?? 60_000;
	return new Promise((resolve, reject) => {
		const settle = (result: Result | Error) => {
			timer.cancel();
			if (result instanceof Error) reject(result);
			else resolve(result);
			connection.end({ code: "closing", message: "Done." });
		};
		const timer = clock.schedule(limitMs, () => settle(new PeerError(silent(address, limitMs), true)));
		connection.handle(["joinAccepted"], {
			onFrame({ payload }) {
				try {
					settle(read(payload, connection));
				} catch (error) {
					settle(error as Error);
				}
			},
			onClose: (close) => settle(new PeerError(close.code === "unreachable" ? cutOffBy(address) : close, true)),
		});
		connection.send(
			"joinRequest",
			encoded(JoinRequestSchema, {
				tokenId: token.tokenId,
				secret: asBytes(token.secret),
				csr: asBytes(csr),
				nodeName: self.nodeName,
				addresses: ownAddresses.map(formatAddress),
				build: self.build,
				features: [...self.features],
				facts: asBytes(facts),
			}),
		);
	});
}

function acceptedIn(payload: Uint8Array) {
	const accepted = decoded(JoinAcceptedSchema, payload, (message) => message);
	if (accepted === null) throw new AppError("invalid", "The cluster's answer cannot be read.");
	return accepted;
}

function readAccepted(payload: Uint8Array, { token, keyPem, clock }: JoinOptions): Joined {
	const { nodeId, certificatePem, authoritiesPem, configuration } = acceptedIn(payload);
	const parts = { clusterId: token.clusterId, keyPem, certificatePem, authoritiesPem };
	const identity = makeIdentity(parts, clock.nowMs());
	if (identity.nodeId !== nodeId) throw new AppError("invalid", "The certificate is that of another node.");
	if (!identity.trust.authorities.some((authority) => fingerprintOf(authority) === token.authorityFingerprint))
		throw new AppError("invalid", "The cluster's answer does not name the authority of the token.");
	return { identity, configuration };
}
