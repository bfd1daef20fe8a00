/** A join that was cut off after the node had been admitted, and before it had its certificate, is done again. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { idSource, isUuid } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { checkRequest, makeAuthority, makeNodeKey, makeRequest } from "../peer/ca.ts";
import type { Status } from "../raft/types.ts";
import type { CommandBody } from "../store/command.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureJoinToken } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { createAdmission, type JoinFacts } from "./admission.ts";
import type { MemberFeatures } from "./member-features.ts";
import { isMemberIdFor, memberIdFor } from "./member-id.ts";
import { encodePacked } from "./methods.ts";
import { Turns } from "./turns.ts";

const hour = 3_600_000;
const clock = new ManualClock(Date.UTC(2026, 0, 2));
const authority = await makeAuthority({ clock, random: systemRandom });
const csr = await makeRequest(await makeNodeKey());
const { keyFingerprint } = await checkRequest(csr);
const nothing = { pools: [], networks: [], images: [], volumes: [], vms: [] };

let store: MemoryStore;
let voters: string[];
beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster(), { kind: "authoritySet", ...authority }] });
	voters = [clusterIds.node];
});
afterEach(() => store.close());

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const [first, second] = [fixtureId(0x781), fixtureId(0x782)];
const hashOf = (tokenId: string) => `sha256:${tokenId.slice(-4).repeat(16)}`;
const makeToken = (id: string) =>
	apply({
		kind: "joinTokenCreate",
		token: fixtureJoinToken({ id, expiresAt: new Date(clock.nowMs() + hour).toISOString() }),
		secretHash: hashOf(id),
	});

type Coming = { csr?: Uint8Array; witness?: boolean; port?: number; member?: string };
let certificate = "";
/** The node asks with this token; the id that it gets. */
async function comesWith(
	tokenId: string,
	{ witness = false, port = 8444, member, ...changes }: Coming = {},
): Promise<string> {
	const { admit } = createAdmission({
		...{ store, clock, hostClock: clock, random: systemRandom, ids: idSource(clock, systemRandom) },
		...{ clusterId: clusterIds.cluster, nodeId: clusterIds.node, logger: silentLogger, turns: new Turns() },
		memberFeatures: { common: () => [], lacking: () => [] } as unknown as MemberFeatures,
		consensus: { details: () => ({ configuration: { voters, removed: [] } }) as unknown as Status },
		reach: async () => null,
	});
	const belongings = { ...nothing, nodeId: fixtureId(7), nodeName: "node-2" };
	const request = changes.csr ?? csr;
	const { keyFingerprint } = await checkRequest(request);
	const { nodeId, certificatePem } = await admit({
		...{ tokenId, secretHash: hashOf(tokenId), csr: request, keyFingerprint },
		...{ nodeName: "node-2", addresses: [{ host: "10.0.0.7", port }], remoteAddress: "10.0.0.7" },
		...{ build: "1", features: [] },
		facts: encodePacked({ preview: false, witness, belongings, ...(member ? { member } : {}) } satisfies JoinFacts),
	});
	certificate = certificatePem;
	return nodeId;
}
const namesNow = () =>
	store
		.all("node")
		.map(({ name }) => name)
		.sort();

describe("with another token", () => {
	let memberId: string;
	beforeEach(async () => {
		await makeToken(first);
		memberId = await comesWith(first);
	});

	const ends: [string, () => Promise<unknown>][] = [
		["deleted", () => apply({ kind: "joinTokenDelete", id: first })],
		[
			"expired",
			() => {
				clock.advance(2 * hour);
				const [before, now] = [new Date(0).toISOString(), new Date(clock.nowMs()).toISOString()];
				return apply({ kind: "prune", tasksBefore: before, sessionsExpiredBefore: now, auditBefore: before });
			},
		],
		["still there", async () => {}],
	];
	test.each(ends)("it is the same member, the first token being %s", async (_what, end) => {
		await end();
		await makeToken(second);
		expect(await comesWith(second, { port: 9444 })).toBe(memberId);
		expect(namesNow()).toEqual(["node-1", "node-2"]);
		expect(store.get("node", memberId)).toMatchObject({
			...{ peerAddresses: ["10.0.0.7:9444"], status: { phase: "joining" } },
		});
		expect(store.get("joinToken", second)).toMatchObject({ usesLeft: 1, admitted: [] });
	});

	test("it does not become a witness on the way", async () => {
		await makeToken(second);
		await expect(comesWith(second, { witness: true })).rejects.toMatchObject({
			...{ code: "wrong-state", message: expect.stringMatching(/change that, remove node-2 here/) },
		});
	});

	const others: [string, () => Promise<Coming | undefined>][] = [
		["it has another key", async () => ({ csr: await makeRequest(await makeNodeKey()) })],
		[
			"the one with its key was removed",
			async () => {
				await apply({ kind: "nodeRemove", id: memberId, leaving: false, confirmName: "node-2" });
				return undefined;
			},
		],
		[
			"the one with its key has arrived",
			async () => {
				const brought = { ...nothing, formerNodeId: fixtureId(7), renameSuffix: null };
				await apply({ kind: "nodeImport", nodeId: memberId, ...brought });
				return undefined;
			},
		],
		[
			"the one with its key has a vote, so it had a log that this one has not",
			async () => {
				voters.push(memberId);
				return undefined;
			},
		],
	];
	test.each(others)("it is a new one when %s", async (_what, change) => {
		const coming = await change();
		clock.advance(60_000);
		await makeToken(second);
		const id = await comesWith(second, coming);
		expect([id === memberId, isUuid(id)]).toEqual([false, true]);
		expect(store.all("node")).toHaveLength(3);
		expect(store.get("joinToken", second)).toMatchObject({ usesLeft: 0, admitted: [{ nodeId: id }] });
	});
});

test("with the same token it is the same member, and what it says now counts", async () => {
	await makeToken(first);
	const memberId = await comesWith(first);
	expect(await comesWith(first, { witness: true })).toBe(memberId);
	expect(store.get("node", memberId)).toMatchObject({ name: "node-2", witness: true });
	expect(store.all("node")).toHaveLength(2);
});

test("with the same token nobody takes the place of one that has been here: that one has had a log and a vote", async () => {
	await makeToken(first);
	const memberId = await comesWith(first);
	const refused = { code: "wrong-state", message: expect.stringMatching(/has joined before, as node-2/) };
	voters.push(memberId);
	await expect(comesWith(first)).rejects.toMatchObject(refused);
	voters.pop();
	const brought = { ...nothing, formerNodeId: fixtureId(7), renameSuffix: null };
	await apply({ kind: "nodeImport", nodeId: memberId, ...brought });
	await expect(comesWith(first)).rejects.toMatchObject(refused);
	expect(store.all("node")).toHaveLength(2);
	await apply({ kind: "nodeRemove", id: memberId, leaving: false, confirmName: "node-2" });
	clock.advance(60_000);
	await makeToken(second);
	expect(await comesWith(second)).not.toBe(memberId);
});

test("who shows the certificate that came with the key has what belongs to it, and asks again as before", async () => {
	await makeToken(first);
	const memberId = await comesWith(first);
	const member = certificate;
	voters.push(memberId);
	expect(await comesWith(first, { member, port: 9444 })).toBe(memberId);
	const brought = { ...nothing, formerNodeId: fixtureId(7), renameSuffix: null };
	await apply({ kind: "nodeImport", nodeId: memberId, ...brought });
	// Arrived while it asked.
	expect(await comesWith(first, { member })).toBe(memberId);
	// With another token as well: it would be a second one.
	await makeToken(second);
	expect(await comesWith(second, { member, port: 9555 })).toBe(memberId);
	expect(store.get("node", memberId)?.peerAddresses).toEqual(["10.0.0.7:9555"]);
	expect(store.all("node")).toHaveLength(2);
});

test("with the certificate of one that has left nobody takes the place of the one that came after it", async () => {
	await makeToken(first);
	const formerId = await comesWith(first);
	const member = certificate;
	await apply({ kind: "nodeRemove", id: formerId, leaving: false, confirmName: "node-2" });
	clock.advance(60_000);
	await makeToken(second);
	const nextId = await comesWith(second, { member });
	voters.push(nextId);
	await expect(comesWith(second, { member })).rejects.toMatchObject({ code: "wrong-state" });
});

test("the id is one of this time, and of this key", () => {
	const [early, late] = [memberIdFor(keyFingerprint, 1_000), memberIdFor(keyFingerprint, Date.UTC(2026, 0, 1))];
	expect(early < late).toBe(true);
	for (const id of [early, late]) {
		expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
		expect(isMemberIdFor(keyFingerprint, id)).toBe(true);
		expect(
			isMemberIdFor(
				keyFingerprint.replaceAll(/./g, (digit) => (digit === "0" ? "1" : "0")),
				id,
			),
		).toBe(false);
	}
	expect(isMemberIdFor(keyFingerprint, idSource(clock, systemRandom).newId())).toBe(false);
});
