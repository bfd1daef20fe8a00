/** Strangers that say they want to join, and then nothing, or nothing but nonsense: they keep nobody out, and fill no log. */
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../lib/clock.ts";
import { type LogFields, silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { makeNodeKey, signNode } from "./ca.ts";
import { calmPace } from "./connection.ts";
import { dial } from "./dial.ts";
import { protocolVersions } from "./hello.ts";
import { join } from "./join.ts";
import type { JoinHandler } from "./join-server.ts";
import { newSecret } from "./join-token.ts";
import type { PeerNodeOptions } from "./peer.ts";
import { authority, closeAll, clusterId, maker, type TestNode, testId, testNode, until } from "./test-peers.ts";

afterEach(closeAll);

const admitting: JoinHandler = {
	redeem: async () => "ok",
	async admit({ csr }) {
		const certificatePem = await signNode(authority, { csr, nodeId: testId(20), clusterId }, maker);
		const configuration = new Uint8Array(0);
		return { nodeId: testId(20), certificatePem, authoritiesPem: authority.certificatePem, configuration };
	},
};
const member = (handler: JoinHandler, options: Partial<Omit<PeerNodeOptions, "handlers">> = {}) =>
	testNode(1, { ...options, handlers: { join: handler } });

/** One that has said hello, and waits. */
async function stranger({ address }: TestNode, cluster = clusterId) {
	const { connection } = await dial({
		...{ purpose: "join", address, judge: () => null, pace: calmPace, maxQueuedBytes: 1 << 20, timeoutMs: 3000 },
		self: { clusterId: cluster, nodeId: "", ...about },
		...{ clock: systemClock, logger: silentLogger },
	});
	const heard: { code: string | null } = { code: null };
	connection.handle([], {
		onFrame() {},
		onClose({ code }) {
			heard.code = code;
		},
	});
	return heard;
}
const about = { nodeName: "x", build: "test", instance: "i", features: [], versions: protocolVersions };

async function joining({ node, address }: TestNode) {
	const { authorityFingerprint } = node.identity;
	const secret = newSecret(systemRandom);
	return join({
		token: { tokenId: testId(9), secret, authorityFingerprint, clusterId, addresses: [address] },
		...{ keyPem: await makeNodeKey(), self: about, ownAddresses: [], facts: new Uint8Array(0) },
		...{ clock: systemClock, logger: silentLogger },
	});
}

test("a crowd of them keeps nobody from joining, from their own address either", async () => {
	const node = await member(admitting);
	const crowd = [];
	for (let number = 0; number < 20; number++) crowd.push(await stranger(node));
	expect((await joining(node)).identity.nodeId).toBe(testId(20));
	expect(crowd.map(({ code }) => code)).toEqual(crowd.map(() => null));
});

test("beyond the limit of an address the one that waits longest goes, and is told to come again", async () => {
	const node = await member(admitting, { limits: { admission: { total: 10, perAddress: 4 } } });
	const crowd: { code: string | null }[] = [];
	for (let number = 0; number < 6; number++) crowd.push(await stranger(node));
	await until(() => crowd[1]?.code !== null);
	const busy = "too-many-connections";
	expect(crowd.map(({ code }) => code)).toEqual([busy, busy, null, null, null, null]);
	expect((await joining(node)).identity.nodeId).toBe(testId(20));
});

test("who has a good token and does not come to an end counts, too", async () => {
	let admits = 0;
	const node = await member({
		redeem: async () => "ok",
		admit() {
			admits += 1;
			return new Promise(() => {});
		},
	});
	const ends: unknown[] = [];
	for (let number = 1; number <= 9; number++) {
		joining(node).catch((error) => ends.push(error.close));
		await until(() => admits === number);
	}
	await until(() => ends.length > 0);
	expect(ends).toEqual(["too-many-connections"]);
});

test("their refusals are a line of the log a second, each kind", async () => {
	const lines: LogFields[] = [];
	const logger = { ...silentLogger, info: (_message: string, fields?: LogFields) => void lines.push(fields ?? {}) };
	const node = await member({ ...admitting, redeem: async () => "unknown" }, { logger });
	const beganMs = performance.now();
	for (let number = 0; number < 25; number++) {
		await expect(stranger(node, testId(0xd))).rejects.toMatchObject({ close: "wrong-cluster" });
		await expect(joining(node)).rejects.toMatchObject({ close: "token-unknown" });
	}
	const seconds = Math.ceil((performance.now() - beganMs) / 1000);
	expect(new Set(lines.map(({ code }) => code))).toEqual(new Set(["wrong-cluster", "token-unknown"]));
	expect(lines.length).toBeLessThanOrEqual(2 * seconds + 2);
});
