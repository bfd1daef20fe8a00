import { afterEach, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { isAppError } from "../../lib/errors.ts";
import { VncClient } from "./vnc-client.ts";
import { keysymOf, keysyms } from "./vnc-keys.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
	for (const cleanUp of cleanups.splice(0)) cleanUp();
});

/** A server that says its part of the handshake in pieces of `pieceBytes`, and keeps what the client sent. */
async function fakeServer(afterwards: Buffer, pieceBytes: number, greeting = "RFB 003.008\n") {
	const server: Server = createServer((socket) => {
		const say = (bytes: Buffer) => {
			for (let at = 0; at < bytes.length; at += pieceBytes) socket.write(bytes.subarray(at, at + pieceBytes));
		};
		sockets.push(socket);
		socket.on("data", (bytes: Buffer) => received.push(bytes)).on("error", () => socket.destroy());
		say(Buffer.from(greeting, "latin1"));
		say(Buffer.from([1, 1, 0, 0, 0, 0]));
		say(Buffer.concat([Buffer.from([0, 2, 0, 1]), Buffer.alloc(16), Buffer.from([0, 0, 0, 4]), Buffer.from("test")]));
		say(afterwards);
	});
	const sockets: Socket[] = [];
	const received: Buffer[] = [];
	const { promise, resolve } = Promise.withResolvers<void>();
	server.listen(0, "127.0.0.1", resolve);
	await promise;
	cleanups.push(() => {
		for (const socket of sockets) socket.destroy();
		server.close();
	});
	const address = server.address();
	if (address === null || typeof address === "string") throw new Error("no port");
	return { target: { host: "127.0.0.1", port: address.port }, received: () => Buffer.concat(received) };
}

const rectangle = (x: number, y: number, width: number, height: number, encoding: number, data: number[]) => {
	const head = Buffer.alloc(12);
	for (const [index, value] of [x, y, width, height].entries()) head.writeUInt16BE(value, index * 2);
	head.writeInt32BE(encoding, 8);
	return Buffer.concat([head, Buffer.from(data)]);
};
const update = (...rectangles: Buffer[]) => Buffer.concat([Buffer.from([0, 0, 0, rectangles.length]), ...rectangles]);

for (const pieceBytes of [1, 3, 65536])
	test(`a screen arrives in pieces of ${pieceBytes} bytes, with a bell and clipboard text between`, async () => {
		const bell = Buffer.from([2]);
		const cutText = Buffer.from([3, 0, 0, 0, 0, 0, 0, 2, 0x68, 0x69]);
		const pixels = update(rectangle(0, 0, 1, 1, 0, [1, 2, 3, 0]), rectangle(1, 0, 1, 1, 0, [4, 5, 6, 0]));
		const server = await fakeServer(Buffer.concat([bell, cutText, pixels]), pieceBytes);
		const client = await VncClient.connect(server.target);
		cleanups.push(() => void client.close());
		expect(client.serverName).toBe("test");
		const screen = await client.waitForScreen((picture) => picture.pixel(1, 0) !== 0, 2000);
		expect([...screen.rgb]).toEqual([3, 2, 1, 6, 5, 4]);
	});

test("follows a screen that changes size", async () => {
	const after = Buffer.concat([
		update(rectangle(0, 0, 1, 2, -223, [])),
		update(rectangle(0, 0, 1, 2, 0, [0, 0, 9, 0, 0, 8, 0, 0])),
	]);
	const client = await VncClient.connect((await fakeServer(after, 65536)).target);
	cleanups.push(() => void client.close());
	const screen = await client.waitForScreen((picture) => picture.height === 2 && picture.pixel(0, 0) !== 0, 2000);
	expect([...screen.rgb]).toEqual([9, 0, 0, 0, 8, 0]);
});

const hostile: [string, Buffer, string][] = [
	["an unknown message", Buffer.from([77]), "unknown message"],
	["an encoding that was not asked for", update(rectangle(0, 0, 1, 1, 7, [])), "unknown encoding"],
	["a rectangle outside the screen", update(rectangle(2, 0, 1, 1, 0, [])), "outside the screen"],
	["an absurd size", update(rectangle(0, 0, 65535, 65535, -223, [])), "a screen of"],
	["a huge clipboard text", Buffer.from([3, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]), "a text of"],
];
for (const [what, bytes, message] of hostile)
	test(`${what} ends the connection`, async () => {
		const client = await VncClient.connect((await fakeServer(bytes, 65536)).target);
		const error = await client.screenshot({ timeoutMs: 2000 }).catch((e: unknown) => e);
		expect(isAppError(error, "corrupt")).toBe(true);
		expect(String(error)).toContain(message);
		await client.closed;
	});

test("a server that does not speak RFB, and one that is not there", async () => {
	const server = await fakeServer(Buffer.alloc(0), 65536, "HTTP/1.1 400");
	expect(isAppError(await VncClient.connect(server.target).catch((e: unknown) => e), "corrupt")).toBe(true);
	const nobody = await VncClient.connect({ unixPath: "/nonexistent/vnc" }).catch((e: unknown) => e);
	expect(isAppError(nobody, "unavailable")).toBe(true);
});

test("keys and pointer go out as RFC 6143 says", async () => {
	const server = await fakeServer(Buffer.alloc(0), 65536);
	const client = await VncClient.connect(server.target);
	client.press(keysyms.shift, keysymOf("A"));
	client.sendPointer(258, 3, 1);
	await client.waitForChange(50);
	await client.close();
	const hex = server.received().toString("hex");
	const keys = ["04010000" + "0000ffe1", "04010000" + "00000041", "04000000" + "00000041", "04000000" + "0000ffe1"];
	expect(hex).toContain(`${keys.join("")}050101020003`);
});
