/** A node's own certificate: made where there is none, kept while it is good, made anew at once or when it is time. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../lib/assert.ts";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { makeNodeKey, nodeLifetimeMs, renewAfterMs } from "../peer/ca.ts";
import { type Identity, loadIdentity, makeIdentity, saveIdentity } from "../peer/identity.ts";
import { alternativeNames } from "../peer/trust.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type CertificateDeps, isRenewalDue, makeOwn, OwnCertificate, openIdentity } from "./certificates.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-certificates-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type Kept = ReturnType<CertificateDeps["store"]["authority"]>;
const deps = (changes: Partial<CertificateDeps["node"]> = {}, authority: Kept = null): CertificateDeps => {
	let kept: Kept = authority;
	return {
		path: join(folder, "identity.pem"),
		node: { nodeId: fixtureId(1), clusterId: fixtureId(2), founder: true, ...changes },
		store: { authority: () => kept },
		proposer: {
			async proposeSystem(body) {
				if (body.kind !== "authoritySet") throw new AppError("internal", "not this");
				kept = { certificatePem: body.certificatePem, keyPem: body.keyPem };
				return { index: 1, targets: [], taskId: null, replayed: false };
			},
		},
		clock: systemClock,
		random: systemRandom,
	};
};
const at = (nowMs: number) => ({ clock: { ...systemClock, nowMs: () => nowMs }, random: systemRandom });

test("the first node makes the authority, and keeps what it made", async () => {
	const first = deps();
	const made = await openIdentity(first);
	expect(first.store.authority()?.certificatePem).toBe(made.authoritiesPem);
	expect((await openIdentity(first)).fingerprint).toBe(made.fingerprint);
});

test("a file of another node or cluster is not used", async () => {
	const first = deps();
	const made = await openIdentity(first);
	const other = await openIdentity(deps({ nodeId: fixtureId(9) }, first.store.authority()));
	expect([other.nodeId, other.fingerprint === made.fingerprint]).toEqual([fixtureId(9), false]);
});

test("a node without certificate and authority says so", async () => {
	await expect(openIdentity(deps({ founder: false }))).rejects.toMatchObject({ code: "unavailable" });
});

test("a new one has a new key, the same authority, and is what the next start finds", async () => {
	const first = deps();
	const made = await openIdentity(first);
	const renewed = await makeOwn(first, made);
	expect(renewed.keyPem).not.toBe(made.keyPem);
	expect(renewed.fingerprint).not.toBe(made.fingerprint);
	expect(renewed.authorityFingerprint).toBe(made.authorityFingerprint);
	expect((await loadIdentity(first.path))?.fingerprint).toBe(renewed.fingerprint);
});

test("it is time after a year, or up to a month before, and long before it ends", async () => {
	const made = await openIdentity(deps());
	const nowMs = Date.now();
	const monthMs = 30 * 86_400_000;
	expect(isRenewalDue(at(nowMs), made)).toBe(false);
	expect(isRenewalDue(at(nowMs + renewAfterMs - monthMs - 60_000), made)).toBe(false);
	expect(isRenewalDue(at(nowMs + renewAfterMs + 60_000), made)).toBe(true);
	expect(made.notAfterMs - (nowMs + renewAfterMs)).toBeGreaterThan(renewAfterMs);
});

test("a node that was off until its certificate had ended makes itself another at its start", async () => {
	const first = deps();
	const made = await openIdentity(first);
	const clock = { ...systemClock, nowMs: () => made.notAfterMs + 86_400_000 };
	const again = await openIdentity({ ...first, clock });
	expect(again.fingerprint).not.toBe(made.fingerprint);
	expect(again.authorityFingerprint).toBe(made.authorityFingerprint);
	expect(again.notAfterMs).toBeGreaterThan(clock.nowMs());
	// Without the authority it keeps what it has; the others will say that it has expired.
	const alone = {
		...first,
		clock: { ...systemClock, nowMs: () => again.notAfterMs + 1 },
		store: { authority: () => null },
	};
	expect((await openIdentity(alone)).fingerprint).toBe(again.fingerprint);
});

test("a renewal that fails is a warning, and an error when the certificate is near its end", async () => {
	const first = deps();
	const made = await openIdentity(first);
	const monthMs = 30 * 86_400_000;
	const said: unknown[] = [];
	const note = (level: string) => (_: string, fields: unknown) => void said.push([level, fields]);
	const logger = { ...silentLogger, warn: note("warn"), error: note("error") };
	for (const nowMs of [made.notAfterMs - monthMs - 60_000, made.notAfterMs - monthMs + 60_000]) {
		const clock = { ...systemClock, nowMs: () => nowMs };
		const node = { ...first.node, founder: false };
		const own = new OwnCertificate({ ...first, node, store: { authority: () => null }, clock, logger, onRenewed() {} });
		await own.open();
		await own.renewIfDue();
	}
	const fields = expect.objectContaining({ expiresAt: new Date(made.notAfterMs).toISOString() });
	expect(said).toEqual([
		["warn", fields],
		["error", fields],
	]);
});

/** As an earlier version made it: from a year before, by the clock. */
async function saveAsBefore({ path, node, store }: CertificateDeps, nowMs: number): Promise<void> {
	const x509 = await import("@peculiar/x509");
	const authority = present(store.authority(), "an authority");
	const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
	const publicKey = (pem: string) => new Uint8Array(createPublicKey(pem).export({ type: "spki", format: "der" }));
	const privateKey = (pem: string) => new Uint8Array(createPrivateKey(pem).export({ type: "pkcs8", format: "der" }));
	const keyPem = await makeNodeKey();
	const certificate = await x509.X509CertificateGenerator.create({
		serialNumber: "4711",
		subject: `CN=${node.nodeId}`,
		issuer: new X509Certificate(authority.certificatePem).subject.replaceAll("\n", ", "),
		notBefore: new Date(nowMs - renewAfterMs),
		notAfter: new Date(nowMs + nodeLifetimeMs),
		signingAlgorithm: algorithm,
		publicKey: await crypto.subtle.importKey("spki", publicKey(keyPem), algorithm, true, ["verify"]),
		signingKey: await crypto.subtle.importKey("pkcs8", privateKey(authority.keyPem), algorithm, true, ["sign"]),
		extensions: [
			new x509.SubjectAlternativeNameExtension(
				alternativeNames(node.nodeId, node.clusterId).map((value) => ({ type: "url", value }) as const),
			),
		],
	});
	const parts = { clusterId: node.clusterId, keyPem, authoritiesPem: authority.certificatePem };
	await saveIdentity(path, makeIdentity({ ...parts, certificatePem: `${certificate.toString("pem")}\n` }, null));
}

const isGoodAt = ({ notBeforeMs, notAfterMs }: Identity, nowMs: number) => notBeforeMs <= nowMs && nowMs <= notAfterMs;

describe("a good one is never replaced by one that is not, whatever the clock says", () => {
	test.each([-40, -4, 4, 10])("a start with a clock that is %d years ahead", async (years) => {
		const first = deps();
		const made = await openIdentity(first);
		const wrongMs = Math.max(0, Date.now() + years * renewAfterMs);
		const again = await openIdentity({ ...first, ...at(wrongMs) });
		expect(isGoodAt(again, Date.now()) && isGoodAt(again, wrongMs)).toBe(true);
		expect(again.notAfterMs).toBeGreaterThanOrEqual(made.notAfterMs);
	});

	test("one that is made in place of a lost one lasts from the newest time that the members have reported", async () => {
		const first = { ...deps(), pastMs: () => Date.now() - 60_000 };
		await openIdentity(first);
		rmSync(first.path);
		const again = await openIdentity({ ...first, ...at(Date.now() - 9 * renewAfterMs) });
		expect(isGoodAt(again, Date.now() + renewAfterMs)).toBe(true);
	});
});

describe("one that is no good now is not waited with", () => {
	async function opened(nowMs: () => number, changes: Partial<CertificateDeps> = {}) {
		const clock = new ManualClock(nowMs());
		const said: string[] = [];
		const note = (message: string) => void said.push(message);
		const logger = { ...silentLogger, info: note, warn: note, error: note };
		let renewals = 0;
		const onRenewed = () => {
			renewals += 1;
		};
		const own = new OwnCertificate({ ...deps(), ...changes, clock, logger, onRenewed });
		await own.open();
		return { own, clock, said, renewals: () => renewals };
	}
	const yearMs = renewAfterMs;

	test("it has ended while the node ran, or a clock was set: a new one at the next look", async () => {
		const { own, clock, renewals } = await opened(Date.now);
		await own.renewIfBad(false);
		expect(renewals()).toBe(0);
		clock.jump(4 * yearMs);
		await own.renewIfBad(false);
		expect([renewals(), isGoodAt(own.current as Identity, clock.nowMs())]).toEqual([1, true]);
	});

	test("another member refuses it: a new one, if that is good for longer, and no more", async () => {
		const { own, clock, renewals } = await opened(Date.now);
		await own.renewIfBad(true);
		expect(renewals()).toBe(0);
		clock.advance(yearMs / 2);
		for (let look = 0; look < 3; look++) {
			await own.renewIfBad(true);
			clock.advance(60_000);
		}
		expect(renewals()).toBe(1);
	});

	test("the authority ends before a new one could be good for longer: it is made once, and not again and again", async () => {
		const { own, clock, renewals } = await opened(Date.now);
		clock.jump(22.5 * yearMs);
		for (let look = 0; look < 100; look++) {
			await own.renewIfBad(true);
			clock.advance(10_000);
		}
		expect(renewals()).toBe(1);
	});

	test("it is another's that is bad: this one is not made again each day", async () => {
		const { own, clock, renewals } = await opened(Date.now);
		clock.advance(2 * 86_400_000);
		for (let hour = 0; hour < 24 * 30; hour++) {
			await own.renewIfBad(true);
			clock.advance(3_600_000);
		}
		expect(renewals()).toBe(1);
		// The clock by which it was made was behind, and is set.
		clock.jump(yearMs);
		await own.renewIfBad(true);
		expect(renewals()).toBe(2);
	});

	test("one that an earlier version made with a clock that was ahead is made anew as soon as the clock is right", async () => {
		const first = deps();
		await openIdentity(first);
		const aheadMs = () => Date.now() + 5 * yearMs;
		await saveAsBefore(first, aheadMs());
		const { own, clock, renewals } = await opened(aheadMs, first);
		expect(own.current?.notBeforeMs).toBeGreaterThan(Date.now());
		clock.jump(-5 * yearMs);
		await own.renewIfBad(false);
		expect([renewals(), isGoodAt(own.current as Identity, Date.now())]).toEqual([1, true]);
	});

	test("one that cannot be made is tried again, after pauses that grow", async () => {
		let authority: Kept = null;
		const store = { authority: () => authority };
		const first = deps();
		await openIdentity(first);
		const { own, clock, said, renewals } = await opened(Date.now, {
			...first,
			store,
			node: { ...first.node, founder: false },
		});
		clock.jump(4 * yearMs);
		for (let look = 0; look < 120; look++) {
			await own.renewIfBad(false);
			clock.advance(500);
		}
		// At once, after 10 s, after another 20 s.
		expect(said.length).toBe(3);
		authority = first.store.authority();
		clock.advance(40_000);
		await own.renewIfBad(false);
		expect(renewals()).toBe(1);
	});
});
