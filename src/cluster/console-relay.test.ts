/** Consoles of a VM on another node: real consoles on both, real links, a socket server in the place of QEMU's VNC. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identity } from "../auth/identity.ts";
import { type ConsoleData, type Consoles, createConsoles } from "../console/console.ts";
import { watchConsoleVms } from "../console/vm-watch.ts";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { MiB } from "../lib/units.ts";
import type { Role } from "../model/access.ts";
import { until } from "../peer/test-peers.ts";
import type { CommandBody } from "../store/command.ts";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../testing/api/two-nodes.ts";
import { clusterIds, fixtureId, fixtureSession, fixtureVmStatus } from "../testing/fixtures.ts";
import { consoleStreamKind, createRemoteConsoles, serveConsoles } from "./console-relay.ts";

let nodes: TwoNodes;
/** On the node that is asked, and on the VM's. */
let asked: Consoles;
let owning: Consoles;
let server: ReturnType<typeof Bun.serve<ConsoleData>>;
let vnc: Server;
let folder: string;
let guests: Socket[];
let ends: (() => void)[];
/** Where the node that is asked takes the VM to be. */
let place: string | null;

beforeEach(async () => {
	nodes = await createTwoNodes();
	folder = mkdtempSync(join(tmpdir(), "lqx-console-relay-"));
	guests = [];
	vnc = createServer((socket) => guests.push(socket));
	await new Promise<void>((resolve) => vnc.listen(join(folder, "vnc.sock"), resolve));
	nodes.other.node.vncSocket = async () => join(folder, "vnc.sock");
	const common = { clock: systemClock, random: systemRandom, logger: silentLogger, recordDenial: async () => {} };
	place = otherId;
	const out = createRemoteConsoles(nodes.peer.node, {
		...{ store: nodes.store, nodeId: clusterIds.node, clock: systemClock },
	});
	expect([out.nodeOf(remote.vm), out.nodeOf(fixtureId(9))]).toEqual([otherId, null]);
	asked = createConsoles({
		...{ ...common, node: nodes.node, remote: { ...out, nodeOf: () => place }, isOwnOrigin: () => true },
		watchCredential: (identity, onRevoked) => nodes.auth.watchCredential(identity, onRevoked),
	});
	owning = createConsoles({
		...{ ...common, node: nodes.other.node, isOwnOrigin: () => false },
		watchCredential: (identity, onRevoked) => nodes.other.auth.watchCredential(identity, onRevoked),
	});
	const { store, streams } = nodes.other;
	streams[consoleStreamKind] = serveConsoles(owning, { store, nodeId: otherId, clock: systemClock });
	ends = [watchConsoleVms(nodes.store, asked), watchConsoleVms(store, owning)];
	server = Bun.serve<ConsoleData>({
		...{ port: 0, hostname: "127.0.0.1", websocket: asked.websocket },
		fetch: (request, self) =>
			Promise.resolve(asked.handleUpgrade(request, self)).catch(
				(error: AppError) => new Response(error.code, { status: 400 }),
			),
	});
});
afterEach(async () => {
	for (const end of ends) end();
	for (const guest of guests) guest.destroy();
	server.stop(true);
	vnc.close();
	await nodes.close();
	rmSync(folder, { recursive: true, force: true });
});

const identityOf = (role: Role): Identity => {
	const { secret } = nodes.accounts[role];
	return nodes.auth.authenticate({ secret, via: "bearer" }, null);
};

type Client = {
	socket: WebSocket;
	received(bytes: number): Promise<Buffer>;
	closed: Promise<{ code: number; reason: string }>;
};
async function connect(
	over: { identity?: Identity; type?: "vnc" | "serial"; viewOnly?: boolean; vmId?: string } = {},
): Promise<Client> {
	const { identity = identityOf("operator"), type = "vnc", viewOnly = false, vmId = remote.vm } = over;
	const { protocols } = await asked.createTicket({ vmId, kind: "native", type, viewOnly, identity });
	const socket = new WebSocket(`ws://127.0.0.1:${server.port}/v1/console`, protocols);
	socket.binaryType = "arraybuffer";
	let got = Buffer.alloc(0);
	let wake = () => {};
	socket.onmessage = ({ data }) => {
		got = Buffer.concat([got, Buffer.from(data)]);
		wake();
	};
	const closed = new Promise<{ code: number; reason: string }>((resolve) => {
		socket.onclose = ({ code, reason }) => resolve({ code, reason });
	});
	await new Promise<void>((resolve) => {
		socket.onopen = () => resolve();
	});
	const received = async (bytes: number) => {
		while (got.length < bytes)
			await new Promise<void>((resolve) => {
				wake = resolve;
			});
		return got;
	};
	return { socket, closed, received };
}

/** The guest's end of the newest console, and what it has received. */
async function guest(): Promise<{ socket: Socket; received: () => Buffer }> {
	await until(() => guests.length > 0, "the guest's socket");
	const socket = guests.at(-1) as Socket;
	let got = Buffer.alloc(0);
	socket.on("data", (data) => {
		got = Buffer.concat([got, Buffer.from(data)]);
	});
	return { socket, received: () => got };
}

const hello = Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([1, 0])]);
const key = Buffer.from([4, 1, 0, 0, 0, 0, 0, 65]);
const refresh = Buffer.from([3, 0, 0, 0, 0, 0, 0, 9, 0, 9]);

describe("a console of a VM on another node", () => {
	test("carries bytes both ways, and ends with the guest", async () => {
		const client = await connect();
		const { socket, received } = await guest();
		socket.write("RFB 003.008\n");
		expect((await client.received(12)).toString()).toBe("RFB 003.008\n");
		client.socket.send(Buffer.concat([hello, key]));
		await until(() => received().length === 22);
		// Shared with others, as on the VM's own node.
		expect([...received().subarray(12)]).toEqual([1, 1, ...key]);
		expect([asked.openCount(), owning.openCount()]).toEqual([1, 1]);
		socket.end("last words");
		expect((await client.received(22)).subarray(12).toString()).toBe("last words");
		expect(await client.closed).toEqual({ code: 1000, reason: "The console of the VM ended." });
		await until(() => asked.openCount() + owning.openCount() === 0);
	});

	test("ends at the guest when its client goes", async () => {
		const client = await connect();
		const { socket } = await guest();
		const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
		client.socket.close();
		await closed;
		await until(() => asked.openCount() + owning.openCount() === 0);
	});

	test("shows a serial line to all who watch it, on whichever node: the VM's node opens it once", async () => {
		let opened = 0;
		let say: (text: string) => void = () => {};
		const typed: string[] = [];
		nodes.other.node.openSerial = async () => {
			opened += 1;
			const output = new ReadableStream<Uint8Array>({
				start(controller) {
					say = (text) => controller.enqueue(new TextEncoder().encode(text));
				},
			});
			const write = async (data: Uint8Array) => void typed.push(Buffer.from(data).toString());
			return { output, write, close: async () => {} } as never;
		};
		const clients = [await connect({ type: "serial" }), await connect({ type: "serial", viewOnly: true })];
		await until(() => owning.openCount() === 2 && opened === 1);
		await until(() => opened === 1);
		say("login: ");
		for (const client of clients) expect((await client.received(7)).toString()).toBe("login: ");
		clients[1]?.socket.send(Buffer.from("ignored"));
		clients[0]?.socket.send(Buffer.from("root\n"));
		await until(() => typed.length > 0);
		expect([opened, typed]).toEqual([1, ["root\n"]]);
		for (const { socket } of clients) socket.close();
	});

	test("closes with the session, with the VM, and when the VM is elsewhere", async () => {
		const { proposer } = nodes.store;
		const { secret } = await nodes.auth.signIn("operator", "correct horse battery", {
			...{ remoteAddress: null, userAgent: null },
		});
		const identity = nodes.auth.authenticate({ secret, via: "bearer" }, null);
		const client = await connect({ identity });
		await guest();
		await proposer.proposeSystem({ kind: "sessionDelete", id: identity.session?.id ?? "" });
		expect((await client.closed).code).toBe(1008);
		const moving = await connect();
		await until(() => owning.openCount() === 1);
		place = null;
		await proposer.proposeSystem({ kind: "vmStatus", id: remote.vm, nodeId: otherId, status: fixtureVmStatus() });
		expect(await moving.closed).toEqual({ code: 1001, reason: "The VM is on another node now." });
		await until(() => asked.openCount() + owning.openCount() === 0);
	});

	test("closes when the link breaks, and says which node cannot be reached", async () => {
		const client = await connect();
		await guest();
		await nodes.other.peer.node.close();
		expect((await client.closed).code).toBe(1000);
		const late = await connect();
		expect(await late.closed).toEqual({ code: 1011, reason: "The node node-2 cannot be reached from here." });
		await until(() => asked.openCount() + owning.openCount() === 0);
	});

	test("goes on without a quorum, and opens for whom the VM's node knows", async () => {
		const before = await connect();
		const { socket } = await guest();
		nodes.quorum(false);
		socket.write("on");
		expect((await before.received(2)).toString()).toBe("on");
		await connect();
		await until(() => owning.openCount() === 2);
		// A session that only the node that was asked knows.
		const operator = identityOf("operator");
		const local = { ...operator, credential: { kind: "session", id: fixtureId(77) } } as Identity;
		const asks = (identity: Identity) => ask({ credential: identity.credential, userId: identity.user?.id ?? null });
		expect(await asks(local)).toBe("open");
		expect(await asks({ ...local, credential: { kind: "token", id: fixtureId(77) } })).toBe("unauthenticated");
		expect(await asks({ ...local, user: null })).toBe("unauthenticated");
		nodes.quorum(true);
		expect(await asks(local)).toBe("unauthenticated");
	});
});

const headOf = (changes: Record<string, unknown> = {}) => {
	const { credential, user } = identityOf("operator");
	const head = { vmId: remote.vm, type: "vnc", viewOnly: false, credential, userId: user?.id, local: false };
	return new TextEncoder().encode(JSON.stringify({ ...head, ...changes }));
};
const openRaw = (changes: Record<string, unknown> = {}) =>
	nodes.peer.node.openStream(otherId, { kind: consoleStreamKind, metadata: headOf(changes) });
/** "open", or the code of the refusal. */
async function ask(changes: Record<string, unknown> = {}): Promise<string> {
	try {
		(await openRaw(changes)).abort(new AppError("canceled", "Enough."));
		return "open";
	} catch (error) {
		return (error as AppError).code;
	}
}

describe("the VM's node, asked by a member that may be anybody's", () => {
	test("refuses who may not, and what is not here", async () => {
		expect(await ask()).toBe("open");
		expect(await ask({ credential: null, userId: null, local: true })).toBe("open");
		const viewer = { credential: identityOf("viewer").credential };
		expect(await ask({ ...viewer, type: "serial", viewOnly: true })).toBe("forbidden");
		expect(await ask({ credential: { kind: "session", id: fixtureId(77) } })).toBe("unauthenticated");
		expect(await ask({ vmId: fixtureId(0x199) })).toBe("wrong-state");
		for (const wrong of [
			...[{ local: true }, { credential: null }, { vmId: "../x" }, { vmId: [remote.vm] }, { type: "shell" }],
			...[{ role: "admin" }, { viewOnly: "no" }, { credential: { kind: "session" } }],
		])
			expect([wrong, await ask(wrong)]).toEqual([wrong, "malformed"]);
		const status = fixtureVmStatus({ powerState: "stopped" });
		await nodes.store.proposer.proposeSystem({ kind: "vmStatus", id: remote.vm, nodeId: otherId, status });
		expect(await ask()).toBe("wrong-state");
		await until(() => owning.openCount() === 0);
	});

	test("a viewer only watches, whatever that member says", async () => {
		const viewer = identityOf("viewer");
		const stream = await openRaw({ credential: viewer.credential, userId: identityOf("admin").user?.id });
		const { received } = await guest();
		await stream.write(Buffer.concat([hello, key, refresh]));
		await until(() => received().length >= 24);
		expect([...received().subarray(12)]).toEqual([1, 1, ...refresh]);
		stream.end();
	});

	test("ends the console itself when the session ends or the VM is deleted", async () => {
		const { secret } = await nodes.auth.signIn("operator", "correct horse battery", {
			...{ remoteAddress: null, userAgent: null },
		});
		const { credential } = nodes.auth.authenticate({ secret, via: "bearer" }, null);
		const stream = await openRaw({ credential });
		await nodes.store.proposer.proposeSystem({ kind: "sessionDelete", id: credential?.id ?? "" });
		await expect(stream.read()).rejects.toThrow("The session has ended.");
		const other = await openRaw();
		await until(() => owning.openCount() === 1);
		owning.closeVm(remote.vm, "The VM was deleted.");
		await expect(other.read()).rejects.toThrow("The VM was deleted.");
	});

	describe("for a session that only the other node knows, without a quorum", () => {
		const session = fixtureId(77);
		const openLocal = async () => {
			nodes.quorum(false);
			const stream = await openRaw({ credential: { kind: "session", id: session } });
			await until(() => owning.openCount() === 1);
			return { ended: () => expect(stream.read()).rejects.toThrow("The session has ended.") };
		};
		const system = (body: CommandBody) => nodes.store.proposer.proposeSystem(body);
		const operator = () => nodes.accounts.operator.user;
		const newPassword = { kind: "userPasswordSet", passwordHash: "$other", mustChangePassword: false } as const;

		test("ends the console when it hears of another password", async () => {
			const { ended } = await openLocal();
			await system({ ...newPassword, id: operator().id });
			await ended();
		});

		test("ends the console when it hears of another role", async () => {
			const { ended } = await openLocal();
			await system({ kind: "userUpdate", id: operator().id, role: "viewer" });
			await ended();
		});

		test("goes on when the session was written down, and ends with it", async () => {
			const { ended } = await openLocal();
			const { id: userId, name: userName } = operator();
			const made = fixtureSession({ id: session, userId, userName });
			await system({ kind: "sessionCreate", session: made, secretHash: "c".repeat(64) });
			expect(owning.openCount()).toBe(1);
			await system({ kind: "sessionDelete", id: session });
			await ended();
		});
	});

	test("gives one person no more places than its own", async () => {
		const streams = await Promise.all(Array.from({ length: 8 }, () => openRaw()));
		expect(await ask()).toBe("too-many-requests");
		for (const stream of streams) stream.end();
	});

	test("waits with the guest for a client that does not read, and loses nothing", async () => {
		const stream = await openRaw();
		const { socket } = await guest();
		const total = 32 * MiB;
		const block = Buffer.alloc(64 * 1024, 7);
		let sent = 0;
		const sending = (async () => {
			for (; sent < total; sent += block.length)
				if (!socket.write(block)) await new Promise<void>((resolve) => socket.once("drain", () => resolve()));
			socket.end();
		})();
		await until(() => stream.bufferedBytes === MiB);
		for (let turn = 0; turn < 20; turn++)
			await nodes.peer.node.call(otherId, "echo", new Uint8Array(1), { timeoutMs: 5000 });
		expect(sent).toBeLessThan(8 * MiB);
		let got = 0;
		for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) got += chunk.length;
		stream.end();
		await sending;
		expect(got).toBe(total);
	});

	test("lets a client wait for a guest that does not read, and loses nothing", async () => {
		const stream = await openRaw();
		await until(() => guests.length > 0);
		const socket = guests[0] as Socket;
		socket.pause();
		const total = 16 * MiB;
		const block = new Uint8Array(64 * 1024);
		let sent = 0;
		const sending = (async () => {
			await stream.write(hello);
			for (; sent < total; sent += block.length) await stream.write(block);
		})();
		await until(() => sent > MiB);
		for (let turn = 0; turn < 20; turn++)
			await nodes.peer.node.call(otherId, "echo", new Uint8Array(1), { timeoutMs: 5000 });
		expect(sent).toBeLessThan(8 * MiB);
		let got = 0;
		socket.on("data", (data) => {
			got += data.length;
		});
		socket.resume();
		await sending;
		await until(() => got >= total + hello.length);
		expect(got).toBe(total + hello.length);
		stream.end();
	});
});
