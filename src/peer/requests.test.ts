import { afterEach, describe, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { PeerHandlers } from "./peer.ts";
import { maxCallBytes } from "./requests.ts";
import { closeAll, introduce, type TestNode, testId, testNode, until } from "./test-peers.ts";

afterEach(closeAll);

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const quick = { timeoutMs: 3000 };

async function pair(onRequest: PeerHandlers["onRequest"]): Promise<[TestNode, TestNode]> {
	const nodes: [TestNode, TestNode] = [await testNode(1), await testNode(2, { handlers: { onRequest } })];
	introduce(...nodes);
	return nodes;
}

test("many calls at a time, answered in any order", async () => {
	const open: (() => void)[] = [];
	const [a] = await pair(async ({ payload, method, peer }) => {
		expect([method, peer.nodeId]).toEqual(["double", testId(1)]);
		await new Promise<void>((resolve) => open.push(resolve));
		return Uint8Array.of((payload[0] ?? 0) * 2);
	});
	const calls = [...Array(100).keys()].map((i) => a.node.call(testId(2), "double", Uint8Array.of(i), quick));
	await until(() => open.length === 100);
	for (const resolve of open.reverse()) resolve();
	expect((await Promise.all(calls)).map((answer) => answer[0])).toEqual([...Array(100).keys()].map((i) => i * 2));
});

test("4 MiB there and back", async () => {
	const [a] = await pair(async ({ payload }) => payload);
	const payload = new Uint8Array(4 * 1024 * 1024).fill(3);
	const answer = await a.node.call(testId(2), "echo", payload, quick);
	expect(Buffer.from(answer).equals(Buffer.from(payload))).toBe(true);
	const tooMuch = new Uint8Array(maxCallBytes + 1);
	await expect(a.node.call(testId(2), "echo", tooMuch, quick)).rejects.toMatchObject({ code: "too-large" });
});

describe("a call fails", () => {
	test("with the other node's own error", async () => {
		const [a] = await pair(async () => {
			throw new AppError("invalid", "No.", { fields: [{ path: "/x", message: "bad" }], context: { secret: 1 } });
		});
		const failure = a.node.call(testId(2), "x", text(""), quick);
		await expect(failure).rejects.toMatchObject({
			code: "invalid",
			message: "No.",
			fields: [{ path: "/x" }],
			context: {},
		});
	});

	test("as internal, without details, for a bug over there", async () => {
		const [a] = await pair(async () => {
			throw new Error("private");
		});
		const failure = a.node.call(testId(2), "x", text(""), quick);
		await expect(failure).rejects.toMatchObject({ code: "internal" });
		await failure.catch((error) => expect(String(error)).not.toContain("private"));
	});

	test("when the answer is too large", async () => {
		const [a] = await pair(async () => new Uint8Array(maxCallBytes + 1));
		await expect(a.node.call(testId(2), "x", text(""), quick)).rejects.toMatchObject({ code: "too-large" });
	});

	test("when it was carried out and the answers wait, and not as if it had not been", async () => {
		const open: (() => void)[] = [];
		const [a] = await pair(async () => {
			await new Promise<void>((resolve) => open.push(resolve));
			return new Uint8Array(4 * 1024 * 1024);
		});
		const calls = [...Array(10).keys()].map(() => a.node.call(testId(2), "x", text(""), quick));
		const codes = Promise.all(
			calls.map((call) =>
				call.then(
					() => "done",
					(error: AppError) => error.code,
				),
			),
		);
		await until(() => open.length === 10);
		for (const resolve of open) resolve();
		expect(new Set(await codes)).toEqual(new Set(["done", "unavailable"]));
	});

	test("in time, and the other node is told", async () => {
		const reasons: unknown[] = [];
		const [a] = await pair(({ signal }) => {
			signal.addEventListener("abort", () => reasons.push(signal.reason.code));
			return new Promise(() => {});
		});
		await a.node.call(testId(2), "x", text(""), { timeoutMs: 400 }).then(
			() => expect.unreachable(),
			(error) => expect(error).toMatchObject({ code: "timeout", close: "timeout", sent: true }),
		);
		const controller = new AbortController();
		const canceled = a.node.call(testId(2), "x", text(""), { timeoutMs: 3000, signal: controller.signal });
		await until(() => reasons.length === 1);
		controller.abort();
		await expect(canceled).rejects.toMatchObject({ code: "canceled" });
		await until(() => reasons.length === 2);
		expect(reasons[1]).toBe("canceled");
	});

	test("at once when the node goes, saying that it was sent", async () => {
		let called = false;
		const [a, b] = await pair(() => {
			called = true;
			return new Promise(() => {});
		});
		const failure = a.node.call(testId(2), "x", text(""), quick);
		failure.catch(() => {});
		await until(() => called);
		await b.node.close();
		await expect(failure).rejects.toMatchObject({ code: "unavailable", close: "closing", sent: true });
		await expect(a.node.call(testId(2), "x", text(""), quick)).rejects.toMatchObject({
			close: "unreachable",
			sent: false,
		});
	});

	test("when there is no such node", async () => {
		const [a] = await pair(async ({ payload }) => payload);
		await expect(a.node.call(testId(7), "x", text(""), quick)).rejects.toMatchObject({ code: "not-found" });
	});

	test("when too many wait", async () => {
		const open: (() => void)[] = [];
		const [a] = await pair(async ({ payload }) => {
			await new Promise<void>((resolve) => open.push(resolve));
			return payload;
		});
		const calls = [...Array(4096).keys()].map(() => a.node.call(testId(2), "x", text(""), quick));
		await expect(a.node.call(testId(2), "x", text(""), quick)).rejects.toMatchObject({ code: "too-many-requests" });
		await until(() => open.length === 4096);
		for (const resolve of open) resolve();
		await Promise.all(calls);
	});
});

test("calls work again after the node is back, and go on over a new certificate", async () => {
	const [a, b] = await pair(async ({ payload }) => payload);
	await a.node.call(testId(2), "x", text("1"), quick);
	await b.node.close();
	const again = await testNode(2, { port: b.address.port });
	introduce(a, again);
	await until(() => a.node.status()[0]?.link.state === "connected");
	expect(await a.node.call(testId(2), "x", text("2"), quick)).toEqual(text("2"));
});
