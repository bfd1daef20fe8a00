import { afterEach, beforeEach, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRandom } from "../lib/random.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { fingerprintOf, loadOrMakeCertificate } from "./tls.ts";

const dayMs = 86_400_000;
let folder: string;
let clock: ManualClock;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-tls-"));
	clock = new ManualClock();
});
afterEach(() => rmSync(folder, { recursive: true }));

const load = () =>
	loadOrMakeCertificate({
		folder: join(folder, "tls"),
		clock,
		random: systemRandom,
		names: ["node-1", "192.0.2.7", "2001:db8::7"],
	});

test("the first start makes a certificate for this host, for nobody else to read", async () => {
	const made = await load();
	expect(made).toMatchObject({ made: true, selfSigned: true });
	const certificate = new X509Certificate(made.cert);
	expect(certificate.ca).toBe(false);
	expect(certificate.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: "prime256v1" });
	expect(certificate.fingerprint256).toBe(made.fingerprint);
	for (const name of ["localhost", "node-1"]) expect(certificate.checkHost(name)).toBe(name);
	for (const address of ["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7"])
		expect(certificate.checkIP(address)).toBeDefined();
	expect(certificate.checkHost("node-2")).toBeUndefined();
	const days = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / dayMs;
	expect(days).toBe(825);
	for (const file of ["cert.pem", "key.pem"]) expect(statSync(join(folder, "tls", file)).mode & 0o777).toBe(0o600);
});

test("it stays, until 30 days before its end", async () => {
	const first = await load();
	clock.advance(790 * dayMs);
	expect(await load()).toMatchObject({ made: false, fingerprint: first.fingerprint });
	clock.advance(5 * dayMs);
	const renewed = await load();
	expect(renewed.made).toBe(true);
	expect(renewed.fingerprint).not.toBe(first.fingerprint);
	expect(renewed.notAfterMs).toBeGreaterThan(clock.nowMs() + 800 * dayMs);
});

test("one that was made while the clock was ahead is made again when the clock was put right", async () => {
	const right = clock;
	clock = new ManualClock(right.nowMs() + 3650 * dayMs);
	const ahead = await load();
	clock = right;
	const again = await load();
	expect(again.made).toBe(true);
	expect(again.fingerprint).not.toBe(ahead.fingerprint);
	expect(Date.parse(new X509Certificate(again.cert).validFrom)).toBeLessThanOrEqual(right.nowMs());
	expect(await load()).toMatchObject({ made: false, fingerprint: again.fingerprint });
});

test("a clock that was wrong for a while takes no certificate away for good", async () => {
	const right = clock;
	const first = await load();
	// Behind, but later than the program was made.
	clock = new ManualClock(right.nowMs() - 900 * dayMs);
	const behind = await load();
	expect(behind.made).toBe(true);
	clock = right;
	expect(await load()).toMatchObject({ made: false, fingerprint: first.fingerprint });
	clock = new ManualClock(right.nowMs() + 900 * dayMs);
	expect((await load()).made).toBe(true);
	clock = right;
	expect(await load()).toMatchObject({ made: false, fingerprint: first.fingerprint, key: first.key });
});

test("with a clock that is surely behind nothing is replaced", async () => {
	const first = await load();
	const programMadeMs = clock.nowMs() - 30 * dayMs;
	clock = new ManualClock(clock.nowMs() - 60 * dayMs);
	const options = { folder: join(folder, "tls"), clock, random: systemRandom };
	expect(await loadOrMakeCertificate({ ...options, notBeforeMs: programMadeMs })).toMatchObject({
		made: false,
		fingerprint: first.fingerprint,
	});
	expect(await loadOrMakeCertificate({ ...options, notBeforeMs: 0 })).toMatchObject({ made: true });
});

test.each([
	["old", 0, dayMs],
	["new", Date.UTC(2040, 0, 1), Date.UTC(2041, 0, 1)],
])("an administrator's own is left alone, however %s", async (_age, notBefore, notAfter) => {
	const x509 = await import("@peculiar/x509");
	const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
	const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
	const own = await x509.X509CertificateGenerator.createSelfSigned({
		name: "CN=node.example.com, O=Example",
		notBefore: new Date(notBefore),
		notAfter: new Date(notAfter),
		signingAlgorithm: algorithm,
		keys,
	});
	await load();
	const cert = own.toString("pem");
	const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
	writeFileSync(join(folder, "tls", "cert.pem"), cert);
	writeFileSync(join(folder, "tls", "key.pem"), key);
	expect(await load()).toMatchObject({ made: false, selfSigned: false, cert, fingerprint: fingerprintOf(cert) });
});

test("what cannot be used is said, not overwritten", async () => {
	await load();
	const path = join(folder, "tls", "cert.pem");
	writeFileSync(path, "nonsense");
	await expect(load()).rejects.toMatchObject({ code: "corrupt" });
	expect(readFileSync(path, "utf8")).toBe("nonsense");
});

test("a start that was cut off between the two files leaves nothing that stops the next", async () => {
	const first = await load();
	rmSync(join(folder, "tls", "cert.pem"));
	const second = await load();
	expect(second.made).toBe(true);
	expect(readFileSync(join(folder, "tls", "key.pem.unused"), "utf8")).toBe(first.key);
	writeFileSync(join(folder, "tls", "key.pem"), first.key);
	expect((await load()).made).toBe(true);
});
