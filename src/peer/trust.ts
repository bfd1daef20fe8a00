/**
 * Whether a certificate is one that our cluster's CA gave to a node, and to which. Pure. A certificate names its node and its
 * cluster as URIs, and nothing else (RFC 5280 4.2.1.6; urn:uuid of RFC 9562):
 *
 *   URI:urn:uuid:<node id>, URI:urn:limiquantix:cluster:<cluster id>
 *
 * During a change of the CA two are trusted. There is no revocation list: removed nodes are refused by their id, which
 * is never used again.
 */
import { X509Certificate } from "node:crypto";
import { isUuid } from "../lib/ids.ts";

export type Trust = { clusterId: string; authorities: readonly X509Certificate[] };

export type CertificateFault = "none" | "not-ours" | "not-valid-now" | "not-of-a-node" | "other-cluster";
export type NodeCertificate = { nodeId: string; clusterId: string; fingerprint: string; notAfterMs: number };

const namesPattern = /^URI:urn:uuid:([0-9a-f-]{36}), URI:urn:limiquantix:cluster:([0-9a-f-]{36})$/;
export const alternativeNames = (nodeId: string, clusterId: string): [string, string] => [
	`urn:uuid:${nodeId}`,
	`urn:limiquantix:cluster:${clusterId}`,
];

/** `der`: as the TLS connection has it, which has proven that the other side holds its key. */
export function checkCertificate(
	der: Uint8Array | null,
	trust: Trust,
	nowMs: number,
): NodeCertificate | CertificateFault {
	const certificate = der === null ? null : parse(der);
	if (certificate === null) return "none";
	const authority = trust.authorities.find((candidate) => isSignedBy(certificate, candidate));
	if (authority === undefined || certificate.ca) return "not-ours";
	if (!isValidAt(certificate, nowMs) || !isValidAt(authority, nowMs)) return "not-valid-now";
	const names = namesPattern.exec(certificate.subjectAltName ?? "");
	const [, nodeId = "", clusterId = ""] = names ?? [];
	if (!isUuid(nodeId) || !isUuid(clusterId)) return "not-of-a-node";
	if (clusterId !== trust.clusterId) return "other-cluster";
	return { nodeId, clusterId, fingerprint: fingerprintOf(certificate), notAfterMs: Date.parse(certificate.validTo) };
}

/** What a certificate says, which nobody has checked: good for words, not for decisions. Null when it names no node. */
export function claimsOf(der: Uint8Array | null): Pick<NodeCertificate, "nodeId" | "clusterId"> | null {
	const certificate = der === null ? null : parse(der);
	const [, nodeId = "", clusterId = ""] = namesPattern.exec(certificate?.subjectAltName ?? "") ?? [];
	return isUuid(nodeId) && isUuid(clusterId) ? { nodeId, clusterId } : null;
}

const faultTexts: Readonly<Record<CertificateFault, string>> = {
	none: "It shows no certificate.",
	"not-ours": "Its certificate is not from this cluster's authority.",
	"not-valid-now": "Its certificate is not valid now: it has ended, or one of the two clocks is wrong.",
	"not-of-a-node": "Its certificate does not name a node.",
	"other-cluster": "Its certificate is of another cluster.",
};

/** In words. `der`: the certificate that was judged; `nowMs`: when. */
export function faultText(fault: CertificateFault, der: Uint8Array | null, nowMs: number): string {
	const certificate = fault === "not-valid-now" && der !== null ? parse(der) : null;
	if (certificate === null) return faultTexts[fault];
	const day = (at: number | string) => new Date(at).toISOString().slice(0, 10);
	const { validFrom, validTo } = certificate;
	const clock = `by the clock of the node that looked it is ${new Date(nowMs).toISOString()}`;
	return `The certificate is good from ${day(validFrom)} to ${day(validTo)}, and ${clock}: one of the two clocks is wrong, or the certificate was not renewed.`;
}

function parse(der: Uint8Array): X509Certificate | null {
	try {
		return new X509Certificate(der);
	} catch {
		return null;
	}
}

export function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
	try {
		return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
	} catch {
		return false;
	}
}

const isValidAt = (certificate: X509Certificate, nowMs: number): boolean =>
	Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo);

/** SHA-256 of the DER form, 64 lower-case hex digits. */
export const fingerprintOf = (certificate: X509Certificate): string =>
	certificate.fingerprint256.replaceAll(":", "").toLowerCase();

/** The certificates of a PEM text, in its order; other blocks are passed over. Throws for a damaged one. */
export function certificatesOf(pem: string): X509Certificate[] {
	const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
	return blocks.map((block) => new X509Certificate(block));
}
