import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { HelloSchema, RefusalSchema, StreamDataSchema, StreamOpenSchema } from "../gen/peer_pb.ts";
import { encodeFrame, type Frame, type FrameName, FrameReader, frameTypes, headerBytes, preface } from "./frame.ts";
import { encodeHello, encodeWelcome, type Purpose, protocolVersions, type Self } from "./hello.ts";
import type { Identity } from "./identity.ts";
import type { PeerNodeOptions } from "./peer.ts";
import type { IncomingStream } from "./stream-open.ts";
import { closeAll, clusterId, introduce, type TestNode, testId, testIdentity, testNode, until } from "./test-peers.ts";
import { decoded, encoded } from "./wire.ts";

const sockets = new Set<Socket>();
afterEach(async () => {
	for (const socket of sockets) socket.destroy();
	sockets.clear();
	await closeAll();
});

const everything = Object.keys(frameTypes) as FrameName[];
const identity = await testIdentity(2);
const self: Self = {
	clusterId,
	nodeId: testId(2),
	nodeName: "raw",
	build: "test",
	instance: "raw",
	features: [],
	versions: protocolVersions,
};

/** What a hand-made client hears, as frames, until it is cut off. */
class RawClient {
	readonly frames: Frame[] = [];
	closed = false;

	constructor(readonly socket: Socket) {
		sockets.add(socket);
		const reader = new FrameReader(everything);
		socket.on("data", (chunk: Uint8Array) => void reader.push(chunk, (frame) => this.frames.push(frame) > 0));
		socket.on("error", () => {});
		socket.on("close", () => {
			this.closed = true;
		});
	}

	get refusal(): { code: string; message: string } | null {
		const frame = this.frames.find(({ name }) => name === "refusal");
		return frame ? decoded(RefusalSchema, frame.payload, ({ code, message }) => ({ code, message })) : null;
	}

	write(...parts: Uint8Array[]): void {
		this.socket.write(Buffer.concat(parts));
	}

	hello(purpose: Purpose, by: Self = self): void {
		this.write(preface, encodeFrame("hello", encodeHello(by, purpose, testId(1))));
	}
}

const tcp = ({ address }: TestNode): RawClient => new RawClient(connectTcp(address.port, address.host));

async function tls({ address }: TestNode, by: Identity | null = identity): Promise<RawClient> {
	const credentials = by === null ? {} : { cert: by.chainPem, key: by.keyPem };
	const socket: TLSSocket = connectTls({ ...address, rejectUnauthorized: false, ...credentials });
	const client = new RawClient(socket);
	await new Promise((resolve) => socket.once("secureConnect", resolve));
	return client;
}

async function target(options: Partial<PeerNodeOptions> = {}): Promise<TestNode> {
	const node = await testNode(1, options);
	node.node.setMembership([{ nodeId: testId(2), addresses: [] }], []);
	return node;
}

describe("refused with its reason", () => {
	test("without a certificate, whatever it says it is", async () => {
		const client = await tls(await target(), null);
		client.hello("raft");
		await until(() => client.closed);
		expect(client.refusal).toMatchObject({ code: "bad-certificate", message: "It shows no certificate." });
		expect(client.frames).toHaveLength(1);
	});
	test("with the certificate of another node", async () => {
		const client = await tls(await target(), await testIdentity(3));
		client.hello("raft");
		await until(() => client.closed);
		expect(client.refusal?.code).toBe("bad-certificate");
	});
	for (const [what, changes, code] of [
		["another cluster", { clusterId: testId(0xd) }, "wrong-cluster"],
		["no common version", { versions: { min: 9, max: 12 } }, "no-common-version"],
		["a node id that is too long", { nodeId: "x".repeat(200) }, "bad-hello"],
		["too many features", { features: Array<string>(300).fill("x") }, "bad-hello"],
	] as const)
		test(what, async () => {
			const client = await tls(await target());
			client.hello("request", { ...self, ...changes });
			await until(() => client.closed);
			expect(client.refusal?.code).toBe(code);
		});
	test("an unknown purpose, and bytes that are no hello", async () => {
		const node = await target();
		const odd = encoded(HelloSchema, { minVersion: 1, maxVersion: 1, purpose: "else", clusterId, nodeId: testId(2) });
		for (const payload of [odd, Uint8Array.of(1, 2, 3), Uint8Array.of(0x0a, 0xff)]) {
			const client = await tls(node);
			client.write(preface, encodeFrame("hello", payload));
			await until(() => client.closed);
			expect(client.refusal?.code).toBe("bad-hello");
		}
	});
	test("a second hello, a frame of another purpose, a frame before the hello", async () => {
		const node = await target();
		for (const frames of [["hello"], ["call"], ["streamData"]] as FrameName[][]) {
			const client = await tls(node);
			client.hello("raft");
			for (const name of frames) client.write(encodeFrame(name, new Uint8Array(0)));
			await until(() => client.closed);
			expect(client.refusal?.code).toBe("protocol");
		}
		const early = await tls(node);
		early.write(preface, encodeFrame("raft", new Uint8Array(0)));
		await until(() => early.closed);
		expect(early.refusal?.code).toBe("protocol");
	});
});

describe("cut off, without harm", () => {
	test("garbage: on TCP, in TLS, a length of 4 GB", async () => {
		const node = await target();
		const http = tcp(node);
		http.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
		const inside = await tls(node, null);
		inside.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
		const huge = await tls(node, null);
		huge.write(preface, Uint8Array.of(255, 255, 255, 255, frameTypes.hello));
		await until(() => http.closed && inside.closed && huge.closed);
		expect(huge.refusal).toMatchObject({ code: "protocol", message: "A frame is too large." });
	});

	test("who says nothing, and who says it a byte at a time", async () => {
		const node = await target({ limits: { helloTimeoutMs: 400 } });
		const silent = tcp(node);
		const secure = await tls(node);
		const slow = await tls(node);
		const bytes = Buffer.concat([preface, encodeFrame("hello", encodeHello(self, "raft", testId(1)))]);
		let at = 0;
		const drip = setInterval(() => slow.write(bytes.subarray(at, ++at)), 50);
		const beganMs = performance.now();
		await until(() => silent.closed && secure.closed && slow.closed);
		clearInterval(drip);
		expect(performance.now() - beganMs).toBeLessThan(2000);
		expect(at).toBeLessThan(bytes.length);
	});

	test("a crowd that only waits does not keep a member out, and costs a bounded number of connections", async () => {
		const node = await testNode(1, { limits: { admission: { total: 20, perAddress: 10 } } });
		const crowd = Array.from({ length: 150 }, () => tcp(node));
		await until(() => crowd.filter(({ closed }) => closed).length >= 140);
		const member = await testNode(2);
		introduce(node, member);
		await until(() => member.node.status()[0]?.link.state === "connected");
		expect(crowd.filter(({ closed }) => !closed).length).toBeLessThanOrEqual(10);
	});

	test("nothing is left open", async () => {
		const node = await target({ limits: { helloTimeoutMs: 300 } });
		const count = () => readdirSync("/proc/self/fd").length;
		const before = count();
		const clients = [tcp(node), tcp(node), await tls(node), await tls(node, null)];
		clients[0]?.write(Uint8Array.of(1, 2, 3));
		clients[3]?.hello("raft");
		await until(() => clients.every(({ closed }) => closed) && count() <= before);
	});
});

test("a member that sends garbage on any kind of connection loses that connection, and nothing else", async () => {
	const node = await target();
	let state = 7;
	const random = (below: number): number => {
		state = (Math.imul(state, 1103515245) + 12345) >>> 0;
		return (state >>> 8) % below;
	};
	const purposes: [Purpose, FrameName][] = [
		["raft", "raft"],
		["request", "call"],
		["request", "cancel"],
		["stream", "streamOpen"],
		["join", "joinRequest"],
	];
	for (let round = 0; round < 40; round++) {
		const [purpose, name] = purposes[round % purposes.length] as [Purpose, FrameName];
		const client = await tls(node);
		client.hello(purpose);
		await until(() => client.frames.length > 0);
		const payload = new Uint8Array(random(200)).map(() => random(256));
		const frame = encodeFrame(name, payload);
		if (random(3) === 0) frame[random(headerBytes)] = random(256);
		client.write(frame);
		client.socket.end();
		await until(() => client.closed);
	}
	const member = await testNode(2, { identity });
	introduce(node, member);
	await until(() => member.node.status()[0]?.link.state === "connected");
	expect(await member.node.call(testId(1), "echo", Uint8Array.of(1), { timeoutMs: 3000 })).toEqual(Uint8Array.of(1));
});

test("a stream's sender that does not wait for credit loses the stream", async () => {
	const onStream = async ({ accept }: IncomingStream) => {
		accept();
		await new Promise(() => {});
	};
	const node = await target({ handlers: { ...noHandlers, onStream } });
	const client = await tls(node);
	client.hello("stream");
	const request = encoded(StreamOpenSchema, { kind: "x", windowBytes: 1 });
	client.write(encodeFrame("streamOpen", request));
	await until(() => client.frames.some(({ name }) => name === "streamAccept"));
	for (let i = 0; i < 20; i++)
		client.write(encodeFrame("streamData", encoded(StreamDataSchema, { data: new Uint8Array(64 * 1024) })));
	await until(() => client.closed);
	expect(client.refusal?.code).toBe("protocol");
});

test("a member that says it is another one, at that one's address, is found out by its certificate", async () => {
	const liar = await testIdentity(3);
	let hellos = 0;
	const server = createTlsServer({
		cert: liar.chainPem,
		key: liar.keyPem,
		requestCert: true,
		rejectUnauthorized: false,
	});
	server.on("secureConnection", (socket) => {
		const client = new RawClient(socket);
		const wait = setInterval(() => {
			if (!client.frames.some(({ name }) => name === "hello")) return;
			clearInterval(wait);
			hellos += 1;
			client.write(preface, encodeFrame("welcome", encodeWelcome(self, 1, "raft")));
		}, 2);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as { port: number };
	const node = await testNode(1);
	node.node.setMembership([{ nodeId: testId(2), addresses: [{ host: "127.0.0.1", port }] }], []);
	await until(() => node.node.status()[0]?.link.lastClose?.code === "other-node");
	expect([hellos, node.node.status()[0]?.peer]).toEqual([0, null]);
	server.close();
});

test("one that does not read what it asked for costs a bounded amount", async () => {
	const node = await target({ handlers: { ...noHandlers, onRequest: async () => new Uint8Array(4 * 1024 * 1024) } });
	const client = await tls(node);
	client.hello("request");
	await until(() => client.frames.length > 0);
	client.socket.pause();
	const before = process.memoryUsage.rss();
	for (let id = 1; id <= 200; id++) {
		// Call{id, method "x", timeoutMs 60000}
		const tag = [0x08, (id & 0x7f) | 0x80, id >> 7, 0x12, 1, 0x78, 0x18, 0xe0, 0xd4, 0x03];
		client.write(encodeFrame("call", Uint8Array.from(tag)));
	}
	await until(() => node.node.status()[0]?.incoming.request === 1);
	await Bun.sleep(300);
	// What it has made for answers that it does not send any more is no cost, once it is collected.
	Bun.gc(true);
	expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(250);
	// It is told that it is too much, and keeps its connection as long as it answers pings.
	client.socket.resume();
	await until(() => client.frames.filter(({ name }) => name === "answer").length === 200);
	expect(
		client.frames.filter(({ payload }) => Buffer.from(payload).includes("could not be sent")).length,
	).toBeGreaterThan(100);
});

const noHandlers: PeerNodeOptions["handlers"] = {
	onRaftMessage() {},
	onSnapshot: (channel) => channel.end(),
	onRequest: async ({ payload }) => payload,
	onStream: async () => {},
	join: null,
};
