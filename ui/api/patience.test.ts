import { describe, expect, test } from "bun:test";
import { sendPatiently } from "./patience.ts";

type Answer = number | "nobody" | Error;

/** Answers one after the other, the last one for ever; time passes only while it is waited. */
function world(...answers: Answer[]) {
	let nowMs = 0;
	const sentAt: number[] = [];
	const send = async (): Promise<Response> => {
		const answer = answers[Math.min(sentAt.length, answers.length - 1)];
		sentAt.push(nowMs);
		if (answer === "nobody") throw new TypeError("Failed to fetch");
		if (answer instanceof Error) throw answer;
		return new Response(null, { status: answer ?? 200, headers: answer === 503 ? { "retry-after": "1" } : {} });
	};
	const waiting = {
		nowMs: () => nowMs,
		async pause(ms: number) {
			nowMs += ms;
		},
	};
	const run = (method: string, keyed: boolean, signal: AbortSignal | null = null) =>
		sendPatiently(send, { method, keyed, signal }, waiting);
	return { sentAt, run };
}

describe("a write with a key", () => {
	test("is sent again until the node is back", async () => {
		const { sentAt, run } = world("nobody", "nobody", 503, 202);
		expect((await run("POST", true)).status).toBe(202);
		expect(sentAt).toEqual([0, 400, 1200, 2200]);
	});

	test("ends with what the node says after some seconds", async () => {
		const { sentAt, run } = world(503);
		expect((await run("POST", true)).status).toBe(503);
		expect(sentAt.at(-1)).toBe(6000);
	});

	test("fails when nobody has answered for some seconds", async () => {
		const { run } = world("nobody");
		await expect(run("POST", true)).rejects.toThrow("Failed to fetch");
	});

	test("is given up with whoever wanted it", async () => {
		const { sentAt, run } = world("nobody");
		await expect(run("POST", true, AbortSignal.abort())).rejects.toThrow("Failed to fetch");
		expect(sentAt).toHaveLength(1);
	});

	test("takes any other answer as it comes", async () => {
		for (const status of [200, 409, 412, 500, 502]) {
			const { sentAt, run } = world(status, 200);
			expect((await run("POST", true)).status).toBe(status);
			expect(sentAt).toHaveLength(1);
		}
	});
});

test("a write without a key is sent once", async () => {
	const { sentAt, run } = world("nobody", 200);
	await expect(run("PATCH", false)).rejects.toThrow("Failed to fetch");
	expect(sentAt).toHaveLength(1);
	expect((await world(503, 200).run("DELETE", false)).status).toBe(503);
});

test("a read is sent twice at most, and shows that a node is not ready at once", async () => {
	const { sentAt, run } = world("nobody");
	await expect(run("GET", false)).rejects.toThrow("Failed to fetch");
	expect(sentAt).toEqual([0, 400]);
	expect((await world(503, 200).run("GET", false)).status).toBe(503);
});

test("what is no failure of the network is not tried again", async () => {
	const { sentAt, run } = world(new Error("canceled"));
	await expect(run("POST", true)).rejects.toThrow("canceled");
	expect(sentAt).toHaveLength(1);
});
