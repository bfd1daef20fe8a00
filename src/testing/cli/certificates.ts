/** Certificates for tests: the kind that a node makes for itself, and ones that an authority signed. */
import "reflect-metadata";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { fingerprintOf, loadOrMakeCertificate } from "../../api/tls.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";

export type TestCertificate = { cert: string; key: string; fingerprint: string };

/** As `limiquantix serve` makes it at its first start. */
export async function nodeCertificate(names: readonly string[] = []): Promise<TestCertificate> {
	const folder = mkdtempSync(join(tmpdir(), "lqx-tls-"));
	try {
		return await loadOrMakeCertificate({ folder, clock: systemClock, random: systemRandom, names });
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 86_400_000;

/** A certificate for 127.0.0.1 by an authority of its own; `expired` since yesterday. */
export async function signedCertificate(
	options: { selfSigned?: boolean; expired?: boolean; name?: string } = {},
): Promise<TestCertificate & { authority: string }> {
	x509.cryptoProvider.set(crypto);
	const notBefore = new Date(Date.now() - 10 * dayMs);
	const notAfter = new Date(Date.now() + (options.expired ? -1 : 10) * dayMs);
	const authorityKeys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
	const authority = await x509.X509CertificateGenerator.createSelfSigned({
		serialNumber: "01",
		name: "CN=Test authority",
		notBefore,
		notAfter: new Date(Date.now() + 10 * dayMs),
		signingAlgorithm: algorithm,
		keys: authorityKeys,
		extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
	});
	const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
	const extensions = [
		new x509.SubjectAlternativeNameExtension([
			options.name ? { type: "dns", value: options.name } : { type: "ip", value: "127.0.0.1" },
		]),
	];
	const common = { serialNumber: "02", notBefore, notAfter, signingAlgorithm: algorithm, extensions };
	const leaf = options.selfSigned
		? await x509.X509CertificateGenerator.createSelfSigned({ ...common, name: "CN=leaf", keys })
		: await x509.X509CertificateGenerator.create({
				...common,
				subject: "CN=leaf",
				issuer: authority.subject,
				publicKey: keys.publicKey,
				signingKey: authorityKeys.privateKey,
			});
	const cert = `${leaf.toString("pem")}\n`;
	const key = `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY")}\n`;
	return { cert, key, fingerprint: fingerprintOf(cert), authority: `${authority.toString("pem")}\n` };
}
