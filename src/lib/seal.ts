/**
 * Sealing of short secrets with AES-256-GCM: what is sealed is bound to its place (`context`), so that nothing sealed for one place opens in
 * another. "v1.KEYID.BASE64URL(nonce, ciphertext, tag)". NIST SP 800-38D: a random nonce of 96 bits, good for far more than the
 * few secrets of a cluster.
 */
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { AppError } from "./errors.ts";
import type { Random } from "./random.ts";

export const sealKeyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const form = /^v1\.([0-9a-f]{32})\.([A-Za-z0-9_-]{1,8000})$/;

/** Says which key it is, and nothing about it. */
export const sealKeyId = (key: Uint8Array): string =>
	createHash("sha256").update("limiquantix secrets key").update(key).digest("hex").slice(0, 32);

export function seal(text: string, context: string, key: Uint8Array, random: Random): string {
	const nonce = random.bytes(nonceBytes);
	const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
	cipher.setAAD(Buffer.from(context));
	const sealed = [nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()];
	return `v1.${sealKeyId(key)}.${Buffer.concat(sealed).toString("base64url")}`;
}

/** Id of the key that opens it; `corrupt` when it is not of this form. */
export function sealedWith(sealed: string): string {
	const id = form.exec(sealed)?.[1];
	if (id === undefined) throw new AppError("corrupt", "Sealed credentials are not of the form that they should have.");
	return id;
}

/** `corrupt` when it was changed, sealed for another place, or with another key. */
export function unseal(sealed: string, context: string, key: Uint8Array): string {
	const bytes = Buffer.from(form.exec(sealed)?.[2] ?? "", "base64url");
	try {
		const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
		decipher.setAAD(Buffer.from(context));
		decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
		const inner = bytes.subarray(nonceBytes, bytes.length - tagBytes);
		return Buffer.concat([decipher.update(inner), decipher.final()]).toString("utf8");
	} catch (cause) {
		throw new AppError("corrupt", "The credentials cannot be opened with the cluster's key.", { cause });
	}
}
