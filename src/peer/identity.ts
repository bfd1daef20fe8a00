/**
 * Who this node is to the others: its key, its certificate, and the authorities that it trusts, in one file of mode 0600 (PEM:
 * key, certificate, authorities). One file, so that a power cut never leaves a key and a certificate that do not belong
 * together. A second one, with the key only, is kept while a join is under way, so that a repeated one has the same key.
 */
import { createPrivateKey, type X509Certificate } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "../lib/errors.ts";
import { makeNodeKey, nodeLifetimeMs, renewAfterMs } from "./ca.ts";
import { certificatesOf, checkCertificate, faultText, fingerprintOf, isSignedBy, type Trust } from "./trust.ts";

export type Identity = {
	readonly nodeId: string;
	readonly clusterId: string;
	readonly keyPem: string;
	/** The node's certificate and then its authority's: what it shows to others. */
	readonly chainPem: string;
	/** All authorities that are trusted. */
	readonly authoritiesPem: string;
	readonly trust: Trust;
	/** SHA-256, hex. */
	readonly fingerprint: string;
	/** Of the authority that signed it: what a join token carries. */
	readonly authorityFingerprint: string;
	readonly notBeforeMs: number;
	readonly notAfterMs: number;
};

export type IdentityParts = { clusterId: string; keyPem: string; certificatePem: string; authoritiesPem: string };

/** Throws `invalid` when the parts do not belong together, with the reason. `nowMs` null: dates are not looked at. */
export function makeIdentity(parts: IdentityParts, nowMs: number | null): Identity {
	const { clusterId, keyPem, certificatePem, authoritiesPem } = parts;
	const authorities = readCertificates(authoritiesPem);
	const [certificate] = readCertificates(certificatePem);
	if (certificate === undefined || authorities.length === 0)
		throw new AppError("invalid", "The identity of the node lacks a certificate.");
	if (!certificate.checkPrivateKey(readKey(keyPem)))
		throw new AppError("invalid", "The key is not that of the node's certificate.");
	const trust = { clusterId, authorities };
	const atMs = nowMs ?? Date.parse(certificate.validFrom);
	const checked = checkCertificate(certificate.raw, trust, atMs);
	if (typeof checked === "string")
		throw new AppError(
			"invalid",
			`The node's own certificate cannot be used. ${faultText(checked, certificate.raw, atMs)}`,
		);
	const issuer = authorities.find((authority) => isSignedBy(certificate, authority)) as X509Certificate;
	return Object.freeze({
		nodeId: checked.nodeId,
		clusterId,
		keyPem,
		chainPem: `${certificate.toString()}${issuer.toString()}`,
		authoritiesPem: authorities.map(String).join(""),
		trust,
		fingerprint: checked.fingerprint,
		authorityFingerprint: fingerprintOf(issuer),
		notBeforeMs: Date.parse(certificate.validFrom),
		notAfterMs: checked.notAfterMs,
	});
}

/** When to ask for a new certificate. Spread by `ratio` (0 to 1) over a month, so that not all nodes ask at once. */
export function renewalDueMs(identity: Identity, ratio: number): number {
	const madeMs = identity.notAfterMs - nodeLifetimeMs;
	return madeMs + renewAfterMs - ratio * 30 * 86_400_000;
}

/** Null when there is none. Throws `corrupt`. An expired one is loaded: others will refuse it and say so. */
export async function loadIdentity(path: string): Promise<Identity | null> {
	const text = await readIfThere(path);
	if (text === null) return null;
	try {
		const [certificate, ...authorities] = readCertificates(text);
		if (certificate === undefined) throw new Error("without a certificate");
		const clusterId = /URI:urn:limiquantix:cluster:([0-9a-f-]{36})$/.exec(certificate.subjectAltName ?? "")?.[1] ?? "";
		const authoritiesPem = authorities.map(String).join("");
		const keyPem = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----\n/.exec(text)?.[0] ?? "";
		return makeIdentity({ clusterId, keyPem, certificatePem: certificate.toString(), authoritiesPem }, null);
	} catch (cause) {
		const message = `The file of this node's identity cannot be read: ${path}. Put it back from a backup, or join the cluster again.`;
		throw new AppError("corrupt", message, { cause });
	}
}

export async function saveIdentity(path: string, identity: Identity): Promise<void> {
	const [certificate] = certificatesOf(identity.chainPem);
	await writeSecret(path, `${identity.keyPem}${certificate?.toString()}${identity.authoritiesPem}`);
}

/** The key of a join that may be repeated. */
export async function loadOrMakeKey(path: string): Promise<string> {
	const text = await readIfThere(path);
	if (text !== null) {
		try {
			readKey(text);
			return text;
		} catch {
			// Nobody has a certificate for a key that cannot be read.
		}
	}
	const keyPem = await makeNodeKey();
	await writeSecret(path, keyPem);
	return keyPem;
}

/** Whole or not at all, durably, never readable by others: also used for the key of the CA. */
export async function writeSecret(path: string, text: string): Promise<void> {
	await mkdir(dirname(path), { recursive: true, mode: 0o700 });
	const temporary = `${path}.new`;
	// Gone first: one that others can open keeps its mode when it is opened again.
	await rm(temporary, { force: true });
	const file = await open(temporary, "wx", 0o600);
	try {
		await file.writeFile(text);
		await file.sync();
	} finally {
		await file.close();
	}
	await rename(temporary, path);
	const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
	try {
		await folder.sync();
	} finally {
		await folder.close();
	}
}

async function readIfThere(path: string): Promise<string | null> {
	try {
		return await readFile(path, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
}

function readCertificates(pem: string): X509Certificate[] {
	try {
		return certificatesOf(pem);
	} catch (cause) {
		throw new AppError("invalid", "A certificate cannot be read.", { cause });
	}
}

function readKey(pem: string) {
	try {
		return createPrivateKey(pem);
	} catch (cause) {
		throw new AppError("invalid", "The node's key cannot be read.", { cause });
	}
}
