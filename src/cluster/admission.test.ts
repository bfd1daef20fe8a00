/** What a member says to a token: as its state has it, at its own time. */
import { describe, expect, test } from "bun:test";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { JoinToken } from "../model/cluster.ts";
import type { Node } from "../model/node.ts";
import { type Authority, checkRequest, makeAuthority, makeNodeKey, makeRequest, signNode } from "../peer/ca.ts";
import { hashSecret, newSecret } from "../peer/join-token.ts";
import type { Status } from "../raft/types.ts";
import type { CommandBody } from "../store/command.ts";
import type { Applied, Store } from "../store/store.ts";
import { clusterIds, fixtureId, fixtureNfs, fixtureNode, fixturePool, fixtureVm } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type AdmissionDeps, createAdmission, type JoinAnswer, type JoinFacts } from "./admission.ts";
import type { MemberFeatures } from "./member-features.ts";
import { decodeJson, encodePacked } from "./methods.ts";
import { Turns } from "./turns.ts";

const secret = newSecret(systemRandom);
const [tokenId, own, other] = [fixtureId(1), "aa".repeat(32), "bb".repeat(32)];
const made = Date.UTC(2026, 0, 2);
const clock = new ManualClock(made);
const authority = await makeAuthority({ clock, random: systemRandom });

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

describe("a node that was admitted before, and has not arrived", () => {
	const memberId = fixtureId(0x22);
	const addresses = [{ host: "10.0.0.7", port: 8444 }];
	const ids = idSource(clock, systemRandom);

	async function asksAgain(changes: {
		/** How far the member's own clock is ahead of the time that most agree on. */
		hostAheadMs?: number;
		phase?: Node["status"]["phase"];
		keyPem?: string;
		by?: Authority;
		witness?: boolean;
		/** Of the VM that runs on its host, and is in the cluster. */
		vmNodeId?: string;
		/** It shares a storage pool with nobody that is here. */
		shares?: boolean;
		/** Who is known to have been removed. */
		removed?: string[];
	}) {
		const keyPem = await makeNodeKey();
		const csr = await makeRequest(keyPem);
		const maker = { clock, random: systemRandom };
		const signed = {
			csr: await makeRequest(changes.keyPem ?? keyPem),
			nodeId: memberId,
			clusterId: clusterIds.cluster,
		};
		const member = await signNode(changes.by ?? authority, signed, maker);
		const record = fixtureNode({ id: memberId });
		const node = { ...record, status: { ...record.status, phase: changes.phase ?? "joining" } };
		const proposed: CommandBody[] = [];
		const vms = changes.vmNodeId === undefined ? [] : [fixtureVm({ nodeId: changes.vmNodeId })];
		const store: Partial<Store> = {
			all: ((table: string) => (table === "node" ? [node] : table === "vm" ? vms : [])) as Store["all"],
			get: ((table: string, id: string) =>
				table === "node" ? ([node, fixtureNode()].find((one) => one.id === id) ?? null) : null) as Store["get"],
			authority: () => authority,
			async propose({ body }) {
				proposed.push(body);
				return { targets: [{ kind: "node", id: "id" in body ? body.id : fixtureId(0x99) }] } as unknown as Applied;
			},
		};
		const { admit } = createAdmission({
			...{ store: store as Store, clock, random: systemRandom, ids, logger: silentLogger, turns: new Turns() },
			...{
				clusterId: clusterIds.cluster,
				nodeId: clusterIds.node,
				hostClock: { nowMs: () => clock.nowMs() + (changes.hostAheadMs ?? 0) },
				memberFeatures: { common: () => [], lacking: () => [] } as unknown as MemberFeatures,
			},
			consensus: { details: () => ({ configuration: { removed: changes.removed ?? [] } }) as unknown as Status },
			reach: async () => null,
		});
		const belongings = {
			pools: changes.shares === true ? [fixturePool({ name: "nas", type: "nfs", config: fixtureNfs })] : [],
			networks: [],
			images: [],
			volumes: [],
			vms: [],
			nodeId: fixtureId(1),
			nodeName: "n",
			runs: vms.map(({ id }) => id),
		};
		const facts: JoinFacts = { preview: false, witness: changes.witness ?? false, belongings, member };
		const { keyFingerprint } = await checkRequest(csr);
		const admitted = await admit({
			...{ tokenId, keyFingerprint, csr, nodeName: "n", addresses, remoteAddress: "10.0.0.7", build: "1" },
			...{ features: [], facts: encodePacked(facts), secretHash: "a".repeat(64) },
		});
		const { asked, clashes } = decodeJson<JoinAnswer>(admitted.configuration);
		return { admitted, proposed, asked, clashes };
	}

	test("is told of a storage pool that it shares, unless it was a member that came back", async () => {
		const { clashes } = await asksAgain({ shares: true });
		expect(clashes).toMatchObject([{ kind: "pool", name: "nas", renamable: false }]);
		expect((await asksAgain({ shares: true, removed: [fixtureId(1)] })).clashes).toEqual([]);
	});

	test("gets its addresses set right, whatever token it comes with, and no second record", async () => {
		const { admitted, proposed } = await asksAgain({});
		expect(admitted.nodeId).toBe(memberId);
		expect(proposed).toEqual([{ kind: "nodeUpdate", id: memberId, peerAddresses: ["10.0.0.7:8444"] }]);
	});

	test("is told who answers, and by what time that one goes where its own clock is off", async () => {
		expect((await asksAgain({})).asked).toEqual({ name: fixtureNode().name, agreedAheadMs: 0 });
		expect((await asksAgain({ hostAheadMs: 3_600_000 })).asked?.agreedAheadMs).toBe(-3_600_000);
	});

	test("is no new one when it has arrived, and does not know it: the others have its VMs under its name", async () => {
		const { admitted, proposed } = await asksAgain({ phase: "ready" });
		expect([admitted.nodeId, proposed.map(({ kind }) => kind)]).toEqual([memberId, ["nodeUpdate"]]);
	});

	test("hears of no clash with what is its own by now, and of those with what is another's while it brings it", async () => {
		const ofAnother = fixtureId(0x33);
		expect((await asksAgain({ phase: "ready", vmNodeId: memberId })).clashes).toEqual([]);
		const { clashes } = await asksAgain({ phase: "joining", vmNodeId: ofAnother });
		expect(clashes).toMatchObject([{ kind: "vm", message: expect.stringContaining("another node") }]);
	});

	test("is a new one when it has left, or cannot show that it is the one", async () => {
		const strange = await makeAuthority({ clock, random: systemRandom });
		for (const changes of [{ phase: "left" as const }, { keyPem: await makeNodeKey() }, { by: strange }]) {
			const { proposed } = await asksAgain(changes);
			expect(proposed.map(({ kind }) => kind)).toEqual(["nodeAdmit"]);
		}
	});

	test("does not become a witness on the way", async () => {
		await expect(asksAgain({ witness: true })).rejects.toMatchObject({ code: "wrong-state" });
	});
});
