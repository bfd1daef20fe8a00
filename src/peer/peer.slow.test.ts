import { afterEach, describe, expect, test } from "bun:test";
import { silentLogger } from "../lib/log.ts";
import type { Message } from "../raft/messages.ts";
import type { Close } from "./peer-error.ts";
import type { RaftLinkStatus } from "./raft-link.ts";
import {
	authority,
	closeAll,
	clusterId,
	heartbeat,
	introduce,
	strangeAuthority,
	type TestNode,
	testId,
	testIdentity,
	testNode,
	until,
} from "./test-peers.ts";

afterEach(closeAll);

const linkOf = ({ node }: TestNode, number: number): RaftLinkStatus | undefined =>
	node.status().find(({ nodeId }) => nodeId === testId(number))?.link;
const stateOf = (from: TestNode, to: number): string | undefined => linkOf(from, to)?.state;
const lastClose = (from: TestNode, to: number): Close | null => linkOf(from, to)?.lastClose ?? null;
const connected = (from: TestNode, to: number): Promise<void> => until(() => stateOf(from, to) === "connected");

describe("messages of Raft", () => {
	test("arrive at the node they are for, in order", async () => {
		const [a, b] = [await testNode(1), await testNode(2)];
		introduce(a, b);
		for (let round = 0; round < 100; round++) a.node.sendRaft(heartbeat(1, 2, round));
		b.node.sendRaft(heartbeat(2, 1, 7));
		await Promise.all([b.heard(100), a.heard(1)]);
		expect(b.messages.map((message) => (message as { round: number }).round)).toEqual([...Array(100).keys()]);
		expect(a.messages).toEqual([heartbeat(2, 1, 7)]);
		await connected(a, 2);
		const [status] = a.node.status();
		expect(status?.peer).toMatchObject({ nodeName: "node-2", build: "test", version: 1, features: ["base"] });
		expect(status?.peer?.certificateNotAfterMs).toBe(b.node.identity.notAfterMs);
		expect(status?.link).toMatchObject({ sent: 100, queuedMessages: 0, failures: 0 });
		await until(() => a.node.status()[0]?.link.rttMs !== null);
		expect(a.node.status()[0]?.incoming.raft).toBe(1);
	});

	test("an entry of 32 MiB passes", async () => {
		const [a, b] = [await testNode(1), await testNode(2)];
		introduce(a, b);
		const data = new Uint8Array(32 * 1024 * 1024).fill(5);
		const header = { clusterId, from: testId(1), to: testId(2), term: 3 };
		const entries = [{ index: 9, term: 3, kind: "command" as const, data }];
		a.node.sendRaft({ ...header, type: "append", previousIndex: 8, previousTerm: 3, commit: 8, entries });
		await b.heard(1);
		const [message] = b.messages as [Extract<Message, { type: "append" }>];
		expect(Buffer.from(message.entries[0]?.data ?? []).equals(Buffer.from(data))).toBe(true);
	});

	for (const [what, forged] of [
		["in the name of another node", heartbeat(3, 2, 1)],
		["of another cluster", { ...heartbeat(1, 2, 1), clusterId: testId(9) }],
	] as const)
		test(`${what} end the connection and reach nobody`, async () => {
			const [a, b] = [await testNode(1), await testNode(2)];
			introduce(a, b);
			a.node.sendRaft(forged);
			await until(() => lastClose(a, 2)?.code === "protocol");
			a.node.sendRaft(heartbeat(1, 2, 2));
			await b.heard(1);
			expect(b.messages).toEqual([heartbeat(1, 2, 2)]);
		});
});

describe("a node is refused, and told why", () => {
	const expectRefused = async (code: string, a: TestNode) => {
		await until(() => lastClose(a, 2)?.code === code, code);
		expect(stateOf(a, 2)).not.toBe("connected");
	};

	test("with a certificate of another CA", async () => {
		const trusted = [authority, strangeAuthority];
		const a = await testNode(1, { identity: await testIdentity(1, { by: strangeAuthority, trusted }) });
		const b = await testNode(2);
		introduce(a, b);
		await expectRefused("bad-certificate", a);
	});

	test("when the other's certificate is of another CA, before it has said anything", async () => {
		const a = await testNode(1);
		const b = await testNode(2, { identity: await testIdentity(2, { by: strangeAuthority }) });
		introduce(a, b);
		await expectRefused("bad-certificate", a);
		expect(b.node.status()[0]?.peer).toBeNull();
	});

	test("when the other is of a cluster that was recovered without it; the logs of both say so, once", async () => {
		const lines: [string, unknown][] = [];
		const write = (message: string, fields: unknown) => void lines.push([message, fields]);
		const logger = { ...silentLogger, info: write, warn: write };
		const a = await testNode(1, { logger });
		const identity = await testIdentity(2, { by: strangeAuthority, cluster: testId(0xd) });
		const b = await testNode(2, { identity, logger });
		b.node.setMembership([], [testId(1)]);
		a.node.setMembership([{ nodeId: testId(2), addresses: [b.address] }], []);
		await expectRefused("wrong-cluster", a);
		expect(lastClose(a, 2)?.message).toContain(testId(0xd));
		await until(() => lines.length > 1);
		// It tries again, and nothing more is said.
		const failures = linkOf(a, 2)?.failures ?? 0;
		a.node.setMembership([{ nodeId: testId(2), addresses: [b.address, b.address] }], []);
		await until(() => (linkOf(a, 2)?.failures ?? 0) > failures || linkOf(a, 2)?.state === "waiting");
		expect(lines.map(([message]) => message).sort()).toEqual([
			"a node does not take this one for a member of its cluster",
			"a peer is of another cluster",
		]);
		const fieldsOf = (start: string) => lines.find(([message]) => message.startsWith(start))?.[1];
		expect(fieldsOf("a peer")).toMatchObject({ peer: testId(2), code: "wrong-cluster" });
		expect(fieldsOf("a node")).toMatchObject({
			...{ nodeId: testId(1), clusterId, reason: expect.stringContaining("recovered") },
		});
	});

	test("when another node is at the address", async () => {
		const [a, b, c] = [await testNode(1), await testNode(2), await testNode(3)];
		a.node.setMembership([{ nodeId: testId(2), addresses: [c.address] }], []);
		await expectRefused("other-node", a);
		// Its second address is tried, too.
		b.node.setMembership([{ nodeId: testId(1), addresses: [a.address] }], []);
		a.node.setMembership([{ nodeId: testId(2), addresses: [c.address, b.address] }], []);
		await connected(a, 2);
	});

	test("when it was removed: whoever it asks says so", async () => {
		const [a, b] = [await testNode(1), await testNode(2)];
		introduce(a, b);
		await connected(a, 2);
		b.node.setMembership([{ nodeId: testId(2), addresses: [b.address] }], [testId(1)]);
		await expectRefused("removed-node", a);
		await expect(a.node.call(testId(2), "x", new Uint8Array(0), { timeoutMs: 2000 })).rejects.toMatchObject({
			close: "removed-node",
			sent: false,
		});
		// So it is not off, whoever says so.
		expect(b.node.sinceRemovedMs(testId(1))).toBeLessThan(10_000);
		expect(b.node.sinceRemovedMs(testId(3))).toBe(null);
	});

	test("when it is not known (yet), and connected once it is", async () => {
		const [a, b] = [await testNode(1), await testNode(2)];
		a.node.setMembership([{ nodeId: testId(2), addresses: [b.address] }], []);
		await expectRefused("unknown-node", a);
		introduce(a, b);
		await connected(a, 2);
	});

	test("without a common version", async () => {
		const [a, b] = [await testNode(1, { versions: { min: 2, max: 3 } }), await testNode(2)];
		introduce(a, b);
		await expectRefused("no-common-version", a);
		expect(lastClose(a, 2)?.message).toContain("versions 1 to 1");
	});

	test("of another cluster whose CA it also has", async () => {
		const a = await testNode(1, { identity: await testIdentity(1, { cluster: testId(0xd) }) });
		const b = await testNode(2);
		introduce(a, b);
		await expectRefused("bad-certificate", a);
	});
});

test("each two nodes speak the highest version that both know; it may be another after an upgrade", async () => {
	const of = (number: number, min: number, max: number) => testNode(number, { versions: { min, max } });
	const [a, b, c] = [await of(1, 1, 1), await of(2, 1, 3), await of(3, 2, 5)];
	introduce(a, b, c);
	const version = (from: TestNode, to: number) =>
		from.node.status().find(({ nodeId }) => nodeId === testId(to))?.peer?.version;
	await Promise.all([connected(a, 2), connected(b, 1), connected(b, 3), connected(c, 2)]);
	expect([version(a, 2), version(b, 1), version(b, 3), version(c, 2)]).toEqual([1, 1, 3, 3]);
	await until(() => lastClose(a, 3)?.code === "no-common-version");
	a.node.sendRaft(heartbeat(1, 2, 1));
	c.node.sendRaft(heartbeat(3, 2, 2));
	await b.heard(2);
	await a.node.close();
	const upgraded = await of(1, 1, 4);
	introduce(upgraded, b, c);
	await Promise.all([connected(upgraded, 2), connected(upgraded, 3), connected(c, 1)]);
	expect([version(upgraded, 2), version(upgraded, 3), version(c, 1)]).toEqual([3, 4, 4]);
});

test("a second process with the same id is refused while the first is connected", async () => {
	const b = await testNode(2);
	const identity = await testIdentity(1);
	const first = await testNode(1, { identity });
	introduce(first, b);
	await connected(first, 2);
	const copy = await testNode(1, { identity });
	copy.node.setMembership([{ nodeId: testId(2), addresses: [b.address] }], []);
	await until(() => lastClose(copy, 2)?.code === "duplicate-node");
	expect(stateOf(first, 2)).toBe("connected");
	await first.node.close();
	await connected(copy, 2);
});

test("the link comes back after the peer restarts on the same port; one that took its leave was not cut off", async () => {
	const cutOff: string[] = [];
	const a = await testNode(1, { handlers: { onCutOff: (nodeId) => cutOff.push(nodeId) } });
	const b = await testNode(2);
	introduce(a, b);
	await connected(a, 2);
	await b.node.close();
	await until(() => stateOf(a, 2) !== "connected");
	expect(lastClose(a, 2)).toMatchObject({ code: "closing" });
	const again = await testNode(2, { port: b.address.port });
	introduce(a, again);
	await connected(a, 2);
	a.node.sendRaft(heartbeat(1, 2, 5));
	await again.heard(1);
	expect(cutOff).toEqual([]);
});

test("what members can do is known once they were heard of, and as they said it last", async () => {
	const [a, b, c] = [await testNode(1), await testNode(2), await testNode(3, { features: [] })];
	const said = () => Object.fromEntries(a.node.status().map(({ nodeId, peer }) => [nodeId, peer?.features]));
	introduce(a, b, c);
	expect(said()).toEqual({ [testId(2)]: undefined, [testId(3)]: undefined });
	await connected(a, 2);
	await connected(a, 3);
	expect(said()).toEqual({ [testId(2)]: ["base"], [testId(3)]: [] });
	await c.node.close();
	expect(said()[testId(3)]).toEqual([]);
	introduce(a, await testNode(3, { features: ["base", "more"] }));
	await until(() => said()[testId(3)]?.length === 2);
});

describe("a new certificate", () => {
	test("is used for new connections, and messages go on meanwhile", async () => {
		const [a, b] = [await testNode(1), await testNode(2)];
		introduce(a, b);
		let round = 0;
		const sending = setInterval(() => a.node.sendRaft(heartbeat(1, 2, round++)), 1);
		await b.heard(50);
		const before = a.node.identity.fingerprint;
		a.node.setIdentity(await testIdentity(1));
		b.node.setIdentity(await testIdentity(2));
		expect(a.node.identity.fingerprint).not.toBe(before);
		await b.heard(b.messages.length + 100);
		clearInterval(sending);
		await until(() => b.messages.length === round);
		const rounds = b.messages.map((message) => (message as { round: number }).round);
		expect(rounds.sort((x, y) => x - y)).toEqual([...Array(round).keys()]);
		expect(stateOf(a, 2)).toBe("connected");
		// The old connections are gone.
		await until(() => a.node.status()[0]?.incoming.raft === 1 && b.node.status()[0]?.incoming.raft === 1);
	});

	test("of a new CA, by way of trusting both", async () => {
		const both = [authority, strangeAuthority];
		const [a, b] = [await testNode(1), await testNode(2)];
		introduce(a, b);
		await until(() => stateOf(a, 2) === "connected" && stateOf(b, 1) === "connected");
		const steps: Parameters<typeof testIdentity>[1][] = [
			{ by: authority, trusted: both },
			{ by: strangeAuthority, trusted: both },
			{ by: strangeAuthority, trusted: [strangeAuthority] },
		];
		for (const step of steps)
			for (const [number, one, other] of [
				[1, a, b],
				[2, b, a],
			] as const) {
				one.node.setIdentity(await testIdentity(number, step));
				const seen = other.messages.length;
				one.node.sendRaft(heartbeat(number, 3 - number, 1));
				await other.heard(seen + 1);
			}
		expect(await a.node.call(testId(2), "echo", Uint8Array.of(1), { timeoutMs: 2000 })).toEqual(Uint8Array.of(1));
	});
});

test("a snapshot goes on a connection of its own, in small steps both ways", async () => {
	const received: string[] = [];
	const b = await testNode(2, {
		handlers: {
			onSnapshot: (channel) =>
				channel.handle({
					onMessage(message) {
						received.push(message.type);
						const { snapshot } = message;
						if (message.type === "offer") channel.send({ type: "want", snapshot, offset: 0 });
						else channel.send({ type: "have", snapshot, offset: message.data.length });
					},
					onClose: ({ code }) => received.push(code),
				}),
		},
	});
	const a = await testNode(1);
	introduce(a, b);
	const channel = await a.node.openSnapshot(testId(2));
	const answers: string[] = [];
	const had = Promise.withResolvers<void>();
	const configuration = { voters: [testId(1)], witnesses: [], learners: [], removed: [] };
	const meta = { index: 5, term: 1, configuration: { index: 0, configuration } };
	const data = new Uint8Array(1024 * 1024).fill(1);
	channel.handle({
		onMessage(message) {
			answers.push(message.type);
			if (message.type === "want") channel.send({ type: "chunk", snapshot: "s", offset: 0, data, crc: 1 });
			if (message.type === "have" && message.offset === data.length) had.resolve();
		},
		onClose() {},
	});
	const header = { clusterId, from: testId(1), to: testId(2), term: 1 };
	channel.send({ type: "offer", snapshot: "s", ...header, meta, sizeBytes: data.length, crc: 1 });
	await had.promise;
	channel.end();
	await until(() => received.length === 3);
	expect([answers, received]).toEqual([
		["want", "have"],
		["offer", "chunk", "closing"],
	]);
});

test("a bug of a handler costs one connection, which is made again", async () => {
	let broken = true;
	const heard: Message[] = [];
	const onRaftMessage = (message: Message) => {
		if (broken) throw new Error("bug");
		heard.push(message);
	};
	const [a, b] = [await testNode(1), await testNode(2, { handlers: { onRaftMessage } })];
	introduce(a, b);
	await connected(a, 2);
	a.node.sendRaft(heartbeat(1, 2, 1));
	await until(() => lastClose(a, 2) !== null);
	broken = false;
	await connected(a, 2);
	a.node.sendRaft(heartbeat(1, 2, 2));
	await until(() => heard.length === 1);
});
