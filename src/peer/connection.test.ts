/** What goes out in one write. How connections end and what they bear is tested with real ones (listener.slow.test.ts). */
import { expect, test } from "bun:test";
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { PingSchema, PongSchema } from "../gen/peer_pb.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { KiB } from "../lib/units.ts";
import { Connection } from "./connection.ts";
import { encodeFrame, type Frame, FrameReader, preface } from "./frame.ts";
import { decoded, encoded } from "./wire.ts";

/** A stream that has what else a TLS socket is asked for. */
class Wire extends Duplex {
	readonly writes: Uint8Array[] = [];
	remoteAddress = "127.0.0.1";
	setNoDelay() {}
	setKeepAlive() {}
	override _read() {}
	override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
		this.writes.push(new Uint8Array(chunk));
		done();
	}
}

function wired(maxQueuedBytes = 1024 * KiB): { wire: Wire; connection: Connection } {
	const wire = new Wire();
	const socket = wire as unknown as TLSSocket;
	return { wire, connection: new Connection({ socket, clock: systemClock, logger: silentLogger, maxQueuedBytes }) };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function framesOf(writes: readonly Uint8Array[]): [name: string, length: number][] {
	const reader = new FrameReader(["raft", "call", "refusal"]);
	const frames: [string, number][] = [];
	for (const bytes of writes)
		expect(
			reader.push(bytes, ({ name, payload }) => {
				frames.push([name, payload.length]);
				return true;
			}),
		).toBeNull();
	return frames;
}

test("the frames of one turn go out in one write, in order", async () => {
	const { wire, connection } = wired();
	expect(wire.writes).toEqual([preface]);
	for (let length = 1; length <= 5; length++) connection.send("raft", new Uint8Array(length));
	expect(wire.writes.length).toBe(1);
	expect(connection.queuedBytes).toBe(5 * 5 + 15);
	await nextTurn();
	expect(wire.writes.length).toBe(2);
	expect(connection.queuedBytes).toBe(0);
	connection.send("call", new Uint8Array(6));
	await nextTurn();
	expect(framesOf(wire.writes).map(([, length]) => length)).toEqual([1, 2, 3, 4, 5, 6]);
	connection.fail({ code: "closing", message: "" });
});

test("much does not wait for the end of the turn, and counts as queued while it waits", () => {
	const { wire, connection } = wired(100 * KiB);
	connection.send("raft", new Uint8Array(64 * KiB));
	expect(wire.writes.length).toBe(2);
	let closed: string | null = null;
	connection.handle([], {
		onFrame() {},
		onClose: ({ code }) => {
			closed = code;
		},
	});
	expect(connection.send("raft", new Uint8Array(60 * KiB))).toBe(true);
	expect([connection.send("raft", new Uint8Array(60 * KiB)), closed]).toEqual([false, "slow"] as never);
});

test("the last words go out after what was sent before them", () => {
	const { wire, connection } = wired();
	connection.send("raft", new Uint8Array(3));
	connection.end({ code: "closing", message: "" });
	expect(framesOf(wire.writes).map(([name]) => name)).toEqual(["raft", "refusal"]);
	connection.fail({ code: "closing", message: "" });
});

test("what waits when a connection is cut off goes nowhere", async () => {
	const { wire, connection } = wired();
	connection.send("raft", new Uint8Array(3));
	connection.fail({ code: "timeout", message: "" });
	await nextTurn();
	expect(wire.writes).toEqual([preface]);
});

/** What it has sent, with what was in it. */
function sentBy(writes: readonly Uint8Array[]): Frame[] {
	const reader = new FrameReader(["ping", "pong"]);
	const frames: Frame[] = [];
	for (const bytes of writes)
		reader.push(bytes, (frame) => frames.push({ ...frame, payload: frame.payload.slice() }) > 0);
	return frames;
}

test("an answer to a ping says the time; one of an older version, the ping as it came, says how long it took and no more", async () => {
	const { wire, connection } = wired();
	wire.push(preface);
	connection.startPings({ pingIntervalMs: 60_000, missedPings: 4 });
	await nextTurn();
	const [ping] = sentBy(wire.writes);
	wire.push(encodeFrame("pong", ping?.payload ?? new Uint8Array(0)));
	await nextTurn();
	expect([connection.rttMs === null, connection.peerClock]).toEqual([false, null]);
	wire.push(encodeFrame("ping", encoded(PingSchema, { nonce: 7n })));
	await nextTurn();
	await nextTurn();
	const answer = sentBy(wire.writes).at(-1);
	const said = decoded(PongSchema, answer?.payload ?? new Uint8Array(0), ({ nonce, wallMs }) => [
		nonce,
		Number(wallMs),
	]);
	expect([answer?.name, said?.[0]]).toEqual(["pong", 7n]);
	expect(Math.abs(Number(said?.[1]) - Date.now())).toBeLessThan(5_000);
	connection.fail({ code: "closing", message: "" });
});
