import { expect, test } from "bun:test";
import { AppError } from "./errors.ts";
import { runForOutput } from "./run-for-output.ts";

const limit = { timeoutMs: 20_000 };

async function bytesOf(stream: ReadableStream<Uint8Array>, pauseMs = 0): Promise<number> {
	let bytes = 0;
	for await (const chunk of stream) {
		bytes += chunk.length;
		if (pauseMs > 0) await Bun.sleep(pauseMs);
	}
	return bytes;
}

test("all of the output comes, whenever it is read", async () => {
	for (const bytes of [0, 1000, 65_536, 1_048_576, 10_485_760])
		for (const waitMs of [0, 200]) {
			const stream = runForOutput("head", ["-c", String(bytes), "/dev/zero"], limit);
			await Bun.sleep(waitMs);
			expect({ bytes, waitMs, got: await bytesOf(stream) }).toEqual({ bytes, waitMs, got: bytes });
		}
	expect(await bytesOf(runForOutput("head", ["-c", "1000000", "/dev/zero"], limit), 5)).toBe(1_000_000);
});

test("what is not read yet waits in the program, and not in memory", async () => {
	const before = process.memoryUsage().rss;
	const stream = runForOutput("head", ["-c", String(2 ** 31), "/dev/zero"], limit);
	await Bun.sleep(500);
	const reader = stream.getReader();
	for (let part = 0; part < 10; part++) expect((await reader.read()).value?.length).toBeGreaterThan(0);
	await Bun.sleep(500);
	expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
	await reader.cancel();
});

test("a program that fails, is not there, takes too long, is called off, or crashes is an error at the end", async () => {
	const failing = runForOutput("bash", ["-c", "echo some; echo why >&2; exit 3"], limit);
	await expect(bytesOf(failing)).rejects.toMatchObject({ code: "internal", message: "bash failed: why" });
	await expect(bytesOf(runForOutput("no-such-program", [], limit))).rejects.toMatchObject({ code: "unavailable" });
	const slow = runForOutput("sleep", ["20"], { timeoutMs: 100 });
	await expect(bytesOf(slow)).rejects.toMatchObject({ code: "timeout" });
	const controller = new AbortController();
	const called = bytesOf(runForOutput("sleep", ["20"], { ...limit, signal: controller.signal }));
	controller.abort();
	await expect(called).rejects.toMatchObject({ code: "canceled" });
	const crashed = bytesOf(runForOutput("bash", ["-c", "kill -ABRT $$"], limit)).catch((error) => error);
	expect(await crashed).toBeInstanceOf(AppError);
	expect((await crashed).context.signal).toBe("SIGABRT");
});

test("canceling ends the program, also one that waits for its reader or ignores being asked", async () => {
	for (const [program, args] of [
		["yes", []],
		["bash", ["-c", "trap '' TERM; while :; do echo more; sleep 0.05; done"]],
	] as const) {
		let pid = 0;
		const stream = runForOutput(program, args, { ...limit, onStart: (id) => (pid = id) });
		const reader = stream.getReader();
		await reader.read();
		await reader.cancel();
		expect(() => process.kill(pid, 0)).toThrow();
	}
});
