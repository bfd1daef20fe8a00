import { afterAll, describe, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRandom } from "../lib/random.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { checkRequest, makeAuthority, makeNodeKey, makeRequest, nodeLifetimeMs, signNode } from "./ca.ts";
import { loadIdentity, loadOrMakeKey, makeIdentity, renewalDueMs, saveIdentity } from "./identity.ts";
import { certificatesOf, checkCertificate } from "./trust.ts";

const folder = mkdtempSync(join(tmpdir(), "limiquantix-identity-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dayMs = 86_400_000;
const clock = new ManualClock();
const maker = { clock, random: systemRandom };
const [clusterId, nodeId, otherClusterId] = [fixtureId(1), fixtureId(2), fixtureId(3)] as const;
const authority = await makeAuthority(maker);
const stranger = await makeAuthority(maker);
const keyPem = await makeNodeKey();
const csr = await makeRequest(keyPem);
const certificatePem = await signNode(authority, { csr, nodeId, clusterId }, maker);
const der = (pem: string): Uint8Array => new X509Certificate(pem).raw;
const trust = { clusterId, authorities: certificatesOf(authority.certificatePem) };
const parts = { clusterId, keyPem, certificatePem, authoritiesPem: authority.certificatePem };

describe("a node's certificate", () => {
	test("names node and cluster, and is good from well before to years after", () => {
		const checked = checkCertificate(der(certificatePem), trust, clock.nowMs());
		expect(checked).toMatchObject({ nodeId, clusterId, notAfterMs: clock.nowMs() + nodeLifetimeMs });
		expect(checkCertificate(der(certificatePem), trust, clock.nowMs() - 300 * dayMs)).toMatchObject({ nodeId });
		expect(checkCertificate(der(certificatePem), trust, clock.nowMs() + 1000 * dayMs)).toMatchObject({ nodeId });
		expect(new X509Certificate(certificatePem).keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
	});

	test("is refused when it is not from our CA, not valid now, of another cluster, or no node's", async () => {
		const now = clock.nowMs();
		const foreign = await signNode(stranger, { csr, nodeId, clusterId }, maker);
		const elsewhere = await signNode(authority, { csr, nodeId, clusterId: otherClusterId }, maker);
		expect(checkCertificate(null, trust, now)).toBe("none");
		expect(checkCertificate(new Uint8Array(300), trust, now)).toBe("none");
		expect(checkCertificate(der(foreign), trust, now)).toBe("not-ours");
		expect(checkCertificate(der(authority.certificatePem), trust, now)).toBe("not-ours");
		expect(checkCertificate(der(elsewhere), trust, now)).toBe("other-cluster");
		expect(checkCertificate(der(certificatePem), trust, now + nodeLifetimeMs + dayMs)).toBe("not-valid-now");
		expect(checkCertificate(der(certificatePem), trust, -dayMs)).toBe("not-valid-now");
	});

	test.each([-80 * 365 * dayMs, -4 * 365 * dayMs, 4 * 365 * dayMs])(
		"and its authority, made by a clock that was %d ms ahead, are good when it is right, and now",
		async (aheadMs) => {
			const wrong = new ManualClock();
			wrong.jump(Math.max(aheadMs, -wrong.nowMs()));
			const by = await makeAuthority({ clock: wrong, random: systemRandom });
			const pastMs = clock.nowMs() - dayMs;
			const pem = await signNode(by, { csr, nodeId, clusterId, pastMs }, { clock: wrong, random: systemRandom });
			const trusted = { clusterId, authorities: certificatesOf(by.certificatePem) };
			for (const nowMs of [wrong.nowMs() + 1, clock.nowMs(), clock.nowMs() + 2 * 365 * dayMs])
				expect(checkCertificate(der(pem), trusted, nowMs)).toMatchObject({ nodeId });
		},
	);

	test("of either CA is good while two are trusted", async () => {
		const both = { clusterId, authorities: certificatesOf(authority.certificatePem + stranger.certificatePem) };
		for (const by of [authority, stranger]) {
			const pem = await signNode(by, { csr, nodeId, clusterId }, maker);
			expect(checkCertificate(der(pem), both, clock.nowMs())).toMatchObject({ nodeId });
		}
	});
});

describe("a certificate request", () => {
	test("gives its key's fingerprint, the same each time", async () => {
		const { keyFingerprint, publicKey } = await checkRequest(csr);
		expect(keyFingerprint).toBe(createHash("sha256").update(publicKey).digest("hex"));
		expect((await checkRequest(await makeRequest(keyPem))).keyFingerprint).toBe(keyFingerprint);
		expect((await checkRequest(await makeRequest(await makeNodeKey()))).keyFingerprint).not.toBe(keyFingerprint);
	});

	test("is refused when it is damaged, too large, or not signed by its own key", async () => {
		const changed = csr.slice();
		changed[changed.length - 4] = (changed.at(-4) ?? 0) ^ 1;
		for (const bad of [new Uint8Array(0), new Uint8Array(5000), csr.subarray(0, 100), changed])
			await expect(checkRequest(bad)).rejects.toMatchObject({ code: "invalid" });
	});

	test("never throws anything else for garbage", async () => {
		for (let at = 0; at < csr.length; at += 3) {
			const bad = csr.slice();
			bad[at] = (bad[at] ?? 0) ^ 0xff;
			await checkRequest(bad).catch((error) => expect(error).toMatchObject({ code: "invalid" }));
		}
	});
});

describe("the identity of a node", () => {
	test("is kept in one file that only root reads, and comes back the same", async () => {
		const path = join(folder, "peer", "node.pem");
		const identity = makeIdentity(parts, clock.nowMs());
		await saveIdentity(path, identity);
		await saveIdentity(path, identity);
		expect(statSync(path).mode & 0o777).toBe(0o600);
		expect(readdirSync(join(folder, "peer"))).toEqual(["node.pem"]);
		expect(await loadIdentity(path)).toEqual(identity);
		expect(await loadIdentity(join(folder, "nothing.pem"))).toBeNull();
		const two = makeIdentity({ ...parts, authoritiesPem: stranger.certificatePem + authority.certificatePem }, null);
		await saveIdentity(path, two);
		const loaded = await loadIdentity(path);
		expect(loaded?.trust.authorities).toHaveLength(2);
		expect(loaded?.authorityFingerprint).toBe(identity.authorityFingerprint);
	});

	test("is whole or refused", async () => {
		const other = { ...parts, keyPem: await makeNodeKey() };
		expect(() => makeIdentity(other, null)).toThrow(/key is not that/);
		expect(() => makeIdentity({ ...parts, authoritiesPem: stranger.certificatePem }, null)).toThrow(/authority/);
		expect(() => makeIdentity({ ...parts, clusterId: otherClusterId }, null)).toThrow(/another cluster/);
		expect(() => makeIdentity({ ...parts, authoritiesPem: "" }, null)).toThrow(/lacks/);
		expect(() => makeIdentity(parts, clock.nowMs() + 2000 * dayMs)).toThrow(
			/good from .* one of the two clocks is wrong/,
		);
		const path = join(folder, "bad.pem");
		for (const text of ["", "x", `${keyPem}${certificatePem}`, certificatePem + authority.certificatePem]) {
			writeFileSync(path, text);
			await expect(loadIdentity(path)).rejects.toMatchObject({ code: "corrupt" });
		}
	});

	test("is due for renewal a year on, long before its end, spread over a month", () => {
		const identity = makeIdentity(parts, null);
		expect(renewalDueMs(identity, 0)).toBe(clock.nowMs() + 365 * dayMs);
		expect(renewalDueMs(identity, 1)).toBe(clock.nowMs() + 335 * dayMs);
		expect(identity.notAfterMs - renewalDueMs(identity, 0)).toBe(2 * 365 * dayMs);
	});

	test("the key of a join is made once", async () => {
		const path = join(folder, "joining.pem");
		const first = await loadOrMakeKey(path);
		expect(await loadOrMakeKey(path)).toBe(first);
		expect(statSync(path).mode & 0o777).toBe(0o600);
		writeFileSync(path, "half a ke");
		expect(await loadOrMakeKey(path)).not.toBe(first);
	});
});
