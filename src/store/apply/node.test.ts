/** The cluster's authority, join tokens, and nodes from their admission on. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { JoinToken } from "../../model/cluster.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureJoinToken,
	fixtureMember,
	fixtureNode,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";
import { maxJoinTokens, maxNodes } from "../limits.ts";

const startMs = Date.UTC(2026, 0, 2);
const hour = 3_600_000;
let clock: ManualClock;
let store: MemoryStore;
beforeEach(async () => {
	clock = new ManualClock(startMs);
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
});
afterEach(() => store.close());

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string) => expect(apply(body)).rejects.toMatchObject({ code });
const tokenId = fixtureId(0x780);
const secretHash = `sha256:${"5".repeat(32)}`;
const at = (afterMs: number) => new Date(startMs + afterMs).toISOString();
const createToken = (changes: Partial<JoinToken> = {}, hash = secretHash): CommandBody => ({
	kind: "joinTokenCreate",
	token: fixtureJoinToken({ expiresAt: at(hour), ...changes }),
	secretHash: hash,
});
const imported = (number: number): CommandBody => ({
	...{ kind: "nodeImport", nodeId: fixtureId(number), formerNodeId: fixtureId(number + 0x10000) },
	...{ pools: [], networks: [], images: [], volumes: [], vms: [], renameSuffix: null },
});
async function arrive(number: number, name?: string): Promise<void> {
	await apply(name === undefined ? admit(number) : admit(number, name));
	await apply(imported(number));
}

const admit = (
	number: number,
	name = "node-2",
	changes: { key?: number; secretHash?: string; peerAddresses?: string[] } = {},
): Extract<CommandBody, { kind: "nodeAdmit" }> => ({
	kind: "nodeAdmit",
	tokenId,
	secretHash: changes.secretHash ?? secretHash,
	keyFingerprint: (changes.key ?? number).toString(16).padStart(64, "0"),
	node: fixtureNode({ id: fixtureId(number), name, peerAddresses: changes.peerAddresses ?? [] }),
});
const refusedAs = (reason: string, body: CommandBody) =>
	expect(apply(body)).rejects.toMatchObject({
		code: "unauthenticated",
		fields: [{ path: "/token", message: reason }],
	});
const phaseOf = (number: number) => store.get("node", fixtureId(number))?.status.phase;

describe("the authority", () => {
	const pem = (what: string) => `-----BEGIN ${what}-----\nAAAA\n-----END ${what}-----\n`;
	const set: CommandBody = {
		kind: "authoritySet",
		certificatePem: pem("CERTIFICATE"),
		keyPem: pem("PRIVATE KEY"),
	};

	test("is set once, and kept apart from what is listed", async () => {
		expect(store.authority()).toBeNull();
		await apply(set);
		expect(store.authority()).toEqual({ certificatePem: pem("CERTIFICATE"), keyPem: pem("PRIVATE KEY") });
		await refused(set, "already-exists");
		expect(JSON.stringify(store.eventsAfter("0.0", 1000))).not.toContain("PRIVATE KEY");
		expect(store.count("audit")).toBe(0);
	});

	test("is PEM", async () => {
		await refused({ ...set, keyPem: "key" }, "invalid");
		await refused({ ...set, certificatePem: `-----BEGIN ${"A".repeat(20_000)}` }, "invalid");
		expect(store.authority()).toBeNull();
	});
});

describe("a join token", () => {
	test("is listed without its secret, and deleted with it", async () => {
		await apply(createToken());
		expect(store.list("joinToken", { limit: 10, sort: "-createdAt" }).items).toMatchObject([
			{ id: tokenId, usesLeft: 1, expiresAt: at(hour), createdAt: at(0) },
		]);
		expect(JSON.stringify(store.eventsAfter("0.0", 1000))).not.toContain(secretHash);
		expect(store.joinTokenSecret(tokenId)).toBe(secretHash);
		await apply({ kind: "joinTokenDelete", id: tokenId });
		expect([store.count("joinToken"), store.joinTokenSecret(tokenId)]).toEqual([0, null]);
		await refused({ kind: "joinTokenDelete", id: tokenId }, "not-found");
	});

	test("has a use, an end within a day, and a secret of its own", async () => {
		await refused(createToken({ usesLeft: 0 }), "invalid");
		await refused(createToken({ expiresAt: at(0) }), "invalid");
		await refused(createToken({ expiresAt: at(24 * hour + 1) }), "invalid");
		await refused(createToken({ admitted: [{ nodeId: clusterIds.node, keyFingerprint: "a".repeat(64) }] }), "invalid");
		await refused(createToken({}, "a secret in clear"), "invalid");
		await apply(createToken());
		await refused(createToken({ id: fixtureId(0x781) }), "already-exists");
		await refused(createToken({}, `sha256:${"6".repeat(32)}`), "already-exists");
	});

	test("makes room for more when it is spent, and only then", async () => {
		const other = (number: number): CommandBody =>
			createToken({ id: fixtureId(0x2000 + number) }, `sha256:${String(number).padStart(32, "0")}`);
		for (let number = 0; number < maxJoinTokens; number++) await apply(other(number));
		await refused(other(maxJoinTokens), "wrong-state");
		clock.advance(hour);
		await apply(createToken({ expiresAt: at(2 * hour) }));
		expect(store.count("joinToken")).toBe(1);
	});

	test("goes once it has expired", async () => {
		await apply(createToken());
		const before = at(0);
		const prune = (now: string) =>
			apply({ kind: "prune", tasksBefore: before, sessionsExpiredBefore: now, auditBefore: before });
		await prune(at(hour));
		expect(store.count("joinToken")).toBe(1);
		await prune(at(hour + 1));
		expect([store.count("joinToken"), store.joinTokenSecret(tokenId)]).toEqual([0, null]);
	});
});

describe("a node that comes with a token", () => {
	test("is joining, whatever it said, and the token has one use less", async () => {
		await apply(createToken({ usesLeft: 2 }));
		const { targets } = await apply(admit(0x998));
		expect(targets).toEqual([{ kind: "node", id: fixtureId(0x998) }]);
		expect(store.get("node", fixtureId(0x998))).toMatchObject({
			...{ name: "node-2", generation: 1, createdAt: at(0), status: { phase: "joining" } },
		});
		expect(store.get("joinToken", tokenId)).toMatchObject({
			usesLeft: 1,
			admitted: [{ nodeId: fixtureId(0x998), keyFingerprint: (0x998).toString(16).padStart(64, "0") }],
		});
	});

	test("is the same node when it asks again with the same key, also when no use is left", async () => {
		await apply(createToken());
		await apply(admit(0x998));
		const again = admit(0x997, "other", { key: 0x998, peerAddresses: ["192.0.2.9:7443"] });
		expect((await apply(again)).targets).toEqual([{ kind: "node", id: fixtureId(0x998) }]);
		expect(store.count("node")).toBe(2);
		expect(store.get("node", fixtureId(0x998))).toMatchObject({ name: "node-2", peerAddresses: ["192.0.2.9:7443"] });
		await refusedAs("used", admit(0x997));
	});

	test("is refused with a token that is unknown, has another secret, or has expired", async () => {
		await refusedAs("unknown", admit(0x998));
		await apply(createToken());
		await refusedAs("unknown", admit(0x998, "node-2", { secretHash: `sha256:${"6".repeat(32)}` }));
		clock.advance(hour);
		await refusedAs("expired", admit(0x998));
		expect(store.count("node")).toBe(1);
	});

	test("is a new node when the one that came with its key has left", async () => {
		await apply(createToken({ usesLeft: 2 }));
		await apply(admit(0x998));
		await apply({ kind: "nodeRemove", id: fixtureId(0x998), leaving: true, confirmName: null });
		const again = admit(0x997, "node-2", { key: 0x998 });
		expect((await apply(again)).targets).toEqual([{ kind: "node", id: fixtureId(0x997) }]);
		expect(store.get("joinToken", tokenId)).toMatchObject({ usesLeft: 0, admitted: [{ nodeId: fixtureId(0x997) }] });
		await refused(admit(0x997), "unauthenticated");
	});

	test("gets a name that is free", async () => {
		await apply(createToken({ usesLeft: 4 }));
		for (const number of [0x101, 0x102]) await arrive(number, "NODE-1");
		const long = "n".repeat(63);
		for (const number of [0x103, 0x104]) await arrive(number, long);
		const names = [0x101, 0x102, 0x103, 0x104].map((number) => store.get("node", fixtureId(number))?.name);
		expect(names).toEqual(["NODE-1-2", "NODE-1-3", long, `${"n".repeat(61)}-2`]);
	});

	test("waits for another one that is joining, but not for one that does not come", async () => {
		await apply(createToken({ usesLeft: 4 }));
		await apply(admit(0x101));
		await refused(admit(0x102), "unavailable");
		expect(store.get("joinToken", tokenId)?.usesLeft).toBe(3);
		// The one that is joining may ask again.
		await apply(admit(0x101));
		clock.advance(60_000);
		await apply(admit(0x102));
		await refused(admit(0x103), "unavailable");
		await apply(imported(0x102));
		await apply(admit(0x103));
		expect(phaseOf(0x103)).toBe("joining");
	});

	test("has room among a bounded number of them", async () => {
		await apply(createToken({ usesLeft: maxNodes }));
		for (let number = 2; number <= maxNodes; number++) await arrive(0x3000 + number);
		await refused(admit(0x4000), "wrong-state");
		await apply({ kind: "nodeRemove", id: fixtureId(0x3002), leaving: true, confirmName: null });
		await apply(admit(0x4000));
		expect(phaseOf(0x4000)).toBe("joining");
	});

	test("leaves an audit record, accepted or denied", async () => {
		await apply(createToken());
		const meta = {
			requester: { kind: "system", id: null, name: `join token ${tokenId}` },
			remoteAddress: "192.0.2.2",
			operation: "nodeAdmit",
			...{ idempotencyKey: null, credential: null },
		} as const;
		await store.proposer.propose(admit(0x998), meta);
		clock.advance(1);
		await expect(store.proposer.propose(admit(0x997, "node-3"), meta)).rejects.toMatchObject({
			code: "unauthenticated",
		});
		const { requester, remoteAddress, operation } = meta;
		expect(store.list("audit", { limit: 10, sort: "time" }).items).toMatchObject([
			{
				...{ requester, remoteAddress, operation, outcome: "accepted", errorCode: null },
				targets: [{ id: fixtureId(0x998), name: "node-2" }],
			},
			{
				...{ requester, remoteAddress, operation, outcome: "denied", errorCode: "unauthenticated" },
				targets: [{ id: fixtureId(0x997), name: "node-3" }],
			},
		]);
	});
});

describe("a node", () => {
	test("is renamed and readdressed by an administrator, and addressed by itself once", async () => {
		const id = clusterIds.node;
		await apply({ kind: "nodeAddresses", id, peerAddresses: ["192.0.2.1:7443"] });
		await apply({ kind: "nodeAddresses", id, peerAddresses: ["192.0.2.2:7443"] });
		expect(store.get("node", id)?.peerAddresses).toEqual(["192.0.2.1:7443"]);
		await apply({ kind: "nodeUpdate", id, peerAddresses: ["[2001:db8::1]:7443", "n.example.com:1"] });
		await apply({ kind: "nodeUpdate", id, name: "alpha", expectedGeneration: 3 });
		expect(store.get("node", id)).toMatchObject({
			...{ name: "alpha", generation: 4, peerAddresses: ["[2001:db8::1]:7443", "n.example.com:1"] },
		});
		await refused({ kind: "nodeUpdate", id, name: "beta", expectedGeneration: 3 }, "stale-etag");
		await refused({ kind: "nodeUpdate", id }, "invalid");
		for (const peerAddresses of [["nowhere"], ["192.0.2.1"], ["a b:1"], Array(9).fill("192.0.2.1:1")])
			await refused({ kind: "nodeUpdate", id, peerAddresses }, "invalid");
	});

	test("that is not heard of is not ready, until it reports again", async () => {
		for (const body of fixtureMember({ id: fixtureId(0x998), name: "node-2" }, startMs)) await apply(body);
		const lost: CommandBody = { kind: "nodeLost", id: fixtureId(0x998), reason: "Not heard of for 10 s" };
		clock.advance(1000);
		await apply(lost);
		expect(store.get("node", fixtureId(0x998))?.status).toMatchObject({
			...{ phase: "not-ready", reason: "Not heard of for 10 s", updatedAt: at(1000), cpuCount: 2 },
		});
		await apply({ kind: "nodeStatus", id: fixtureId(0x998), status: fixtureNode().status });
		expect(phaseOf(0x998)).toBe("ready");
		await apply({ ...lost, lost: true });
		expect(store.get("node", fixtureId(0x998))?.status).toMatchObject({ phase: "not-ready", lost: true });
		await apply({ kind: "nodeStatus", id: fixtureId(0x998), status: fixtureNode().status });
		expect(store.get("node", fixtureId(0x998))?.status).not.toHaveProperty("lost");
		await apply({ kind: "nodeRemove", id: fixtureId(0x998), leaving: true, confirmName: null });
		await apply(lost);
		expect(store.get("node", fixtureId(0x998))?.status).toMatchObject({
			phase: "left",
			reason: "It left the cluster.",
		});
	});

	test("that joins is not lost before it has come", async () => {
		await apply(createToken());
		await apply(admit(0x998));
		await apply({ kind: "nodeLost", id: fixtureId(0x998), reason: "?" });
		expect(phaseOf(0x998)).toBe("joining");
	});

	test("does not say itself that it has left", async () => {
		const status = { ...fixtureNode().status, phase: "left" as const };
		await refused({ kind: "nodeStatus", id: clusterIds.node, status }, "invalid");
	});

	test("of a log from before there were clusters gets what its record lacked", async () => {
		const { peerAddresses: _addresses, witness: _witness, ...node } = fixtureNode();
		const older = await openMemoryStore({ commands: [{ ...fixtureCluster(), node: node as never }] });
		expect(older.get("node", clusterIds.node)).toMatchObject({ peerAddresses: [], witness: false });
		await older.close();
	});
});
