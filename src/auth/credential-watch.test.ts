/** What is noticed of the end of a credential without anybody saying so. */
import { expect, test } from "bun:test";
import { fixtureCluster, fixtureId, fixtureSession, fixtureUser } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { openMemoryStore } from "../testing/memory-store.ts";
import { CredentialWatch } from "./credential-watch.ts";
import { knownIdentity } from "./known-identity.ts";

test("a state that came as a whole makes no events: what it says is found out all the same", async () => {
	const clock = new ManualClock(Date.UTC(2026, 0, 2));
	const user = fixtureUser({ id: fixtureId(0x51), name: "jane" });
	const session = fixtureSession({ id: fixtureId(0x52), userId: user.id, expiresAt: "2026-01-02T12:00:00.000Z" });
	const store = await openMemoryStore({
		clock,
		commands: [
			fixtureCluster(),
			{ kind: "userCreate", user, passwordHash: "$hash" },
			{ kind: "sessionCreate", session, secretHash: "c".repeat(64) },
		],
	});
	const watch = new CredentialWatch(store, clock);
	const identity = knownIdentity(store, { kind: "session", id: session.id }, clock.nowMs());
	expect(identity?.user?.id).toBe(user.id);
	let revoked = 0;
	if (identity) watch.watch(identity, () => (revoked += 1));
	clock.advance(60_000);
	expect([revoked, watch.size]).toEqual([0, 1]);
	const { get } = store;
	store.get = ((table: "session", id: string) => (id === session.id ? null : get.call(store, table, id))) as typeof get;
	clock.advance(10_000);
	expect([revoked, watch.size, clock.waiting]).toEqual([1, 0, 0]);
	watch.close();
	await store.close();
});
