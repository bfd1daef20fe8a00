/**
 * The certificate of UI and API: `D/tls/cert.pem` and `key.pem` (mode 0600). At the first start one is made and signed
 * by itself (ECDSA P-256, for the names and addresses of this host); an administrator may put another in its place,
 * which is then left alone. One of our own is renewed when less than 30 days are left, or when it is not valid yet. Its
 * SHA-256 fingerprint is what the start banner shows and the command line pins (`--fingerprint`).
 *
 * People have accepted that fingerprint, so a wrong clock must not take it away for good: with a clock that is surely
 * behind, nothing is renewed; and a pair that is replaced stays beside (`*.previous`) and is taken up again when the
 * new one turns out to be the one that is out of its time.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { syncFolder, writeSecretDurably } from "../lib/durable-file.ts";
import { AppError } from "../lib/errors.ts";
import { type Random, randomHex } from "../lib/random.ts";

const dayMs = 86_400_000;
/** What browsers accept at most of a certificate that was added by hand. */
const lifetimeMs = 825 * dayMs;
const renewBeforeMs = 30 * dayMs;
/** Marks certificates that are ours to renew. */
const organization = "LimiQuantix node";
const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export type TlsFiles = {
	cert: string;
	key: string;
	/** SHA-256 of the first certificate, as AA:BB:… */
	fingerprint: string;
	selfSigned: boolean;
	notAfterMs: number;
	/** True when this call made or renewed it. */
	made: boolean;
};

export type TlsOptions = {
	folder: string;
	clock: Clock;
	random: Random;
	/** Names and addresses beside localhost; default: those of this host. */
	names?: readonly string[];
	/** It is later than this, whatever the clock says; default: when this program was made. */
	notBeforeMs?: number;
};

/** The certificate to serve with: the one that is there, or a new one. `corrupt` when what is there cannot be used. */
export async function loadOrMakeCertificate(options: TlsOptions): Promise<TlsFiles> {
	const current = pairIn(options.folder, "");
	if (existsSync(current.cert)) {
		const present = readPair(current);
		if (!present.files.selfSigned || fits(present, options)) return present.files;
		const previous = usablePrevious(options);
		if (previous !== null) {
			writePair(current, previous);
			return previous;
		}
		if (present.matches) writePair(pairIn(options.folder, previousSuffix), present.files);
	} else if (existsSync(current.key)) {
		// Perhaps somebody's: out of the way, but not lost.
		renameSync(current.key, `${current.key}.unused`);
	}
	const made = await selfSigned(options);
	mkdirSync(options.folder, { recursive: true, mode: 0o700 });
	syncFolder(dirname(options.folder));
	writePair(current, made);
	return { ...readPair(current).files, made: true };
}

type PairPaths = { cert: string; key: string };
const previousSuffix = ".previous";
const pairIn = (folder: string, suffix: string): PairPaths => ({
	cert: join(folder, `cert.pem${suffix}`),
	key: join(folder, `key.pem${suffix}`),
});

type Present = { files: TlsFiles; notBeforeMs: number; matches: boolean };

/** Whether this certificate of our own can go on being used. */
function fits({ files, matches, notBeforeMs }: Present, options: TlsOptions): boolean {
	const nowMs = options.clock.nowMs();
	if (nowMs < (options.notBeforeMs ?? programMadeMs()) - dayMs) return matches;
	// Made while the clock was ahead, it is good for nobody until then.
	return matches && notBeforeMs <= nowMs && files.notAfterMs - nowMs >= renewBeforeMs;
}

/** A clock that says less is behind. Of a program run from its sources this is the runtime's date, which says little. */
const programMadeMs = (): number => statSync(process.execPath).mtimeMs;

/** The pair that was replaced last, if its time has come again. */
function usablePrevious(options: TlsOptions): TlsFiles | null {
	const paths = pairIn(options.folder, previousSuffix);
	if (!existsSync(paths.cert)) return null;
	try {
		const previous = readPair(paths);
		return previous.files.selfSigned && fits(previous, options) ? previous.files : null;
	} catch {
		// It was only kept for this; a new one does as well.
		return null;
	}
}

function readPair(paths: PairPaths): Present {
	try {
		const cert = readFileSync(paths.cert, "utf8");
		const key = readFileSync(paths.key, "utf8");
		const leaf = new X509Certificate(firstPem(cert));
		const own = leaf.subject.includes(`O=${organization}`) && leaf.subject === leaf.issuer;
		const notBeforeMs = Date.parse(leaf.validFrom);
		const notAfterMs = Date.parse(leaf.validTo);
		const matches = leaf.checkPrivateKey(createPrivateKey(key));
		if (!own && !matches) throw new Error("the key is not that of the certificate");
		const files = { cert, key, fingerprint: leaf.fingerprint256, selfSigned: own, notAfterMs, made: false };
		return { files, notBeforeMs, matches };
	} catch (cause) {
		const message = `The TLS certificate cannot be read: ${paths.cert} and ${paths.key} must be PEM files that belong together. Remove both to get a new one.`;
		throw new AppError("corrupt", message, { cause });
	}
}

/**
 * A crash between the two leaves a pair that does not match, of our own making: made anew at the next start. Durable, or a
 * power cut would leave empty files, which are nobody's and stop the start.
 */
function writePair(paths: PairPaths, { cert, key }: { cert: string; key: string }): void {
	writeSecretDurably(paths.key, key);
	writeSecretDurably(paths.cert, cert);
}

/** Loaded only when a certificate is made: it is large, and starting a node is not the time for it. */
async function loadX509(): Promise<typeof import("@peculiar/x509")> {
	await import("reflect-metadata");
	return import("@peculiar/x509");
}

async function selfSigned({ clock, random, names }: TlsOptions): Promise<{ cert: string; key: string }> {
	const x509 = await loadX509();
	x509.cryptoProvider.set(crypto);
	const keys = await crypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
	const alternatives = [...new Set(["localhost", "127.0.0.1", "::1", ...(names ?? hostNames())])];
	const name = new x509.Name([{ CN: [hostname().slice(0, 64)], O: [organization] }]);
	const nowMs = clock.nowMs();
	const certificate = await x509.X509CertificateGenerator.createSelfSigned({
		// Positive, and 127 bits that nobody can guess.
		serialNumber: `4${randomHex(random, 16).slice(1)}`,
		name: name.toString(),
		// A day back, for clients whose clock is behind.
		notBefore: new Date(nowMs - dayMs),
		notAfter: new Date(nowMs - dayMs + lifetimeMs),
		signingAlgorithm: keyAlgorithm,
		keys,
		extensions: [
			new x509.BasicConstraintsExtension(false, undefined, true),
			new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
			new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
			new x509.SubjectAlternativeNameExtension(
				alternatives.map((value) => ({ type: isIP(value) ? "ip" : "dns", value }) as const),
			),
			await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
		],
	});
	const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
	return { cert: `${certificate.toString("pem")}\n`, key: `${key}\n` };
}

/** The host's name and its addresses, without link-local ones (they mean nothing without an interface). */
function hostNames(): string[] {
	const addresses = Object.values(networkInterfaces())
		.flatMap((list) => list ?? [])
		.filter(({ internal, address }) => !internal && !address.startsWith("fe80:") && !address.startsWith("169.254."))
		.map(({ address }) => address);
	const name = hostname();
	return [...(/^[A-Za-z0-9.-]{1,253}$/.test(name) ? [name] : []), ...addresses];
}

const firstPem = (text: string): string =>
	/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(text)?.[0] ?? "";

/** SHA-256 over the DER form of the first certificate, as AA:BB:…; what `openssl x509 -fingerprint -sha256` prints. */
export function fingerprintOf(certPem: string): string {
	return new X509Certificate(firstPem(certPem)).fingerprint256;
}
