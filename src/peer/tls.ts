/**
 * TLS 1.3 between nodes, with certificates on both sides. The certificate of the other side is taken here, and judged by
 * trust.ts on both sides, so that a reason can be given; TLS itself has proven by then that it holds the key.
 *
 * The server side wraps each accepted TCP connection by itself, with the identity that is current then: a new certificate
 * needs no second listener. (In Bun 1.4 a listening TLS server keeps its certificate for ever.)
 */
import type { Socket } from "node:net";
import { connect, createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { Address } from "./address.ts";
import type { Identity } from "./identity.ts";
import { type CertificateFault, checkCertificate, type NodeCertificate, type Trust } from "./trust.ts";

const minVersion = "TLSv1.3";
const contexts = new WeakMap<Identity, SecureContext>();

function contextOf(identity: Identity): SecureContext {
	const known = contexts.get(identity);
	if (known !== undefined) return known;
	const { chainPem, keyPem, authoritiesPem } = identity;
	const context = createSecureContext({ cert: chainPem, key: keyPem, ca: authoritiesPem, minVersion });
	contexts.set(identity, context);
	return context;
}

/** `onSecure` when the handshake is over; errors come as events of the socket. */
export function acceptTls(raw: Socket, identity: Identity, onSecure: () => void): TLSSocket {
	const socket = new TLSSocket(raw, {
		isServer: true,
		secureContext: contextOf(identity),
		requestCert: true,
		// Whoever joins has none yet. Judged when the hello says what for.
		rejectUnauthorized: false,
	});
	socket.once("secure", onSecure);
	return socket;
}

/** Without an identity: a node that joins. */
export function connectTls({ host, port }: Address, identity: Identity | null, onSecure: () => void): TLSSocket {
	const socket = connect({
		host,
		port,
		minVersion,
		// Names are not checked, node ids are; and whoever joins has no CA to check with. Judged in `onSecure`.
		rejectUnauthorized: false,
		checkServerIdentity: () => undefined,
		...(identity === null
			? {}
			: { cert: identity.chainPem, key: identity.keyPem, ca: identity.authoritiesPem.match(pemBlock) ?? [] }),
	});
	socket.once("secureConnect", onSecure);
	return socket;
}
const pemBlock = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/g;

/** What the other side has proven to be. TLS and trust.ts both have to agree to it. */
export function judgeCertificate(socket: TLSSocket, trust: Trust, nowMs: number): NodeCertificate | CertificateFault {
	const judged = checkCertificate(shownChain(socket)[0] ?? null, trust, nowMs);
	return typeof judged === "string" || socket.authorized ? judged : "not-ours";
}

/** DER of the other side's certificate and of those that it was signed with; null when it showed none, or an old TLS. */
export function shownChain(socket: TLSSocket): Uint8Array[] {
	const chain: Uint8Array[] = [];
	if (socket.getProtocol() !== minVersion) return chain;
	type Shown = { raw?: Uint8Array; issuerCertificate?: Shown };
	let next: Shown | undefined = socket.getPeerCertificate(true) as Shown | undefined;
	while (next?.raw !== undefined && chain.length < 4) {
		chain.push(next.raw);
		next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
	}
	return chain;
}
