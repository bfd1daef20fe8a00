import { describe, expect, test } from "bun:test";
import { encodeFrame, type Frame, type FrameName, FrameReader, frameTypes, maxPayloadBytes, preface } from "./frame.ts";

const all = Object.keys(frameTypes) as FrameName[];
const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function reading(expected: readonly FrameName[] = all) {
	const reader = new FrameReader(expected);
	const frames: Frame[] = [];
	const push = (chunk: Uint8Array) => reader.push(chunk, (frame) => frames.push(frame) > 0);
	return { reader, frames, push };
}

/** Small, fast, the same for a seed: mulberry32. */
function seeded(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), state | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

test("golden bytes of a frame", () => {
	expect(Buffer.from(encodeFrame("ping", text("ab"))).toString("hex")).toBe("00000002046162");
	expect(Buffer.from(preface).toString("latin1")).toBe("LQXPEER\x01");
});

test("frames arrive whole, in order, cut anywhere", () => {
	const stream = joined(
		preface,
		encodeFrame("hello", text("one")),
		encodeFrame("ping", new Uint8Array(0)),
		encodeFrame("raft", new Uint8Array(300).fill(7)),
	);
	for (let first = 0; first <= stream.length; first++) {
		const { frames, push } = reading();
		expect(push(stream.subarray(0, first))).toBeNull();
		expect(push(stream.subarray(first))).toBeNull();
		expect(frames.map(({ name, payload }) => [name, payload.length])).toEqual([
			["hello", 3],
			["ping", 0],
			["raft", 300],
		]);
		expect(frames[2]?.payload.every((byte) => byte === 7)).toBe(true);
	}
});

test("byte by byte", () => {
	const { frames, push, reader } = reading();
	for (const byte of joined(preface, encodeFrame("raft", text("slowly")), encodeFrame("pong", text("x"))))
		expect(push(Uint8Array.of(byte))).toBeNull();
	expect(frames.map(({ payload }) => Buffer.from(payload).toString())).toEqual(["slowly", "x"]);
	expect(reader.heldBytes).toBe(0);
});

describe("what is wrong is a value, and stays", () => {
	const cases: [string, Uint8Array, string][] = [
		["another protocol", text("GET / HTTP/1.1\r\n\r\n"), "bad-preface"],
		["another framing version", text("LQXPEER\x02"), "bad-preface"],
		["a type that does not exist", joined(preface, Uint8Array.of(0, 0, 0, 1, 255, 1)), "unexpected-type"],
		["type 0", joined(preface, Uint8Array.of(0, 0, 0, 0, 0)), "unexpected-type"],
		["the largest length", joined(preface, Uint8Array.of(255, 255, 255, 255, frameTypes.raft)), "too-large"],
		["one byte too many", joined(preface, Uint8Array.of(0, 0, 0, 65, frameTypes.ping)), "too-large"],
	];
	for (const [what, bytes, fault] of cases)
		test(what, () => {
			const { frames, push, reader } = reading();
			expect(push(bytes)).toBe(fault as never);
			expect(push(joined(preface, encodeFrame("ping", text("x"))))).toBe(fault as never);
			expect([frames.length, reader.heldBytes]).toEqual([0, 0]);
			const slow = reading();
			let last: string | null = null;
			for (const byte of bytes) last = slow.push(Uint8Array.of(byte));
			expect(last).toBe(fault);
		});
});

test("only what may come now", () => {
	const { reader, frames, push } = reading(["hello"]);
	expect(push(joined(preface, encodeFrame("hello", text("x"))))).toBeNull();
	reader.expect(["raft", "ping"]);
	expect(push(encodeFrame("raft", text("x")))).toBeNull();
	expect(push(encodeFrame("hello", text("x")))).toBe("unexpected-type");
	expect(frames).toHaveLength(2);
});

test("the types of the next frame change while a chunk is read", () => {
	const reader = new FrameReader(["hello"]);
	const seen: string[] = [];
	const chunk = joined(preface, encodeFrame("hello", text("x")), encodeFrame("raft", text("y")));
	const fault = reader.push(chunk, ({ name }) => {
		seen.push(name);
		reader.expect(["raft"]);
		return true;
	});
	expect([fault, seen]).toEqual([null, ["hello", "raft"]]);
});

test("a claimed length costs nothing before the bytes are there", () => {
	const { push, reader } = reading();
	const header = new Uint8Array(5);
	new DataView(header.buffer).setUint32(0, maxPayloadBytes.raft);
	header[4] = frameTypes.raft;
	push(joined(preface, header));
	expect(reader.heldBytes).toBeLessThan(256);
	let sent = 0;
	for (const size of [10, 1000, 50_000, 400_000]) {
		push(new Uint8Array(size));
		sent += size;
		expect(reader.heldBytes).toBeLessThanOrEqual(Math.max(256, 2 * (sent + 5)));
	}
});

test("after `take` says no, nothing more is taken of the chunk", () => {
	const reader = new FrameReader(all);
	let count = 0;
	const chunk = joined(preface, encodeFrame("ping", text("a")), encodeFrame("ping", text("b")));
	expect(reader.push(chunk, () => ++count < 1)).toBeNull();
	expect(count).toBe(1);
});

test("any stream in any pieces gives the same frames, and garbage never throws", () => {
	for (let seed = 1; seed <= 300; seed++) {
		const random = seeded(seed);
		const integer = (below: number) => Math.floor(random() * below);
		const parts: Uint8Array[] = [preface];
		const expected: [string, number][] = [];
		for (let i = integer(12); i > 0; i--) {
			const name = all[integer(all.length)] as FrameName;
			const payload = new Uint8Array(integer(Math.min(maxPayloadBytes[name], 3000) + 1)).map(() => integer(256));
			expected.push([name, payload.length]);
			parts.push(encodeFrame(name, payload));
		}
		const stream = joined(...parts);
		const pieces = (bytes: Uint8Array, push: (piece: Uint8Array) => unknown) => {
			for (let at = 0; at < bytes.length; ) {
				const size = 1 + integer(random() < 0.5 ? 4 : 2000);
				push(bytes.subarray(at, at + size));
				at += size;
			}
		};
		const good = reading();
		pieces(stream, (piece) => expect(good.push(piece)).toBeNull());
		expect(good.frames.map(({ name, payload }) => [name as string, payload.length])).toEqual(expected);
		const damaged = stream.map((byte) => (random() < 0.02 ? integer(256) : byte));
		const bad = reading();
		pieces(damaged, bad.push);
		pieces(
			new Uint8Array(500).map(() => integer(256)),
			reading().push,
		);
		expect(bad.reader.heldBytes).toBeLessThan(2 * damaged.length + 256);
	}
});
