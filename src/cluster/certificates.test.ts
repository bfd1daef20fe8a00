/** A node's own certificate: made where there is none, kept while it is good, made anew at once or when it is time. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { renewAfterMs } from "../peer/ca.ts";
import { loadIdentity } from "../peer/identity.ts";
import { fixtureId } from "../testing/fixtures.ts";
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
	const renewed = await makeOwn(first);
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

test("one that was made while the clock was years ahead is made anew once the clock is right", async () => {
	const first = deps();
	await openIdentity(first);
	const ahead = { ...systemClock, nowMs: () => Date.now() + 10 * renewAfterMs };
	const wrong = await makeOwn({ ...first, clock: ahead });
	expect(wrong.notBeforeMs).toBeGreaterThan(Date.now());
	const right = await openIdentity(first);
	expect([right.fingerprint === wrong.fingerprint, right.notBeforeMs < Date.now()]).toEqual([false, true]);
});
