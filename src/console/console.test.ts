import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Credential, type Identity, localIdentity } from "../auth/identity.ts";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { ConsoleData } from "./console.ts";
import { type Consoles, createConsoles } from "./console.ts";

/** The real proxy on a real HTTP server, with a socket server in the place of QEMU's VNC. */
const folder = mkdtempSync(join(tmpdir(), "lqx-console-"));
const vncPath = join(folder, "vnc.sock");
const credential: Credential = { kind: "session", id: "session-1" };
const identity: Identity = { ...localIdentity, credential };
let vnc: Server;
let guestSockets: Socket[] = [];
let onGuest: (socket: Socket) => void = () => {};
let consoles: Consoles;
let server: ReturnType<typeof Bun.serve<ConsoleData>>;
let revoke: () => void = () => {};
let socketPath = vncPath;
let denials: string[] = [];

beforeAll(async () => {
	vnc = createServer((socket) => {
		guestSockets.push(socket);
		onGuest(socket);
	});
	await new Promise<void>((resolve) => vnc.listen(vncPath, resolve));
	consoles = createConsoles({
		node: {
			vncSocket: async () => socketPath,
			openSerial: async () => {
				throw new AppError("wrong-state", "not running");
			},
		},
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
		isOwnOrigin: (request) => request.headers.get("origin") === `http://${request.headers.get("host")}`,
		watchCredential: (_credential, onRevoked) => {
			revoke = onRevoked;
			return () => {};
		},
		recordDenial: async ({ requester }, vmId, remoteAddress) => {
			denials.push(`${requester.name} ${vmId} ${remoteAddress}`);
		},
	});
	server = Bun.serve<ConsoleData>({
		port: 0,
		hostname: "127.0.0.1",
		websocket: consoles.websocket,
		fetch: async (request, self) => {
			try {
				return await consoles.handleUpgrade(request, self);
			} catch (error) {
				return new Response((error as AppError).code, { status: 400 });
			}
		},
	});
});
afterEach(() => {
	denials = [];
	for (const socket of guestSockets) socket.destroy();
	guestSockets = [];
	onGuest = () => {};
	socketPath = vncPath;
});
afterAll(() => {
	server.stop(true);
	vnc.close();
	rmSync(folder, { recursive: true, force: true });
});

const ticket = async (over: { kind?: "browser" | "native"; viewOnly?: boolean } = {}) =>
	await consoles.createTicket({ vmId: "vm-1", kind: "native", type: "vnc", viewOnly: false, identity, ...over });

function connect(protocols: string[], headers: Record<string, string> = {}): WebSocket {
	const socket = new WebSocket(`ws://127.0.0.1:${server.port}/v1/console`, {
		protocols,
		headers,
	} as unknown as string[]);
	socket.binaryType = "arraybuffer";
	return socket;
}
const opened = (socket: WebSocket) =>
	new Promise<boolean>((resolve) => {
		socket.onopen = () => resolve(true);
		socket.onclose = () => resolve(false);
		socket.onerror = () => resolve(false);
	});
const closed = (socket: WebSocket) =>
	new Promise<{ code: number; reason: string }>((resolve) => {
		socket.onclose = (event) => resolve({ code: event.code, reason: event.reason });
	});
const nextGuest = () =>
	new Promise<Socket>((resolve) => {
		onGuest = resolve;
	});
const received = (socket: Socket, length: number) =>
	new Promise<Buffer>((resolve) => {
		let all = Buffer.alloc(0);
		socket.on("data", (data) => {
			all = Buffer.concat([all, Buffer.from(data)]);
			if (all.length >= length) resolve(all);
		});
	});

test("a ticket opens one console, once", async () => {
	const { protocols } = await ticket();
	const guest = nextGuest();
	const socket = connect(protocols);
	expect(await opened(socket)).toBe(true);
	expect(socket.protocol).toBe("binary");
	const guestSocket = await guest;
	expect(consoles.openCount()).toBe(1);
	const message = new Promise<string>((resolve) => {
		socket.onmessage = (event) => resolve(Buffer.from(event.data).toString());
	});
	guestSocket.write("RFB 003.008\n");
	expect(await message).toBe("RFB 003.008\n");
	const atGuest = received(guestSocket, 14);
	socket.send(Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([1, 0])]));
	expect([...(await atGuest).subarray(12)]).toEqual([1, 1]);
	expect(await opened(connect(protocols))).toBe(false);
	const end = closed(socket);
	guestSocket.end();
	expect((await end).code).toBe(1000);
	expect(consoles.openCount()).toBe(0);
});

test("a browser ticket needs our own Origin, and is used up by a foreign one", async () => {
	for (const origin of [null, "null", "http://evil.example", `https://127.0.0.1:${server.port}`]) {
		const { protocols } = await ticket({ kind: "browser" });
		expect(await opened(connect(protocols, origin === null ? {} : { Origin: origin }))).toBe(false);
		expect(await opened(connect(protocols, { Origin: `http://127.0.0.1:${server.port}` }))).toBe(false);
	}
	expect(denials).toEqual(Array.from({ length: 4 }, () => `${identity.requester.name} vm-1 127.0.0.1`));
	const { protocols } = await ticket({ kind: "browser" });
	const socket = connect(protocols, { Origin: `http://127.0.0.1:${server.port}` });
	expect(await opened(socket)).toBe(true);
	expect(denials).toHaveLength(4);
	socket.close();
});

test("a native ticket has no Origin: with any, even our own, it opens nothing and is used up", async () => {
	for (const origin of [`http://127.0.0.1:${server.port}`, "http://evil.example", "null"]) {
		const { protocols } = await ticket({ kind: "native" });
		expect(await opened(connect(protocols, { Origin: origin }))).toBe(false);
		expect(await opened(connect(protocols))).toBe(false);
	}
	expect(denials).toHaveLength(3);
});

test("without a ticket, or with one in the address, nothing opens", async () => {
	expect(await opened(connect(["binary"]))).toBe(false);
	expect(await opened(connect(["binary", `lqx.ticket.${"A".repeat(43)}`]))).toBe(false);
	const { ticket: secret } = await ticket();
	const byAddress = new WebSocket(`ws://127.0.0.1:${server.port}/v1/console?ticket=${secret}`, ["binary"]);
	expect(await opened(byAddress)).toBe(false);
	const plain = await fetch(`http://127.0.0.1:${server.port}/v1/console`);
	expect(await plain.text()).toBe("malformed");
});

test("the console closes when its session is revoked, and when its VM leaves", async () => {
	for (const end of [() => revoke(), () => consoles.closeVm("vm-1", "The VM has moved.")]) {
		const guest = nextGuest();
		const socket = connect((await ticket()).protocols);
		expect(await opened(socket)).toBe(true);
		const guestSocket = await guest;
		const guestClosed = new Promise<void>((resolve) => guestSocket.on("close", () => resolve()));
		guestSocket.resume();
		const atClient = closed(socket);
		end();
		expect([1001, 1008]).toContain((await atClient).code);
		await guestClosed;
	}
});

test("a socket replaced by a link is not followed", async () => {
	const link = join(folder, "link.sock");
	symlinkSync(vncPath, link);
	socketPath = link;
	let reached = false;
	onGuest = () => {
		reached = true;
	};
	const socket = connect((await ticket()).protocols);
	const end = closed(socket);
	expect((await end).code).toBe(1011);
	expect(reached).toBe(false);
});

test("a guest that sends faster than the browser reads is made to wait, and nothing is lost", async () => {
	const guest = nextGuest();
	const socket = connect((await ticket()).protocols);
	await opened(socket);
	const guestSocket = await guest;
	const total = 64 * 1024 * 1024;
	let got = 0;
	let sum = 0;
	const all = new Promise<void>((resolve) => {
		socket.onmessage = (event) => {
			const data = new Uint8Array(event.data);
			got += data.length;
			for (let i = 0; i < data.length; i += 4096) sum = (sum + (data[i] ?? 0)) % 1_000_003;
			if (got >= total) resolve();
		};
	});
	const block = Buffer.alloc(1024 * 1024, 7);
	for (let sent = 0; sent < total; sent += block.length)
		if (!guestSocket.write(block)) await new Promise<void>((resolve) => guestSocket.once("drain", () => resolve()));
	await all;
	expect(got).toBe(total);
	expect(sum).toBeGreaterThan(0);
	socket.close();
});

const personal = (id: string, role: "operator" | "viewer"): Identity => ({
	...localIdentity,
	role,
	requester: { kind: "user", id, name: id },
	user: { id } as unknown as Identity["user"],
	credential: { kind: "session", id: `session-of-${id}` },
});

test("nobody takes all places, and who types goes before who watches", async () => {
	const open = async (id: string, viewOnly: boolean) => {
		const { protocols } = await consoles.createTicket({
			...{ vmId: "vm-1", kind: "native", type: "vnc", viewOnly },
			identity: personal(id, viewOnly ? "viewer" : "operator"),
		});
		const socket = connect(protocols);
		const end = closed(socket);
		await new Promise<void>((resolve) => {
			socket.onopen = () => resolve();
		});
		return { socket, end };
	};
	const watchers = [];
	for (const id of ["eve", "mallory"]) for (let i = 0; i < 8; i++) watchers.push(await open(id, true));
	await expect(open("eve", true)).rejects.toThrow("You have too many consoles open");
	await expect(open("trent", true)).rejects.toThrow("Too many consoles are open");
	const working = await open("alice", false);
	expect((await watchers[0]?.end)?.code).toBe(1001);
	expect(consoles.openCount()).toBe(16);
	for (const { socket } of [...watchers, working]) socket.close();
	await Promise.all([...watchers, working].map(({ end }) => end));
});

test("a viewer gets no serial console", async () => {
	const identity = personal("eve", "viewer");
	const asked = consoles.createTicket({ vmId: "vm-1", kind: "native", type: "serial", viewOnly: true, identity });
	await expect(asked).rejects.toThrow("role operator");
});

test("a client that floods a guest which does not read is cut off", async () => {
	const guest = nextGuest();
	const socket = connect((await ticket()).protocols);
	await opened(socket);
	const guestSocket = await guest;
	guestSocket.pause();
	const end = closed(socket);
	socket.send(Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([1, 1])]));
	const block = Buffer.alloc(512 * 1024, 6);
	for (let i = 0; i < 40; i++) socket.send(block);
	expect((await end).code).toBe(1009);
});
