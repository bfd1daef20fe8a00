import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../../lib/assert.ts";
import { systemClock } from "../../../lib/clock.ts";
import { AppError } from "../../../lib/errors.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { type FakeCall, FakeLibvirtServer } from "../../../testing/fake-libvirt-server.ts";
import { waitUntil } from "../../../testing/lab/wait-until.ts";
import { type ConnectionState, createLibvirtClient, type LibvirtClient, type LibvirtClientOptions } from "./client.ts";
import type { LibvirtDomainEvent } from "./events.ts";
import { domainEventIds } from "./events.ts";
import { keepaliveProgram, procedures } from "./protocol.ts";
import { connectUnix } from "./transport.ts";

const uuid = "0193c2a0-0000-7000-8000-000000000001";

let folder = "";
let server: FakeLibvirtServer;
const clients: LibvirtClient[] = [];
let states: ConnectionState[] = [];
let events: LibvirtDomainEvent[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-client-"));
	server = new FakeLibvirtServer(join(folder, "libvirt-sock"));
	server.handle("connectGetHostname", (call) => call.reply((w) => w.string("host")));
	states = [];
	events = [];
});
afterEach(async () => {
	for (const client of clients.splice(0)) await client.close();
	server.stop();
	rmSync(folder, { recursive: true, force: true });
});

function newClient(options: Partial<LibvirtClientOptions> = {}): LibvirtClient {
	const client = createLibvirtClient({
		uri: `qemu+unix:///system?socket=${server.path}`,
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
		backoff: { firstMs: 5, maxMs: 50, stableMs: 5_000 },
		...options,
	});
	client.onState((state) => states.push(state));
	client.onDomainEvent((event) => events.push(event));
	clients.push(client);
	return client;
}

async function openClient(options: Partial<LibvirtClientOptions> = {}): Promise<LibvirtClient> {
	const client = newClient(options);
	await client.open();
	return client;
}

const fails = async (promise: Promise<unknown>): Promise<AppError> => {
	const error = await promise.then(
		() => undefined,
		(e: unknown) => e,
	);
	if (!(error instanceof AppError)) throw new Error(`expected an AppError, got ${String(error)}`);
	return error;
};

const untilState = (state: ConnectionState["state"]) =>
	waitUntil(`state ${state}`, 5_000, () => states.at(-1)?.state === state);

/** A "started" event on that connection. */
const sendStarted = (peer: FakeCall["peer"]) =>
	peer.event(318, (w) => {
		w.int(0);
		w.string("vm");
		w.fixedOpaque(Buffer.from(uuid.replaceAll("-", ""), "hex"));
		w.int(1);
		w.int(2);
		w.int(0);
	});

describe("opening", () => {
	test("authentication, the name without the socket, keepalive, events: in this order", async () => {
		await openClient();
		const peer = present(server.peers[0], "connection");
		const calls = peer.calls.map((call) => call.frame.procedure);
		expect(calls.slice(0, 3)).toEqual([66, 1, 60]);
		expect(calls.slice(3)).toEqual(domainEventIds.map(() => 316));
		expect(peer.calls[1]?.reader.optionalString()).toBe("qemu:///system");
		expect(peer.calls[2]?.reader.int()).toBe(10);
		expect(peer.calls.slice(3).map((call) => call.reader.int())).toEqual([...domainEventIds]);
		expect(states.map(({ state }) => state)).toEqual(["connecting", "connected"]);
	});

	test("a libvirt that wants a password is refused, in plain words", async () => {
		server.handle("authList", (call) => call.reply((w) => w.array([1, 2], 20, (type) => w.int(type))));
		const error = await fails(newClient().open());
		expect(error.code).toBe("unavailable");
		expect(error.message).toContain("SASL or polkit");
		expect(error.message).toContain('auth_unix_rw = "none"');
		expect(server.peers.flatMap((peer) => peer.calls).some((call) => call.frame.procedure === 1)).toBe(false);
	});

	test("events that libvirt does not know are done without", async () => {
		server.handle("connectDomainEventCallbackRegisterAny", (call) => {
			if (call.reader.int() === 26) call.fail(8, "unsupported event ID 26");
			else call.reply((w) => w.int(1));
		});
		const client = await openClient();
		expect(await client.connectGetHostname()).toBe("host");
	});

	test("no socket, nobody listening, and no answer are each unavailable", async () => {
		const missing = await fails(newClient({ uri: `qemu+unix:///system?socket=${folder}/missing` }).open());
		expect([missing.code, missing.message.includes("/missing")]).toEqual(["unavailable", true]);
		server.handle("connectOpen", () => {});
		const silent = await fails(newClient({ openLimitMs: 50 }).open());
		expect([silent.code, silent.message.includes("50 ms")]).toEqual(["unavailable", true]);
	});

	test("a libvirt that refuses to open says why", async () => {
		server.handle("connectOpen", (call) => call.fail(38, "no driver"));
		const error = await fails(newClient().open());
		expect([error.code, error.message.includes("no driver")]).toEqual(["unavailable", true]);
	});

	test("it goes on trying after the first failure, and calls work as soon as it succeeds", async () => {
		server.stop();
		const client = newClient();
		expect((await fails(client.open())).message).toContain("does not answer");
		server.handle("connectOpen", (call) => call.fail(38, "not ready"));
		server.listen();
		await waitUntil("libvirt's refusal", 5_000, () => states.some(({ reason }) => reason.includes("not ready")));
		expect((await fails(client.connectGetHostname())).message).toContain("not ready");
		server.handle("connectOpen", (call) => call.reply());
		await untilState("connected");
		expect(await client.connectGetHostname()).toBe("host");
	});

	test("the first call opens by itself", async () => {
		expect(await newClient().connectGetHostname()).toBe("host");
	});
});

describe("losing libvirt", () => {
	test("calls under way fail, calls meanwhile fail at once, then all goes on, events too", async () => {
		const client = await openClient();
		server.handle("connectGetURI", () => {});
		const underWay = fails(client.connectGetURI());
		await server.waitForCall("connectGetURI");
		server.stop();
		const lost = await underWay;
		expect([lost.code, lost.context.callWasSent]).toEqual(["unavailable", true]);
		await untilState("disconnected");
		const meanwhile = await fails(client.connectGetHostname());
		expect(meanwhile.code).toBe("unavailable");
		expect(present(meanwhile.retryAfterMs, "retryAfterMs")).toBeGreaterThan(0);
		expect(client.state.state).not.toBe("connected");
		server.listen();
		await untilState("connected");
		expect(await client.connectGetHostname()).toBe("host");
		expect(events).toEqual([]);
		sendStarted(present(server.peers.at(-1), "connection"));
		await waitUntil("the event", 5_000, () => events.length === 1);
		expect(events[0]).toEqual({
			domain: { uuid, name: "vm", id: 1 },
			kind: "lifecycle",
			event: "started",
			detail: "booted",
		});
		expect(states.filter(({ state }) => state === "disconnected").every(({ reason }) => reason !== "")).toBe(true);
	});

	test("garbage from libvirt costs the connection, not the client", async () => {
		const client = await openClient();
		server.handle("connectGetURI", (call) => call.peer.send(Buffer.from("\xff\xff\xff\xffnonsense")));
		expect((await fails(client.connectGetURI())).code).toBe("unavailable");
		await waitUntil("a new connection", 5_000, () => server.accepted >= 2);
		await untilState("connected");
		expect(states.some(({ reason }) => reason.includes("makes no sense"))).toBe(true);
		expect(await client.connectGetHostname()).toBe("host");
	});

	test("pauses grow while libvirt accepts and hangs up at once", async () => {
		server.handle("authList", (call) => call.peer.disconnect());
		const attempts: number[] = [];
		newClient({
			backoff: { firstMs: 10, maxMs: 80, stableMs: 5_000 },
			connect: (...args) => {
				attempts.push(performance.now());
				return connectUnix(...args);
			},
		})
			.open()
			.catch(() => {});
		await waitUntil("six attempts", 5_000, () => attempts.length >= 6);
		const pauses = attempts.slice(1).map((at, index) => at - present(attempts[index], "attempt"));
		// Pauses are at least half of 10, 20, 40, 80, 80 ms.
		for (const [index, least] of [5, 10, 20, 40, 40].entries())
			expect(present(pauses[index], "pause")).toBeGreaterThanOrEqual(least - 1);
	});

	test("a libvirt that is silent is given up and connected to anew", async () => {
		const client = await openClient({ keepalive: { intervalMs: 20, count: 2 } });
		const peer = present(server.peers[0], "connection");
		const pings = () => peer.others.filter((frame) => frame.procedure === 1 && frame.type === 2).length;
		await waitUntil("a new connection", 5_000, () => server.accepted >= 2);
		expect(pings()).toBe(2);
		expect(states.some(({ reason }) => reason.includes("no sign of life"))).toBe(true);
		expect(client.state.state).toBeString();
		expect(keepaliveProgram).toBe(0x6b656570);
	});
});

describe("which connection", () => {
	test("figures have one of their own, so that a domain that hangs holds nothing else", async () => {
		const client = await openClient();
		server.handle("connectGetAllDomainStats", () => {});
		const stuck = Array.from({ length: 10 }, () =>
			fails(client.connectGetAllDomainStats(0, 0, [], { timeoutMs: 200 })),
		);
		await server.waitForCall("connectGetAllDomainStats", 5);
		expect(server.accepted).toBe(2);
		expect(await client.connectGetHostname()).toBe("host");
		expect(new Set((await Promise.all(stuck)).map(({ code }) => code))).toEqual(new Set(["timeout"]));
		expect(client.state.state).toBe("connected");
	});

	test("libvirtd does networks and secrets on the main one", async () => {
		server.handle("connectListAllNetworks", (call) => call.reply((w) => [w.uint(0), w.uint(0)]));
		const client = await openClient({ uri: "qemu:///system", socketFolder: folder });
		expect(await client.connectListAllNetworks()).toEqual([]);
		expect(server.accepted).toBe(1);
	});

	test("modular daemons: each asked for what it does, and each lost alone", async () => {
		const daemons = ["virtqemud", "virtnetworkd", "virtsecretd"].map(
			(name) => new FakeLibvirtServer(join(folder, `${name}-sock`)),
		);
		const [qemu, network, secret] = daemons.map((daemon) => present(daemon, "daemon"));
		try {
			qemu?.handle("connectGetHostname", (call) => call.reply((w) => w.string("modular")));
			network?.handle("connectListAllNetworks", (call) => call.reply((w) => [w.uint(0), w.uint(0)]));
			secret?.handle("connectListAllSecrets", (call) => call.reply((w) => [w.uint(0), w.uint(0)]));
			const client = await openClient({ uri: "qemu:///system", socketFolder: folder });
			expect(await client.connectGetHostname()).toBe("modular");
			expect(await client.connectListAllNetworks()).toEqual([]);
			expect(await client.connectListAllSecrets()).toEqual([]);
			expect([server.accepted, ...daemons.map((daemon) => daemon.accepted)]).toEqual([0, 1, 1, 1]);
			const opened = daemons.map((daemon) => daemon.peers[0]?.calls[1]?.reader.optionalString());
			expect(opened).toEqual(["qemu:///system", "network:///system", "secret:///system"]);
			network?.peers[0]?.disconnect();
			expect(await client.connectGetHostname()).toBe("modular");
			await waitUntil("networks to be back", 5_000, () =>
				client.connectListAllNetworks().then(
					() => true,
					() => false,
				),
			);
			expect(states.map(({ state }) => state)).toEqual(["connecting", "connected"]);
		} finally {
			for (const client of clients.splice(0)) await client.close();
			for (const daemon of daemons) daemon.stop();
		}
	});
});

test("close says goodbye, ends what is under way and connects no more", async () => {
	const client = await openClient();
	server.handle("connectGetURI", () => {});
	const underWay = fails(client.connectGetURI());
	await server.waitForCall("connectGetURI");
	const peer = present(server.peers[0], "connection");
	await client.close();
	expect(peer.calls.at(-1)?.frame.procedure).toBe(procedures.connectClose);
	expect((await underWay).code).toBe("unavailable");
	expect((await fails(client.connectGetHostname())).code).toBe("unavailable");
	expect((await fails(client.domainScreenshot({ uuid }))).code).toBe("unavailable");
	expect((await fails(client.connectGetAllDomainStats(0, 0))).code).toBe("unavailable");
	await client.close();
	expect(server.accepted).toBe(1);
	expect(states.at(-1)).toEqual({ state: "disconnected", reason: "closed" });
});

test("close while connecting ends the attempt", async () => {
	server.handle("connectOpen", () => {});
	const client = newClient();
	const opening = fails(client.open());
	await server.waitForCall("connectOpen");
	await client.close();
	expect((await opening).code).toBe("unavailable");
	await waitUntil("the connection to go", 5_000, () => server.peers.length === 0);
});

test("a domain that is no UUID is refused before anything is sent", async () => {
	const client = await openClient();
	const error = await fails(client.domainGetState({ uuid: "../../etc" }));
	expect(error.code).toBe("invalid");
	expect(client.state.state).toBe("connected");
});
