import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { isAppError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { FakeLibvirtServer } from "../../../testing/fake-libvirt-server.ts";
import { waitUntil } from "../../../testing/lab/wait-until.ts";
import { createLibvirtClient, type LibvirtClient } from "./client.ts";
import { isLibvirtError } from "./errors.ts";
import { messageStatus, messageType } from "./protocol.ts";
import type { ByteStream } from "./stream.ts";

const domain = { uuid: "0193c2a0-0000-7000-8000-000000000001" };
const caught = (promise: Promise<unknown>): Promise<unknown> =>
	promise.then(
		() => undefined,
		(error: unknown) => error,
	);

let folder = "";
let server: FakeLibvirtServer;
let client: LibvirtClient;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-stream-"));
	server = new FakeLibvirtServer(join(folder, "sock"));
	client = createLibvirtClient({
		uri: `qemu+unix:///system?socket=${server.path}`,
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
		maxStreams: 2,
	});
});
afterEach(async () => {
	await client.close();
	server.stop();
	rmSync(folder, { recursive: true, force: true });
});

/** A console whose call was answered, and the call at the server. */
async function openConsole(): Promise<{
	stream: ByteStream;
	call: Awaited<ReturnType<FakeLibvirtServer["waitForCall"]>>;
}> {
	server.handle("domainOpenConsole", (call) => call.reply());
	const stream = await client.domainOpenConsole(domain, "serial0", 1);
	return { stream, call: await server.waitForCall("domainOpenConsole") };
}

const streamFrames = (call: { peer: { others: { type: number; status: number; data: Buffer }[] } }) =>
	call.peer.others.filter((frame) => frame.type === messageType.stream);

test("a screenshot: type, data, end, confirmation; the stream's own connection goes with it", async () => {
	server.handle("domainScreenshot", (call) => {
		call.reply((w) => w.optionalString("image/png"));
		call.streamData(Buffer.from("PNG "));
		call.streamData(Buffer.from("data"));
		call.streamData(new Uint8Array(0));
	});
	const { mimeType, stream } = await client.domainScreenshot(domain);
	const call = await server.waitForCall("domainScreenshot");
	expect(server.peers).toHaveLength(2);
	const bytes = stream.collect(100);
	await waitUntil("the end to be answered", 5_000, () => streamFrames(call).length === 1);
	expect(streamFrames(call)[0]?.status).toBe(messageStatus.ok);
	call.streamEnd();
	expect([mimeType, Buffer.from(await bytes).toString()]).toEqual(["image/png", "PNG data"]);
	await waitUntil("its connection to go", 5_000, () => server.peers.length === 1);
});

test("a screenshot whose data, and end, come before the answer to the call", async () => {
	const data = Buffer.alloc(3 * 1024 * 1024, 7);
	server.handle("domainScreenshot", (call) => {
		for (let at = 0; at < data.length; at += 256 * 1024) call.streamData(data.subarray(at, at + 256 * 1024));
		call.streamData(new Uint8Array(0));
		call.streamEnd();
		call.reply((w) => w.optionalString("image/png"));
	});
	const { mimeType, stream } = await client.domainScreenshot(domain);
	expect(mimeType).toBe("image/png");
	expect(await stream.collect(8 * 1024 * 1024)).toEqual(data);
	await waitUntil("the stream's connection to close", 5_000, () => server.peers.length === 1);
});

test("the stream's connection never asks for keepalive, which it could not answer while its reader is slow", async () => {
	const { call, stream } = await openConsole();
	expect(call.peer.calls.map((one) => one.frame.procedure)).toEqual([66, 1, 201]);
	stream.abort();
});

test("more than the caller takes is an error and ends the stream", async () => {
	server.handle("domainScreenshot", (call) => {
		call.reply((w) => w.optionalString("image/png"));
		for (let i = 0; i < 100; i++) call.streamData(new Uint8Array(1000));
	});
	const { stream } = await client.domainScreenshot(domain);
	expect(isAppError(await caught(stream.collect(10_000)), "hypervisor")).toBe(true);
	await waitUntil("its connection to go", 5_000, () => server.peers.length === 1);
});

test("a refusal leaves no connection behind", async () => {
	server.handle("domainScreenshot", (call) => call.fail(55, "domain is not running"));
	expect(isAppError(await caught(client.domainScreenshot(domain)), "wrong-state")).toBe(true);
	await waitUntil("its connection to go", 5_000, () => server.peers.length === 1);
});

test("an error in the middle reaches reader and writer with libvirt's numbers", async () => {
	const { stream, call } = await openConsole();
	call.streamData(Buffer.from("abc"));
	const bytes = caught(stream.collect(100));
	call.streamFail(38, "pty went away");
	expect(isLibvirtError(await bytes, 38)).toBe(true);
	expect(isLibvirtError(await caught(stream.write(Buffer.from("x"))), 38)).toBe(true);
	expect(isLibvirtError(await caught(stream.finish()), 38)).toBe(true);
});

test("a console goes both ways and is finished in good order", async () => {
	const { stream, call } = await openConsole();
	const reader = stream.readable.getReader();
	await stream.write(Buffer.from("login\n"));
	call.streamData(Buffer.from("password: "));
	expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("password: ");
	const finished = stream.finish();
	await waitUntil("both packets", 5_000, () => streamFrames(call).length === 2);
	expect(streamFrames(call).map(({ status, data }) => [status, data.toString()])).toEqual([
		[messageStatus.continue, "login\n"],
		[messageStatus.ok, ""],
	]);
	call.streamEnd();
	await finished;
	expect((await reader.read()).done).toBe(true);
	expect(isAppError(await caught(stream.write(Buffer.from("x"))), "wrong-state")).toBe(true);
});

test("abort ends reader and writer, and the connection, at once and more than once", async () => {
	const { stream, call } = await openConsole();
	const reading = caught(stream.readable.getReader().read());
	stream.abort();
	stream.abort();
	expect(isAppError(await reading, "canceled")).toBe(true);
	expect(isAppError(await caught(stream.write(Buffer.from("x"))), "canceled")).toBe(true);
	await waitUntil("the connection to go", 5_000, () => !server.peers.includes(call.peer));
});

test("canceling the readable is an abort", async () => {
	const { stream, call } = await openConsole();
	await stream.readable.cancel();
	await waitUntil("the connection to go", 5_000, () => !server.peers.includes(call.peer));
});

test("libvirt's death ends the stream with unavailable", async () => {
	const { stream, call } = await openConsole();
	const reading = caught(stream.collect(100));
	call.peer.disconnect();
	expect(isAppError(await reading, "unavailable")).toBe(true);
});

describe("back-pressure", () => {
	test("a reader that is slow holds libvirt back, and gets everything in the end", async () => {
		const { stream, call } = await openConsole();
		const total = 64 * 1024 * 1024;
		const packet = new Uint8Array(256 * 1024).fill(7);
		for (let sent = 0; sent < total; sent += packet.length) call.streamData(packet);
		call.streamData(new Uint8Array(0));
		const reader = stream.readable.getReader();
		await reader.read();
		// Whatever socket and buffers take is far less than all; no more leaves the server while nobody reads.
		const before = call.peer.unsentBytes;
		expect(before).toBeGreaterThan(total / 2);
		await client.connectGetHostname({ timeoutMs: 50 }).catch(() => {});
		expect(call.peer.unsentBytes).toBeGreaterThan(total / 2);
		let read = packet.length;
		while (true) {
			const { done, value } = await reader.read();
			if (done) break;
			read += value.length;
			if (read === total) call.streamEnd();
		}
		expect(read).toBe(total);
	});

	test("a libvirt that does not read holds the writer back; partial writes arrive whole and in order", async () => {
		const { stream, call } = await openConsole();
		call.peer.pause();
		const data = new Uint8Array(16 * 1024 * 1024);
		for (let i = 0; i < data.length; i += 4) new DataView(data.buffer).setUint32(i, i);
		let written = false;
		const writing = stream.write(data).then(() => {
			written = true;
		});
		await client.connectGetHostname({ timeoutMs: 50 }).catch(() => {});
		expect(written).toBe(false);
		call.peer.resume();
		await writing;
		const received = () => Buffer.concat(streamFrames(call).map((frame) => frame.data));
		await waitUntil("everything to arrive", 10_000, () => streamFrames(call).length === data.length / 65536);
		expect(received().equals(data)).toBe(true);
	});

	test("other calls go on while a stream is held back", async () => {
		const { call } = await openConsole();
		for (let i = 0; i < 64; i++) call.streamData(new Uint8Array(256 * 1024));
		server.handle("connectGetHostname", (one) => one.reply((w) => w.string("host")));
		expect(await client.connectGetHostname()).toBe("host");
	});
});

test("the number of streams is bounded, and a place is free again when one ends", async () => {
	server.handle("domainOpenConsole", (call) => call.reply());
	const first = await client.domainOpenConsole(domain, null, 0);
	await client.domainOpenConsole(domain, null, 0);
	const refused = await caught(client.domainOpenConsole(domain, null, 0));
	expect(isAppError(refused, "unavailable")).toBe(true);
	first.abort();
	await client.domainOpenConsole(domain, null, 0);
});

test("an abort while the stream is being opened ends the opening", async () => {
	server.handle("domainOpenConsole", () => {});
	const control = new AbortController();
	const opening = caught(client.domainOpenConsole(domain, null, 0, { signal: control.signal }));
	await server.waitForCall("domainOpenConsole");
	control.abort();
	expect(isAppError(await opening, "canceled")).toBe(true);
	await waitUntil("its connection to go", 5_000, () => server.peers.length === 1);
});
