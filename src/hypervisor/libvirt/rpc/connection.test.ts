import { beforeEach, describe, expect, test } from "bun:test";
import { present } from "../../../lib/assert.ts";
import { AppError, isAppError } from "../../../lib/errors.ts";
import { writeRemoteError } from "../../../testing/fake-libvirt-server.ts";
import { ManualClock } from "../../../testing/manual-clock.ts";
import type { Call } from "./caller.ts";
import { RpcConnection } from "./connection.ts";
import { isLibvirtError, ProtocolError } from "./errors.ts";
import { encodeFrame, type Frame, FrameParser } from "./frame.ts";
import { keepaliveProgram, remoteProgram } from "./protocol.ts";
import type { Transport } from "./transport.ts";
import type { XdrWriter } from "./xdr-writer.ts";

/** The other end of a connection, in memory: what was sent, and whatever the test answers. */
class Peer implements Transport {
	readonly clock = new ManualClock();
	readonly events: { procedure: number; payload: Uint8Array }[] = [];
	readonly connection = new RpcConnection({
		clock: this.clock,
		maxInFlight: 5,
		maxQueued: 10,
		onMessage: (procedure, payload) => this.events.push({ procedure, payload: payload.slice() }),
	});
	readonly frames: Frame[] = [];
	closedWith: string | null = null;
	readonly bufferedBytes = 0;
	readonly #parser = new FrameParser((frame) => this.frames.push({ ...frame, payload: frame.payload.slice() }));

	constructor() {
		this.connection.attach(this);
	}

	write(data: Uint8Array): void {
		this.#parser.push(data);
	}
	drained = () => Promise.resolve();
	pause(): void {}
	resume(): void {}
	close(reason: string): void {
		this.closedWith = reason;
	}

	get calls(): Frame[] {
		return this.frames.filter((frame) => frame.program === remoteProgram && frame.type === 0);
	}

	say(data: Uint8Array): void {
		this.connection.transportEvents.onData(data);
	}

	/** Answers the `nth` call that was sent (from 0). */
	answer(nth: number, write?: (w: XdrWriter) => void, change: Partial<Frame> = {}): void {
		const { procedure, serial } = present(this.calls[nth], `call ${nth}`);
		this.say(encodeFrame({ program: remoteProgram, procedure, serial, type: 1, status: 0, ...change }, write));
	}
}

const hostname: Call<string> = { procedure: "connectGetHostname", read: (r) => r.string() };
const fails = async (promise: Promise<unknown>): Promise<AppError> => {
	const error = await promise.then(
		() => undefined,
		(e: unknown) => e,
	);
	if (!(error instanceof AppError)) throw new Error(`expected an AppError, got ${String(error)}`);
	return error;
};

let peer: Peer;
beforeEach(() => {
	peer = new Peer();
});

test("answers find their calls in any order", async () => {
	const answers = ["a", "b", "c"].map(() => peer.connection.call(hostname));
	peer.answer(2, (w) => w.string("third"));
	peer.answer(0, (w) => w.string("first"));
	peer.answer(1, (w) => w.string("second"));
	expect(await Promise.all(answers)).toEqual(["first", "second", "third"]);
	expect(peer.clock.waiting).toBe(0);
});

test("arguments go out as written, with serials of their own", () => {
	peer.connection.call({ ...hostname, write: (w) => w.uint(42) }).catch(() => {});
	peer.connection.call(hostname).catch(() => {});
	expect(peer.calls.map((call) => call.procedure)).toEqual([59, 59]);
	expect(new Set(peer.calls.map((call) => call.serial)).size).toBe(2);
	expect(Buffer.from(present(peer.calls[0], "call").payload).toString("hex")).toBe("0000002a");
});

test("an error becomes a LibvirtError with libvirt's numbers", async () => {
	const answer = fails(peer.connection.call(hostname));
	peer.answer(0, (w) => writeRemoteError(w, 42, "Domain not found: \u001b[31mx\ny"), { status: 1 });
	const error = await answer;
	expect(isLibvirtError(error, 42)).toBe(true);
	expect(error.code).toBe("not-found");
	expect(error.message).toBe("libvirt: Domain not found:  [31mx y");
	expect(error.context).toMatchObject({
		procedure: "connectGetHostname",
		libvirtCode: 42,
		libvirtDomain: 10,
		libvirtLevel: 2,
		details: ["detail", null, null],
		int2: 3,
	});
	expect(peer.closedWith).toBeNull();
});

describe("bounds", () => {
	test("five in flight, the rest in order as places become free, a bound on what waits", async () => {
		const answers = Array.from({ length: 15 }, () => peer.connection.call(hostname));
		expect(peer.connection.load).toEqual({ inFlight: 5, queued: 10 });
		expect(peer.calls).toHaveLength(5);
		const tooMany = await fails(peer.connection.call(hostname));
		expect([tooMany.code, tooMany.retryAfterMs]).toEqual(["unavailable", 1000]);
		peer.answer(3, (w) => w.string("3"));
		expect(peer.calls).toHaveLength(6);
		for (const nth of [0, 1, 2, 4]) peer.answer(nth, (w) => w.string(String(nth)));
		for (let nth = 5; nth < 15; nth++) peer.answer(nth, (w) => w.string(String(nth)));
		expect(await Promise.all(answers)).toEqual(Array.from({ length: 15 }, (_, i) => String(i)));
		expect(peer.connection.load).toEqual({ inFlight: 0, queued: 0 });
	});

	test("arguments that do not fit a message fail alone", async () => {
		const error = await fails(peer.connection.call({ ...hostname, write: (w) => w.string("x".repeat(4_194_305)) }));
		expect(error.code).toBe("invalid");
		expect(peer.connection.load).toEqual({ inFlight: 0, queued: 0 });
		expect(peer.closedWith).toBeNull();
	});
});

describe("limits and cancelling", () => {
	test("a call ends with its limit; a late answer is taken and dropped", async () => {
		const answer = fails(peer.connection.call(hostname, { timeoutMs: 500 }));
		peer.clock.advance(499);
		expect(peer.connection.load.inFlight).toBe(1);
		peer.clock.advance(1);
		const error = await answer;
		expect([error.code, error.context.callWasSent]).toEqual(["timeout", true]);
		expect(peer.connection.load.inFlight).toBe(1);
		peer.answer(0, (w) => w.string("late"));
		expect(peer.connection.load.inFlight).toBe(0);
		expect(peer.closedWith).toBeNull();
	});

	test("the limit counts waiting in the queue, and frees the place there", async () => {
		for (let i = 0; i < 5; i++) peer.connection.call(hostname).catch(() => {});
		const answer = fails(peer.connection.call(hostname, { timeoutMs: 500 }));
		peer.clock.advance(500);
		const error = await answer;
		expect([error.code, error.context.callWasSent]).toEqual(["timeout", false]);
		expect(peer.connection.load).toEqual({ inFlight: 5, queued: 0 });
	});

	test("a signal ends a call before it starts, while it waits, and while it is under way", async () => {
		expect((await fails(peer.connection.call(hostname, { signal: AbortSignal.abort() }))).code).toBe("canceled");
		expect(peer.calls).toHaveLength(0);
		const control = new AbortController();
		const answers = Array.from({ length: 6 }, () => fails(peer.connection.call(hostname, { signal: control.signal })));
		const other = peer.connection.call(hostname);
		control.abort();
		const errors = await Promise.all(answers);
		expect(errors.map((error) => error.context.callWasSent)).toEqual([true, true, true, true, true, false]);
		expect(new Set(errors.map((error) => error.code))).toEqual(new Set(["canceled"]));
		expect(peer.connection.load).toEqual({ inFlight: 5, queued: 1 });
		peer.answer(0, (w) => w.string("late"));
		peer.answer(5, (w) => w.string("in time"));
		expect(await other).toBe("in time");
	});

	test("places held by calls that nobody waits for any more: after a grace, the connection is given up", async () => {
		for (let i = 0; i < 5; i++) peer.connection.call(hostname, { timeoutMs: 1_000 }).catch(() => {});
		const other = fails(peer.connection.call(hostname, { timeoutMs: 60_000 }));
		peer.clock.advance(5_999);
		expect(peer.closedWith).toBeNull();
		peer.clock.advance(1);
		expect(peer.closedWith).toContain("5 calls unanswered");
		expect((await other).context.callWasSent).toBe(false);
		expect(peer.clock.waiting).toBe(0);
	});

	test("one answer within the grace saves the connection", async () => {
		for (let i = 0; i < 5; i++) peer.connection.call(hostname, { timeoutMs: 1_000 }).catch(() => {});
		const other = peer.connection.call(hostname, { timeoutMs: 60_000 });
		peer.clock.advance(5_999);
		peer.answer(3, (w) => w.string("late"));
		peer.clock.advance(20_000);
		peer.answer(5, (w) => w.string("in time"));
		expect(await other).toBe("in time");
		expect(peer.closedWith).toBeNull();
	});
});

describe("a peer that does not keep to the protocol loses the connection, and every call ends", () => {
	const serial = () => present(peer.calls[0], "call").serial;
	const reply = (change: Partial<Frame>, write?: (w: XdrWriter) => void) => {
		const frame = { program: remoteProgram, procedure: 59, serial: serial(), type: 1, status: 0, ...change };
		return encodeFrame(frame, write);
	};
	const breaches: [string, () => Uint8Array][] = [
		["text", () => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
		["an answer to nothing", () => reply({ serial: 999 })],
		["an answer to another procedure", () => reply({ procedure: 60 })],
		["an answer that ends too early", () => reply({}, (w) => w.uint(100))],
		["an answer with too much in it", () => reply({}, (w) => [w.string("h"), w.uint(1)])],
		["an answer that goes on", () => reply({ status: 2 })],
		["an error that ends too early", () => reply({ status: 1 }, (w) => w.uint(1))],
		["a call to us", () => reply({ type: 0 })],
		["data of no stream", () => reply({ type: 3, status: 2 })],
		["a keepalive call", () => reply({ program: keepaliveProgram, type: 0, procedure: 1 })],
		["an unknown keepalive message", () => reply({ program: keepaliveProgram, type: 2, procedure: 3 })],
	];
	for (const [what, bytes] of breaches) {
		test(what, async () => {
			const answer = fails(peer.connection.call(hostname));
			const other = fails(peer.connection.call(hostname));
			peer.say(bytes());
			const errors = [await answer, await other];
			expect(peer.closedWith).toContain("makes no sense");
			expect(await peer.connection.closed).toContain("makes no sense");
			for (const error of errors)
				expect(
					error instanceof ProtocolError || (isAppError(error, "unavailable") && error.cause instanceof ProtocolError),
				).toBe(true);
			expect(peer.clock.waiting).toBe(0);
		});
	}
});

test("when the connection goes, calls that were sent say so, and later ones fail at once", async () => {
	const answers = Array.from({ length: 6 }, () => fails(peer.connection.call(hostname)));
	peer.connection.transportEvents.onClosed("the other side closed the connection");
	const errors = await Promise.all(answers);
	expect(errors.map((error) => error.code)).toEqual(Array(6).fill("unavailable"));
	expect(errors.map((error) => error.context.callWasSent)).toEqual([true, true, true, true, true, false]);
	const later = await fails(peer.connection.call(hostname));
	expect([later.code, later.context.callWasSent]).toEqual(["unavailable", false]);
	expect(peer.calls).toHaveLength(5);
	expect(peer.connection.isClosed).toBe(true);
});

test("messages go to the listener, as they are", () => {
	const event = { program: remoteProgram, procedure: 318, serial: 0, type: 2, status: 0 };
	peer.say(encodeFrame(event, (w) => w.uint(7)));
	expect(peer.events.map(({ procedure, payload }) => [procedure, payload.length])).toEqual([[318, 4]]);
});

describe("keepalive", () => {
	const keepalives = () => peer.frames.filter((frame) => frame.program === keepaliveProgram);
	const message = (procedure: number) =>
		encodeFrame({ program: keepaliveProgram, procedure, serial: 0, type: 2, status: 0 });

	test("a ping is answered", () => {
		peer.say(message(1));
		expect(keepalives().map(({ procedure, type, serial }) => [procedure, type, serial])).toEqual([[2, 2, 0]]);
	});

	test("silence is asked after, and ends the connection when nothing answers", async () => {
		const answer = fails(peer.connection.call(hostname, { timeoutMs: 1e9 }));
		peer.connection.startKeepalive({ intervalMs: 5_000, count: 5 });
		peer.clock.advance(25_000);
		expect(keepalives()).toHaveLength(5);
		expect(peer.closedWith).toBeNull();
		peer.clock.advance(5_000);
		expect(peer.closedWith).toContain("no sign of life within 30 s");
		expect((await answer).code).toBe("unavailable");
		expect(peer.clock.waiting).toBe(0);
	});

	test("anything that arrives is a sign of life", () => {
		peer.connection.startKeepalive({ intervalMs: 5_000, count: 2 });
		for (let i = 0; i < 20; i++) {
			peer.clock.advance(4_000);
			peer.say(encodeFrame({ program: remoteProgram, procedure: 318, serial: 0, type: 2, status: 0 }));
		}
		expect(keepalives()).toHaveLength(0);
		peer.clock.advance(10_000);
		expect(keepalives()).toHaveLength(2);
		peer.say(message(2));
		peer.clock.advance(10_000);
		expect(peer.closedWith).toBeNull();
	});
});

test("every call has a serial of its own, never zero", async () => {
	const seen = new Set<number>();
	for (let i = 0; i < 50; i++) {
		const answer = peer.connection.call(hostname);
		peer.answer(i, (w) => w.string("x"));
		await answer;
		seen.add(present(peer.calls[i], "call").serial);
	}
	expect(seen.size).toBe(50);
	expect(seen.has(0)).toBe(false);
});
