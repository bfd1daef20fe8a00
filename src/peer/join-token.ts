/**
 * A join token: one word that an administrator carries from a member to a new node.
 *
 *   lqxjoin1_<base64url of: JoinToken (proto/peer.proto), first 4 bytes of its SHA-256>
 *
 * The "1" is the version; the check sum tells a word that was cut or mistyped from one that is not good any more. It holds
 * a secret of 256 bits, of which the cluster keeps the hash only, and the fingerprint of the cluster's CA, so that the new node
 * knows whom it talks to.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { JoinTokenSchema } from "../gen/peer_pb.ts";
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import type { Random } from "../lib/random.ts";
import { type Address, formatAddress, parseAddress } from "./address.ts";
import { sha256Hex } from "./ca.ts";
import { asBytes } from "./requests.ts";
import { decoded, encoded } from "./wire.ts";

export type JoinToken = {
	tokenId: string;
	secret: Uint8Array;
	/** SHA-256 of the CA's certificate, hex. */
	authorityFingerprint: string;
	clusterId: string;
	/** Of members. */
	addresses: Address[];
};

const prefix = "lqxjoin1_";
const checkBytes = 4;
export const secretBytes = 32;
const maxTokenLength = 4096;
const maxAddresses = 16;

export const newSecret = (random: Random): Uint8Array => random.bytes(secretBytes);

/** What the cluster keeps of a secret. It has 256 bits by itself: there is nothing to guess, so a plain hash will do. */
export const hashSecret = (secret: Uint8Array): string => sha256Hex(secret);

/** In the same time, wherever they differ. */
export function secretMatches(secret: Uint8Array, hash: string): boolean {
	const given = Buffer.from(hashSecret(secret));
	const kept = Buffer.from(hash);
	return given.length === kept.length && timingSafeEqual(given, kept);
}

export function formatToken({ tokenId, secret, authorityFingerprint, clusterId, addresses }: JoinToken): string {
	const body = encoded(JoinTokenSchema, {
		tokenId,
		secret: asBytes(secret),
		authorityFingerprint: new Uint8Array(Buffer.from(authorityFingerprint, "hex")),
		clusterId,
		addresses: addresses.slice(0, maxAddresses).map(formatAddress),
	});
	return `${prefix}${Buffer.concat([body, check(body)]).toString("base64url")}`;
}

/** Throws `invalid`, with a text that never repeats the token. White space that came along is forgiven. */
export function parseToken(text: string): JoinToken {
	const word = text.trim();
	if (!word.startsWith("lqxjoin") || word.length > maxTokenLength)
		throw new AppError(
			"invalid",
			"This is not a join token. `limiquantix cluster token create` on a member makes one.",
		);
	if (!word.startsWith(prefix))
		throw new AppError("invalid", "This join token is of another version of LimiQuantix. Install the same one here.");
	const rest = word.slice(prefix.length);
	const bytes = new Uint8Array(Buffer.from(rest, "base64url"));
	const body = bytes.subarray(0, -checkBytes);
	// Written back it is the same: the last character may have bits that say nothing, and a typing error may be in them.
	const whole = Buffer.from(bytes).toString("base64url") === rest && check(body).equals(bytes.subarray(-checkBytes));
	const token = whole ? readToken(body) : null;
	if (token === null) throw new AppError("invalid", "The join token is incomplete or was changed. Copy all of it.");
	return token;
}

const readToken = (body: Uint8Array): JoinToken | null =>
	decoded(JoinTokenSchema, body, ({ tokenId, secret, authorityFingerprint, clusterId, addresses }) => {
		if (!isUuid(tokenId) || !isUuid(clusterId) || secret.length !== secretBytes) throw new Error("not a token");
		if (authorityFingerprint.length !== 32 || addresses.length > maxAddresses) throw new Error("not a token");
		return {
			tokenId,
			secret,
			authorityFingerprint: Buffer.from(authorityFingerprint).toString("hex"),
			clusterId,
			addresses: addresses.map(parseAddress).filter((address) => address !== null),
		};
	});

const check = (body: Uint8Array): Buffer => createHash("sha256").update(body).digest().subarray(0, checkBytes);
