/**
 * The id that a node is admitted with: a UUID version 7 like all others, whose random part is taken from the fingerprint of the
 * key that the node came with. So a join that was cut off before the node had its certificate is recognized when it is
 * done again, with whatever token: tokens know the fingerprint, too, but are deleted when they are over.
 *
 * The time keeps ids apart: who comes with the key of one that has left is a new node, under a new id.
 */
import { idAt } from "../lib/ids.ts";

/** `keyFingerprint`: SHA-256 of the public key, in hex. */
export const memberIdFor = (keyFingerprint: string, nowMs: number): string =>
	idAt(nowMs, Buffer.from(keyFingerprint, "hex").subarray(0, 16));

/** Was it made for this key? By 74 bits of the fingerprint. */
export const isMemberIdFor = (keyFingerprint: string, id: string): boolean =>
	id.slice(timeLength) === memberIdFor(keyFingerprint, 0).slice(timeLength);

/** Of the part of an id that is the time: 48 bits in hex, with a dash. */
const timeLength = 13;
