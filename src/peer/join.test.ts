import { afterEach, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { type Authority, makeNodeKey, signNode } from "./ca.ts";
import { protocolVersions } from "./hello.ts";
import { type JoinOptions, join } from "./join.ts";
import type { JoinHandler, Joining } from "./join-server.ts";
import { formatToken, hashSecret, type JoinToken, newSecret, parseToken, secretMatches } from "./join-token.ts";
import { PeerError } from "./peer-error.ts";
import {
	authority,
	closeAll,
	clusterId,
	introduce,
	maker,
	strangeAuthority,
	type TestNode,
	testId,
	testIdentity,
	testNode,
} from "./test-peers.ts";

afterEach(closeAll);

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** What the replicated state will do: tokens by id with the hash, the key that used it, and the node that it became. */
class Tokens implements JoinHandler {
	readonly #tokens = new Map<string, { hash: string; expired: boolean; usedBy: string | null; nodeId: string }>();
	readonly asked: Joining[] = [];
	/** Fails so often before it works. */
	failures: (() => void | Promise<void>)[] = [];
	#next = 20;

	add(secret: Uint8Array, options: { expired?: boolean } = {}): string {
		const id = testId(1000 + this.#tokens.size);
		const { expired = false } = options;
		this.#tokens.set(id, { hash: hashSecret(secret), expired, usedBy: null, nodeId: testId(this.#next++) });
		return id;
	}

	async redeem(tokenId: string, secret: Uint8Array, keyFingerprint: string) {
		const token = this.#tokens.get(tokenId);
		if (token === undefined || !secretMatches(secret, token.hash)) return "unknown";
		if (token.usedBy !== null) return token.usedBy === keyFingerprint ? "ok" : "used";
		if (token.expired) return "expired";
		token.usedBy = keyFingerprint;
		return "ok";
	}

	async admit(joining: Joining) {
		this.asked.push(joining);
		await this.failures.shift()?.();
		const nodeId = this.#tokens.get(joining.tokenId)?.nodeId ?? "";
		const certificatePem = await signNode(authority, { csr: joining.csr, nodeId, clusterId }, maker);
		return { nodeId, certificatePem, authoritiesPem: authority.certificatePem, configuration: text("members") };
	}
}

async function cluster(by: Authority = authority) {
	const tokens = new Tokens();
	const secret = newSecret(systemRandom);
	const member = await testNode(1, { identity: await testIdentity(1, { by }), handlers: { join: tokens } });
	const authorityFingerprint = (await testIdentity(9)).authorityFingerprint;
	const token = (changes: Partial<JoinToken> = {}): JoinToken => ({
		tokenId: "tokenId" in changes ? "" : tokens.add(secret),
		secret,
		authorityFingerprint,
		clusterId,
		addresses: [member.address],
		...changes,
	});
	return { member, tokens, secret, token };
}

const options = async (token: JoinToken, changes: Partial<JoinOptions> = {}): Promise<JoinOptions> => ({
	token,
	keyPem: await makeNodeKey(),
	self: { nodeName: "new", build: "test", instance: "i", features: ["base"], versions: protocolVersions },
	ownAddresses: [{ host: "127.0.0.1", port: 9 }],
	facts: text("facts"),
	clock: systemClock,
	logger: silentLogger,
	connectTimeoutMs: 2000,
	answerTimeoutMs: 3000,
	...changes,
});

test("a node joins with a token, and is a member with its certificate", async () => {
	const { member, tokens, secret, token } = await cluster();
	const { identity, configuration } = await join(await options(parseToken(formatToken(token()))));
	expect(identity).toMatchObject({ nodeId: testId(20), clusterId });
	expect(Buffer.from(configuration).toString()).toBe("members");
	expect(tokens.asked[0]).toMatchObject({
		nodeName: "new",
		features: ["base"],
		secretHash: hashSecret(secret),
		addresses: [{ host: "127.0.0.1", port: 9 }],
	});
	expect(Buffer.from(tokens.asked[0]?.facts ?? []).toString()).toBe("facts");
	const node: TestNode = await testNode(20, { identity });
	introduce(member, node);
	expect(await node.node.call(testId(1), "echo", text("x"), { timeoutMs: 3000 })).toEqual(text("x"));
});

describe("it is refused", () => {
	const refused = async (joining: Promise<JoinOptions>, close: string) => {
		const failure = await join(await joining).catch((error) => error);
		expect(failure).toBeInstanceOf(PeerError);
		expect(failure.close).toBe(close);
	};
	test("with an expired, an unknown, or somebody else's token", async () => {
		const { tokens, secret, token } = await cluster();
		const over = options(token({ tokenId: tokens.add(secret, { expired: true }) }));
		await refused(over, "token-expired");
		await expect(join(await over)).rejects.toThrow("The token has expired");
		await refused(options(token({ tokenId: testId(5) })), "token-unknown");
		await refused(options({ ...token(), secret: newSecret(systemRandom) }), "token-unknown");
	});
	test("with a token that another key has used; the same key may come again and is the same node", async () => {
		const { token } = await cluster();
		const once = token();
		const keyPem = await makeNodeKey();
		const first = await join(await options(once, { keyPem }));
		await refused(options(once), "token-used");
		const again = await join(await options(once, { keyPem }));
		expect(again.identity.nodeId).toBe(first.identity.nodeId);
	});
	test("by a cluster that it was not meant for", async () => {
		const { member, token } = await cluster();
		await refused(options(token({ clusterId: testId(0xd) })), "bad-certificate");
		expect(member.node.status()).toEqual([]);
	});
	test("by itself, before anything was sent, when the authority is not the token's", async () => {
		const { tokens, token } = await cluster();
		await refused(options(token({ authorityFingerprint: "00".repeat(32) })), "bad-certificate");
		const other = await cluster(strangeAuthority);
		await refused(options(token({ addresses: [other.member.address] })), "bad-certificate");
		expect([tokens.asked.length, other.tokens.asked.length]).toEqual([0, 0]);
	});
	test("without a common version", async () => {
		const { token } = await cluster();
		const base = await options(token());
		await refused(
			Promise.resolve({ ...base, self: { ...base.self, versions: { min: 7, max: 8 } } }),
			"no-common-version",
		);
	});
	test("by a node that admits nobody, by rules of the cluster", async () => {
		const { tokens, token } = await cluster();
		tokens.failures.push(() => {
			throw new AppError("already-exists", "The name is taken.");
		});
		await refused(options(token()), "not-admitted");
		const shut = await testNode(3);
		await refused(options(token({ addresses: [shut.address] })), "unavailable");
	});
});

describe("it can be repeated after a break", () => {
	test("of the cluster, while it admits: no leader, a bug, the member going down", async () => {
		const { member, tokens, token } = await cluster();
		const once = token();
		const keyPem = await makeNodeKey();
		tokens.failures.push(
			() => {
				throw new AppError("unavailable", "There is no leader.");
			},
			() => {
				throw new Error("bug");
			},
		);
		await expect(join(await options(once, { keyPem }))).rejects.toMatchObject({ close: "unavailable" });
		await expect(join(await options(once, { keyPem }))).rejects.toMatchObject({ close: "internal" });
		tokens.failures.push(() => member.node.close());
		await expect(join(await options(once, { keyPem }))).rejects.toMatchObject({ close: "closing" });
		const again = await testNode(1, { port: member.address.port, handlers: { join: tokens } });
		expect(again.address).toEqual(member.address);
		expect((await join(await options(once, { keyPem }))).identity.nodeId).toBe(testId(20));
	});
	test("at an address where nobody is, nobody answers, or somebody else is: the next one is asked", async () => {
		const { member, token } = await cluster();
		const silent = createServer(() => {});
		await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
		const { port } = silent.address() as { port: number };
		const addresses = [{ host: "127.0.0.1", port: 1 }, { host: "127.0.0.1", port }, member.address];
		const joined = await join(await options(token({ addresses }), { connectTimeoutMs: 500 }));
		expect(joined.identity.clusterId).toBe(clusterId);
		silent.close();
	});
});

describe("a token", () => {
	const token: JoinToken = {
		tokenId: testId(1),
		secret: new Uint8Array(32).fill(7),
		authorityFingerprint: "ab".repeat(32),
		clusterId,
		addresses: [
			{ host: "10.0.0.1", port: 8444 },
			{ host: "fd00::1", port: 8444 },
		],
	};
	const word = formatToken(token);
	test("is one word that says all", () => {
		expect(word).toMatch(/^lqxjoin1_[A-Za-z0-9_-]+$/);
		expect(word.length).toBeLessThan(320);
		expect(parseToken(` ${word}\n`)).toEqual(token);
	});
	test("that was cut or changed is told from a bad one, and never repeated in the message", () => {
		const bad = [
			"",
			"x",
			word.slice(0, -1),
			word.slice(0, 60),
			`${word}A`,
			word.replace("1_", "2_"),
			"lqxjoin1_",
			`${word} ${word}`,
		];
		for (let at = 9; at < word.length; at += 7)
			bad.push(`${word.slice(0, at)}${word[at] === "A" ? "B" : "A"}${word.slice(at + 1)}`);
		for (const one of bad) {
			const error = (() => {
				try {
					return parseToken(one);
				} catch (thrown) {
					return thrown as AppError;
				}
			})();
			expect(error).toBeInstanceOf(AppError);
			expect((error as AppError).message).not.toContain(word.slice(9, 30));
		}
	});
	test("is kept as a hash", () => {
		const hash = hashSecret(token.secret);
		expect(secretMatches(token.secret, hash)).toBe(true);
		expect(secretMatches(new Uint8Array(32), hash)).toBe(false);
		expect(secretMatches(token.secret, "")).toBe(false);
	});
});

test("addresses", () => {
	for (const good of ["10.0.0.1:8444", "node-1.example.org:1", "[fd00::1]:65535"])
		expect(formatAddress(parseAddress(good) ?? { host: "", port: 0 })).toBe(good);
	for (const bad of ["", "x", ":1", "x:0", "x:65536", "fd00::1:8444", "[x]:1", "[::1]", "a b:1", "x:1\n", "[1:2]:3"])
		expect(parseAddress(bad)).toBeNull();
});
