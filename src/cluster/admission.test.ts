/** What a member says to a token: as its state has it, at its own time. */
import { expect, test } from "bun:test";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { JoinToken } from "../model/cluster.ts";
import { hashSecret, newSecret } from "../peer/join-token.ts";
import type { Store } from "../store/store.ts";
import { clusterIds, fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type AdmissionDeps, createAdmission } from "./admission.ts";

const secret = newSecret(systemRandom);
const [tokenId, own, other] = [fixtureId(1), "aa".repeat(32), "bb".repeat(32)];
const made = Date.UTC(2026, 0, 2);
const clock = new ManualClock(made);

/** The token as the state has it; null when it was deleted, or pruned. */
function memberWith(token: JoinToken | null) {
	const store: Partial<Store> = {
		readIndex: async () => 1,
		get: ((_table: string, id: string) => (id === tokenId ? token : null)) as Store["get"],
		joinTokenSecret: (id) => (id === tokenId && token !== null ? hashSecret(secret) : null),
	};
	const deps: Partial<AdmissionDeps> = { clusterId: clusterIds.cluster, clock, random: systemRandom };
	const { redeem } = createAdmission({
		...(deps as AdmissionDeps),
		...{ store: store as Store, ids: idSource(clock, systemRandom), logger: silentLogger },
	});
	return redeem;
}
const token = (changes: Partial<JoinToken> = {}): JoinToken => ({
	...{ id: tokenId, generation: 1, createdAt: new Date(made).toISOString(), updatedAt: new Date(made).toISOString() },
	...{ createdBy: "admin", expiresAt: new Date(made + 60_000).toISOString(), usesLeft: 1, admitted: [] },
	...changes,
});

const usedUp = { usesLeft: 0, admitted: [{ keyFingerprint: own, nodeId: fixtureId(2) }] };

test("it has expired when its time is over, as long as the state has it, and is unknown afterwards", async () => {
	const redeem = memberWith(token());
	expect(await redeem(tokenId, secret, own)).toBe("ok");
	clock.advance(59_999);
	expect(await redeem(tokenId, secret, own)).toBe("ok");
	clock.advance(1);
	expect(await redeem(tokenId, secret, own)).toBe("expired");
	expect(await memberWith(token(usedUp))(tokenId, secret, own)).toBe("expired");
	expect(await memberWith(null)(tokenId, secret, own)).toBe("unknown");
});

test("one that is used up is good for whoever used it; with another secret it is unknown", async () => {
	const fresh = { expiresAt: new Date(clock.nowMs() + 60_000).toISOString() };
	const redeem = memberWith(token({ ...fresh, ...usedUp }));
	expect(await redeem(tokenId, secret, own)).toBe("ok");
	expect(await redeem(tokenId, secret, other)).toBe("used");
	expect(await memberWith(token(fresh))(tokenId, newSecret(systemRandom), own)).toBe("unknown");
});
