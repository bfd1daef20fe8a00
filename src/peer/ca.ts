/**
 * The cluster's own certificate authority, and what nodes ask of it: ECDSA P-256, X.509 v3 (RFC 5280), PKCS #10 (RFC 2986).
 *
 * The CA is made at `cluster init`. What ends trust is the removal of a node, not a date: so certificates last longer than a cluster
 * is ever switched off, and a clock that is wrong when one is made makes none that is no good when it is right. They begin with
 * their authority, which begins before any clock, and end no sooner than what is known to be past allows. A node's
 * certificate is renewed a year after it was made (identity.ts), two years before it ends.
 *
 * The caller keeps the key of the CA secret; who holds it can make members.
 */
import { createHash, X509Certificate } from "node:crypto";
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { type Random, randomHex } from "../lib/random.ts";
import { alternativeNames, isSignedBy } from "./trust.ts";

const yearMs = 365 * 86_400_000;
/** No clock is right that says less: this program was not there yet. */
const notBeforeThisMs = Date.UTC(2026, 0, 1);
const authorityLifetimeMs = 25 * yearMs;
export const nodeLifetimeMs = 3 * yearMs;
export const renewAfterMs = yearMs;
const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
export const maxRequestBytes = 4096;

export type Authority = { certificatePem: string; keyPem: string };
export type Maker = { clock: Clock; random: Random };

/** Loaded only when a certificate is made: it is large, and a start is not the time for it. */
async function loadX509(): Promise<typeof import("@peculiar/x509")> {
	await import("reflect-metadata");
	const x509 = await import("@peculiar/x509");
	x509.cryptoProvider.set(crypto);
	return x509;
}

export async function makeAuthority({ clock, random }: Maker): Promise<Authority> {
	const x509 = await loadX509();
	const keys = await crypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
	const nowMs = Math.max(clock.nowMs(), notBeforeThisMs);
	// A name of its own: two of them are trusted while one replaces the other.
	const name = new x509.Name([{ CN: [`LimiQuantix cluster CA ${randomHex(random, 4)}`] }]);
	const certificate = await x509.X509CertificateGenerator.createSelfSigned({
		serialNumber: serial(random),
		name: name.toString(),
		notBefore: new Date(0),
		notAfter: new Date(nowMs + authorityLifetimeMs),
		signingAlgorithm: keyAlgorithm,
		keys,
		extensions: [
			new x509.BasicConstraintsExtension(true, 0, true),
			new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
			await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
		],
	});
	return { certificatePem: `${certificate.toString("pem")}\n`, keyPem: await exportKey(keys.privateKey) };
}

/** A new key for a node. It never leaves the node. */
export async function makeNodeKey(): Promise<string> {
	const keys = await crypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
	return exportKey(keys.privateKey);
}

/** What a node sends to have its key certified (DER); signed with that key. */
export async function makeRequest(keyPem: string): Promise<Uint8Array> {
	const x509 = await loadX509();
	const keys = await importKey(keyPem);
	const request = await x509.Pkcs10CertificateRequestGenerator.create({
		name: "CN=LimiQuantix node",
		keys,
		signingAlgorithm: keyAlgorithm,
	});
	return new Uint8Array(request.rawData);
}

export type CheckedRequest = {
	/** DER, SubjectPublicKeyInfo. */
	publicKey: Uint8Array;
	/** SHA-256 of it, hex: who asks, before there is a certificate. */
	keyFingerprint: string;
};

/** Only the key is taken from a request; what else it says counts for nothing. Throws `invalid`. */
export async function checkRequest(csr: Uint8Array): Promise<CheckedRequest> {
	const x509 = await loadX509();
	try {
		if (csr.length > maxRequestBytes) throw new Error("too large");
		const request = new x509.Pkcs10CertificateRequest(new Uint8Array(csr));
		if (!(await request.verify())) throw new Error("not signed with its key");
		const publicKey = new Uint8Array(request.publicKey.rawData);
		// Fails for any other kind of key.
		await crypto.subtle.importKey("spki", publicKey, keyAlgorithm, true, ["verify"]);
		return { publicKey, keyFingerprint: sha256Hex(publicKey) };
	} catch (cause) {
		throw new AppError("invalid", "The certificate request is not one of a node (PKCS #10 with an ECDSA P-256 key).", {
			cause,
		});
	}
}

export type SignRequest = {
	csr: Uint8Array;
	nodeId: string;
	clusterId: string;
	/** A time that is known to be past, whatever the clock says. */
	pastMs?: number;
};

/** When a certificate made now would end, if its authority does not end sooner. */
export const endsMs = (nowMs: number, pastMs = 0): number => Math.max(nowMs, pastMs, notBeforeThisMs) + nodeLifetimeMs;

/** The certificate (PEM) of a node for the key of `csr`. Throws `invalid` for a bad request. */
export async function signNode(authority: Authority, request: SignRequest, { clock, random }: Maker): Promise<string> {
	const { csr, nodeId, clusterId, pastMs } = request;
	assert(isUuid(nodeId) && isUuid(clusterId), "nodes and clusters are named by UUIDs");
	const { publicKey } = await checkRequest(csr);
	const x509 = await loadX509();
	const issuer = new x509.X509Certificate(authority.certificatePem);
	const { privateKey } = await importKey(authority.keyPem);
	const certificate = await x509.X509CertificateGenerator.create({
		serialNumber: serial(random),
		subject: `CN=${nodeId}`,
		issuer: issuer.subject,
		notBefore: issuer.notBefore,
		notAfter: new Date(Math.min(endsMs(clock.nowMs(), pastMs), issuer.notAfter.getTime())),
		signingAlgorithm: keyAlgorithm,
		publicKey: await crypto.subtle.importKey("spki", new Uint8Array(publicKey), keyAlgorithm, true, ["verify"]),
		signingKey: privateKey,
		extensions: [
			new x509.BasicConstraintsExtension(false, undefined, true),
			new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
			new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
			new x509.SubjectAlternativeNameExtension(
				alternativeNames(nodeId, clusterId).map((value) => ({ type: "url", value }) as const),
			),
			await x509.AuthorityKeyIdentifierExtension.create(issuer),
		],
	});
	const pem = `${certificate.toString("pem")}\n`;
	const own = isSignedBy(new X509Certificate(pem), new X509Certificate(authority.certificatePem));
	assert(own, "the key of the CA belongs to its certificate");
	return pem;
}

/** Positive, and 127 bits that nobody can guess. */
const serial = (random: Random): string => `4${randomHex(random, 16).slice(1)}`;

export const sha256Hex = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

async function exportKey(key: CryptoKey): Promise<string> {
	const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", key)).toString("base64");
	return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}(?=.)/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
}

async function importKey(pem: string): Promise<CryptoKeyPair> {
	const der = Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ""), "base64");
	const privateKey = await crypto.subtle.importKey("pkcs8", new Uint8Array(der), keyAlgorithm, true, ["sign"]);
	const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", privateKey);
	assert(kty && crv && x && y, "a P-256 key has a public half");
	const publicKey = await crypto.subtle.importKey("jwk", { kty, crv, x, y }, keyAlgorithm, true, ["verify"]);
	return { privateKey, publicKey };
}
