/**
 * Trust in a server's certificate. With a fingerprint, the certificate is looked at first, on a connection over which
 * nothing is sent, and compared; then it alone is trusted, and it is compared again on each connection that carries
 * something. (Bun calls `checkServerIdentity` only when verification is on, so `rejectUnauthorized: false` would accept
 * anybody.)
 */
import { connect, type PeerCertificate, rootCertificates } from "node:tls";
import { type Clock, delay } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";

/** What `fetch` and `ws` take as their TLS settings. */
export type TlsTrust = {
	ca?: string[];
	checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
};
export type SeenCertificate = { fingerprint: string; pem: string; selfSigned: boolean };

const lookLimitMs = 10_000;

/** "ab12…" → "AB:12:…", as openssl and browsers show it. */
export const formatFingerprint = (digits: string): string =>
	(digits.match(/../g) ?? []).map((pair) => pair.toUpperCase()).join(":");

const normalized = (fingerprint: string): string => fingerprint.replaceAll(":", "").toLowerCase();

/** The certificate that the server shows, not verified. Fails with `unavailable`. */
export async function lookAtCertificate(url: string, clock: Clock): Promise<SeenCertificate> {
	const { hostname, port } = new URL(url);
	const host = hostname.replace(/^\[|\]$/g, "");
	const done = new AbortController();
	const looked = new Promise<SeenCertificate>((resolve, reject) => {
		const socket = connect({
			host,
			port: Number(port || 443),
			rejectUnauthorized: false,
			...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
		});
		done.signal.addEventListener("abort", () => socket.destroy());
		socket.once("error", (error) => reject(unreachable(url, error)));
		socket.once("close", () => reject(unreachable(url, new Error("the connection was closed"))));
		socket.once("secureConnect", () => {
			const certificate = socket.getPeerCertificate();
			if (!certificate?.raw) reject(unreachable(url, new Error("it showed no certificate")));
			else resolve(seen(certificate));
		});
	});
	// Whoever loses the race must not become an unhandled rejection.
	looked.catch(() => {});
	try {
		return await Promise.race([
			looked,
			delay(clock, lookLimitMs, done.signal).then(() => {
				throw unreachable(url, new Error("it did not answer in time"));
			}),
		]);
	} finally {
		done.abort();
	}
}

function seen(certificate: PeerCertificate): SeenCertificate {
	const base64 = Buffer.from(certificate.raw).toString("base64");
	const lines = base64.match(/.{1,64}/g) ?? [];
	return {
		fingerprint: normalized(certificate.fingerprint256),
		pem: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
		selfSigned: JSON.stringify(certificate.subject) === JSON.stringify(certificate.issuer),
	};
}

/**
 * Trust in the one certificate with this fingerprint. A self-signed one becomes the only authority, so its dates and
 * signature count, and its names do not. Fails with `forbidden` when the server shows another.
 */
export async function pinnedTrust(
	url: string,
	fingerprint: string,
	authorities: string | null,
	clock: Clock,
): Promise<TlsTrust> {
	const shown = await lookAtCertificate(url, clock);
	if (shown.fingerprint !== fingerprint) throw wrongCertificate(url, shown.fingerprint);
	const others = authorities === null ? rootCertificates : [authorities];
	return {
		ca: shown.selfSigned ? [shown.pem] : [...others],
		checkServerIdentity: (_host, certificate) => {
			const now = normalized(certificate.fingerprint256 ?? "");
			return now === fingerprint ? undefined : wrongCertificate(url, now);
		},
	};
}

const wrongCertificate = (url: string, seenFingerprint: string): AppError =>
	new AppError(
		"forbidden",
		`${url} shows another certificate than the one expected: its fingerprint is ${formatFingerprint(seenFingerprint)}. Nothing was sent to it.`,
	);

export const unreachable = (where: string, error: Error): AppError =>
	new AppError("unavailable", `${where} cannot be reached: ${error.message}`, { cause: error });

/** Codes by which Bun says that a certificate was not accepted. */
const certificateCodes =
	/^(CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|UNHANDLED_CRITICAL)/;
export const isCertificateError = (error: unknown): boolean =>
	error instanceof Error && "code" in error && typeof error.code === "string" && certificateCodes.test(error.code);

/** Why a certificate that nobody vouches for was refused, with the fingerprint to compare and pin. */
export async function refusedCertificate(url: string, error: unknown, clock: Clock): Promise<AppError> {
	const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
	const shown = await lookAtCertificate(url, clock).catch(() => null);
	if (shown === null) return new AppError("forbidden", `The certificate of ${url} is not trusted (${reason}).`);
	const fingerprint = formatFingerprint(shown.fingerprint);
	const why = shown.selfSigned ? "it is signed by itself" : reason;
	return new AppError(
		"forbidden",
		`The certificate of ${url} is not trusted: ${why}. Nothing was sent. Its SHA-256 fingerprint is ${fingerprint}.`,
		{
			cause: error,
			context: {
				fingerprint: shown.fingerprint,
				hint: [
					"Compare it with the node's own, which it prints when it starts, or on the node:",
					"  openssl x509 -noout -fingerprint -sha256 -in /var/lib/limiquantix/tls/cert.pem",
					`When they are the same, add --fingerprint ${fingerprint}`,
				].join("\n"),
			},
		},
	);
}
