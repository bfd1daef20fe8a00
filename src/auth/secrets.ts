/**
 * Secrets of sessions and tokens: 32 random bytes behind a prefix that says which of the two it is, so that a leaked
 * one is recognised. Only the SHA-256 of the whole text is stored: with 256 random bits there is nothing to guess, so
 * a slow hash would add cost and no safety.
 */
import { createHash } from "node:crypto";
import { type Random, randomSecret } from "../lib/random.ts";
import type { Credential } from "./identity.ts";

const prefixes = { session: "lqs_", token: "lqx_" } as const;
const form = /^lq[sx]_[A-Za-z0-9_-]{43}$/;

export type NewSecret = { secret: string; secretHash: string };

export function newSecret(kind: Credential["kind"], random: Random): NewSecret {
	const secret = `${prefixes[kind]}${randomSecret(random)}`;
	return { secret, secretHash: hashSecret(secret) };
}

/** Hexadecimal SHA-256. */
export const hashSecret = (secret: string): string => createHash("sha256").update(secret).digest("hex");

/** What the text could be a secret of, by its form alone; null when it is none. */
export function secretKind(text: string): Credential["kind"] | null {
	if (!form.test(text)) return null;
	return text.startsWith(prefixes.session) ? "session" : "token";
}
