import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { AppError } from "./errors.ts";
import { runForOutput } from "./run-for-output.ts";

const limit = { timeoutMs: 20_000 };

/** The process id of `head`, which writes so many bytes, and its output. */
function head(bytes: number): { pid: number; stream: ReadableStream<Uint8Array> } {
	let pid = 0;
	const stream = runForOutput("head", ["-c", String(bytes), "/dev/zero"], { ...limit, onStart: (id) => (pid = id) });
	return { pid, stream };
}

/** It has ended, or waits for its reader: what it has written does not become more. */
async function stands(pid: number): Promise<void> {
	let before = -1;
	const isStanding = async () => {
		const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z");
		const [now, last] = [await written(pid), before];
		before = now;
		return /\) Z/.test(stat) || (now > 0 && now === last && /\) S/.test(stat));
	};
	await waitUntil("the program to stand still", 10_000, isStanding, { everyMs: 20 });
}

/** 0 when it is gone. */
async function written(pid: number): Promise<number> {
	const text = await readFile(`/proc/${pid}/io`, "utf8").catch(() => "");
	return Number(/^wchar: (\d+)$/m.exec(text)?.[1] ?? 0);
}

async function bytesOf(stream: ReadableStream<Uint8Array>, before: () => Promise<void> = async () => {}) {
	let bytes = 0;
	await before();
	for await (const chunk of stream) {
		bytes += chunk.length;
		await before();
	}
	return bytes;
}

test("all of the output comes, whenever it is read", async () => {
	for (const bytes of [0, 1000, 65_536, 1_048_576]) {
		expect(await bytesOf(head(bytes).stream)).toBe(bytes);
		const { pid, stream } = head(bytes);
		expect(await bytesOf(stream, () => stands(pid))).toBe(bytes);
	}
	expect(await bytesOf(head(10_485_760).stream)).toBe(10_485_760);
});

test("what is not read yet waits in the program, and not in memory", async () => {
	const { pid, stream } = head(2 ** 31);
	await stands(pid);
	expect(await written(pid)).toBeWithin(1, 16 * 1024 * 1024);
	const reader = stream.getReader();
	let read = 0;
	for (let part = 0; part < 10; part++) read += (await reader.read()).value?.length ?? 0;
	expect(read).toBeGreaterThan(0);
	await stands(pid);
	expect(await written(pid)).toBeWithin(read, read + 16 * 1024 * 1024);
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
