/**
 * What a request asks for, as one number: tells a repeated request from another one with the same Idempotency-Key. It
 * depends neither on the order of members or query parameters nor on white space (the canonical form: members sorted
 * by name, as in RFC 8785).
 *
 * The hash is replicated and kept, and hashes of this kind are quick to guess from: passwords and all other credentials are left out of
 * it. Two requests that differ in nothing else are the same one.
 */
import { createHash } from "node:crypto";

/** Names of members whose values are secret: in `model/`, what is marked "Never returned" is below one of these. */
const secretName = /password|passphrase|secret|credential|cephKey/i;

/** `body` is parsed JSON, undefined for none. Hexadecimal SHA-256. */
export function requestHash(method: string, url: URL, body: unknown): string {
	const query = [...url.searchParams].map(([name, value]) => `${name}=${value}`).sort();
	const asked = [method, url.pathname, query, canonical(body ?? null)];
	return createHash("sha256").update(JSON.stringify(asked)).digest("hex");
}

function canonical(value: unknown): unknown {
	if (Array.isArray(value)) return value.map(canonical);
	if (value === null || typeof value !== "object") return value;
	// Pairs, not an object: members with numbers for names would be sorted by the engine's own order.
	return {
		members: Object.entries(value)
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([name, member]) => [name, secretName.test(name) ? null : canonical(member)]),
	};
}
