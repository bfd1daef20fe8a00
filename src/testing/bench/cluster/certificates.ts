/** One authority and one certificate for all members of an etcd: for clients and peers, by address. */
import "reflect-metadata";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 86_400_000;

export type CertificateFiles = { authority: string; certificate: string; key: string };

export async function writeCertificates(folder: string, addresses: readonly string[]): Promise<CertificateFiles> {
	x509.cryptoProvider.set(crypto);
	const validity = { notBefore: new Date(Date.now() - dayMs), notAfter: new Date(Date.now() + 30 * dayMs) };
	const authorityKeys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
	const authority = await x509.X509CertificateGenerator.createSelfSigned({
		...{ ...validity, serialNumber: "01", name: "CN=Benchmark authority", signingAlgorithm: algorithm },
		keys: authorityKeys,
		extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
	});
	const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
	const leaf = await x509.X509CertificateGenerator.create({
		...{
			...validity,
			serialNumber: "02",
			subject: "CN=member",
			issuer: authority.subject,
			signingAlgorithm: algorithm,
		},
		publicKey: keys.publicKey,
		signingKey: authorityKeys.privateKey,
		extensions: [
			new x509.SubjectAlternativeNameExtension(addresses.map((value) => ({ type: "ip" as const, value }))),
			new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
		],
	});
	const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
	const put = (name: string, text: string): string => {
		const path = join(folder, name);
		writeFileSync(path, `${text}\n`, { mode: 0o600 });
		return path;
	};
	return {
		authority: put("authority.pem", authority.toString("pem")),
		certificate: put("certificate.pem", leaf.toString("pem")),
		key: put("key.pem", key),
	};
}
