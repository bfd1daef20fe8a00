import { afterEach, describe, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import type { PeerStream } from "./stream.ts";
import type { StreamHandler } from "./stream-open.ts";
import { closeAll, introduce, type TestNode, testId, testNode, until } from "./test-peers.ts";

afterEach(closeAll);

const MiB = 1024 * 1024;
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const request = { kind: "test", metadata: text("?") };

async function pair(onStream: StreamHandler): Promise<[TestNode, TestNode]> {
	const nodes: [TestNode, TestNode] = [await testNode(1), await testNode(2, { handlers: { onStream } })];
	introduce(...nodes);
	return nodes;
}

async function readAll(stream: PeerStream): Promise<Buffer> {
	const chunks: Uint8Array[] = [];
	for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) chunks.push(chunk);
	return Buffer.concat(chunks);
}

test("bytes go both ways, and each direction ends by itself", async () => {
	const got = Promise.withResolvers<Buffer>();
	const [a] = await pair(async ({ accept, kind, metadata, peer }) => {
		expect([kind, Buffer.from(metadata).toString(), peer.nodeId]).toEqual(["test", "?", testId(1)]);
		const stream = accept(text("!"));
		await stream.write(text("hello "));
		const received = await readAll(stream);
		got.resolve(received);
		await stream.write(received);
	});
	const stream = await a.node.openStream(testId(2), request);
	expect(Buffer.from(stream.metadata).toString()).toBe("!");
	await stream.write(text("a"));
	await stream.write(text("b"));
	stream.end();
	expect((await got.promise).toString()).toBe("ab");
	expect((await readAll(stream)).toString()).toBe("hello ab");
});

test("24 MiB arrive as they were sent", async () => {
	const size = 24 * MiB;
	const data = new Uint8Array(size);
	for (let at = 0; at < size; at += 997) data[at] = at % 251;
	const [a] = await pair(async ({ accept }) => {
		await accept().write(data);
	});
	const stream = await a.node.openStream(testId(2), request);
	stream.end();
	expect((await readAll(stream)).equals(Buffer.from(data))).toBe(true);
});

test("a slow reader holds the sender back: neither keeps more than a window", async () => {
	let written = 0;
	const [a] = await pair(async ({ accept }) => {
		const stream = accept();
		for (; written < 10 * MiB; written += 64 * 1024) await stream.write(new Uint8Array(64 * 1024));
	});
	const stream = await a.node.openStream(testId(2), request);
	await until(() => stream.bufferedBytes === MiB);
	// Calls go on meanwhile, and while they go to and fro nothing more of the stream arrives.
	for (let turn = 0; turn < 20; turn++)
		expect((await a.node.call(testId(2), "echo", text("x"), { timeoutMs: 1000 })).length).toBe(1);
	expect(stream.bufferedBytes).toBe(MiB);
	expect(written).toBeLessThanOrEqual(MiB);
	stream.end();
	expect((await readAll(stream)).length).toBe(10 * MiB);
});

test("to a reader that stands still, writing fails in the end", async () => {
	const failed = Promise.withResolvers<unknown>();
	const [a] = await pair(async ({ accept }) => {
		const stream = accept();
		await stream.write(new Uint8Array(3 * MiB)).catch((error) => failed.resolve(error));
	});
	const stream = await a.node.openStream(testId(2), request);
	await until(() => stream.bufferedBytes === MiB);
	stream.abort(new AppError("canceled", "Enough."));
	expect(await failed.promise).toMatchObject({ code: "canceled", message: "Enough." });
});

describe("a stream is refused", () => {
	test("with the error of the other node", async () => {
		const [a] = await pair(async () => {
			throw new AppError("not-found", "No such VM.");
		});
		await expect(a.node.openStream(testId(2), request)).rejects.toMatchObject({
			code: "not-found",
			message: "No such VM.",
		});
	});
	test("when nobody takes it", async () => {
		const [a] = await pair(async () => {});
		await expect(a.node.openStream(testId(2), request)).rejects.toMatchObject({ code: "unsupported" });
	});
	test("when there is no such node, or it cannot be reached", async () => {
		const [a, b] = await pair(async () => {});
		await expect(a.node.openStream(testId(5), request)).rejects.toMatchObject({ code: "not-found" });
		await b.node.close();
		await expect(a.node.openStream(testId(2), request)).rejects.toMatchObject({ close: "unreachable" });
	});
});

describe("a stream is cut", () => {
	test("by the handler's error, after what was written was read", async () => {
		const [a] = await pair(async ({ accept }) => {
			await accept().write(text("x"));
			throw new AppError("storage", "The disk broke.");
		});
		const stream = await a.node.openStream(testId(2), request);
		await expect(readAll(stream)).rejects.toMatchObject({ code: "storage", message: "The disk broke." });
		await expect(stream.write(text("y"))).rejects.toMatchObject({ code: "storage" });
	});
	test("when the node goes, and its reader sees that it is not whole", async () => {
		const [a, b] = await pair(async ({ accept }) => {
			const stream = accept();
			await stream.write(text("half"));
			await stream.read();
		});
		const stream = await a.node.openStream(testId(2), request);
		expect(Buffer.from((await stream.read()) ?? []).toString()).toBe("half");
		await b.node.close();
		await expect(stream.read()).rejects.toMatchObject({ code: "unavailable", close: "closing" });
	});
});

test("as a web stream", async () => {
	const [a] = await pair(async ({ accept }) => {
		await accept().write(new Uint8Array(300_000).fill(1));
	});
	const stream = await a.node.openStream(testId(2), request);
	stream.end();
	const bytes = await new Response(stream.readable()).bytes();
	expect(bytes.length).toBe(300_000);
});

test("small pieces are put together: what they cost does not depend on how they came", () => {
	const queue = new ChunkQueue();
	for (let i = 0; i < 100_000; i++) queue.push(Uint8Array.of(i % 256));
	queue.push(new Uint8Array(20_000).fill(9));
	queue.push(Uint8Array.of(1, 2));
	expect(queue.bytes).toBe(120_002);
	let count = 0;
	const all: Uint8Array[] = [];
	for (let chunk = queue.shift(); chunk !== null; chunk = queue.shift(), count++) all.push(chunk);
	const bytes = Buffer.concat(all);
	expect([count, bytes.length, queue.bytes]).toEqual([9, 120_002, 0]);
	expect([bytes[0], bytes[255], bytes[256], bytes[99_999], bytes[100_000], bytes[120_001]]).toEqual([
		0, 255, 0, 159, 9, 2,
	]);
});
