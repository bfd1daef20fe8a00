import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import { encodeFrame, encodeStreamFrame, type Frame, FrameParser } from "./frame.ts";
import { initialBufferBytes, maxMessageBytes } from "./limits.ts";
import { keepaliveProgram, remoteProgram } from "./protocol.ts";

const header = { program: remoteProgram, procedure: 59, type: 1, serial: 4_000_000_000, status: 0 };
const copied = (frame: Frame) => ({ ...frame, payload: Buffer.from(frame.payload) });
const collect = () => {
	const frames: ReturnType<typeof copied>[] = [];
	return { frames, parser: new FrameParser((frame) => frames.push(copied(frame))) };
};

test("a frame is laid out as libvirt has it", () => {
	const frame = encodeFrame({ ...header, serial: 7 }, (w) => w.string("host"));
	expect(Buffer.from(frame).toString("hex")).toBe(
		"00000024" + "20008086" + "00000001" + "0000003b" + "00000001" + "00000007" + "00000000" + "00000004686f7374",
	);
});

test("frames in any portions come out whole and in order", () => {
	const frame = fc.record({
		procedure: fc.integer({ min: 1, max: 450 }),
		type: fc.integer({ min: 0, max: 3 }),
		serial: fc.integer({ min: 0, max: 0xffffffff }),
		status: fc.integer({ min: 0, max: 2 }),
		program: fc.constantFrom(remoteProgram, keepaliveProgram),
		payload: fc.uint8Array({ maxLength: 500 }),
	});
	fc.assert(
		fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 700 })), (wanted, cuts) => {
			const bytes = Buffer.concat(wanted.map((one) => encodeStreamFrame(one, one.payload)));
			const { frames, parser } = collect();
			let at = 0;
			for (const cut of cuts) {
				parser.push(bytes.subarray(at, at + cut));
				at += cut;
			}
			parser.push(bytes.subarray(at));
			expect(frames).toEqual(wanted.map((one) => ({ ...one, payload: Buffer.from(one.payload) })));
			expect(parser.heldBytes).toBe(0);
		}),
	);
});

test("byte by byte, with the end missing: nothing comes out before the last byte", () => {
	const { frames, parser } = collect();
	const bytes = encodeFrame(header, (w) => w.string("a payload"));
	for (const byte of bytes.subarray(0, -1)) parser.push(Uint8Array.of(byte));
	expect(frames).toEqual([]);
	parser.push(bytes.subarray(-1));
	expect(frames).toHaveLength(1);
});

const lengthWord = (length: number) => {
	const word = Buffer.alloc(4);
	word.writeUInt32BE(length);
	return word;
};

test("a length out of bounds is refused at its last byte, however it arrives", () => {
	for (const length of [0, 4, 27, maxMessageBytes + 5, 0x47455420, 0xffffffff]) {
		expect(() => collect().parser.push(lengthWord(length))).toThrow(ProtocolError);
		const { parser } = collect();
		for (const byte of lengthWord(length).subarray(0, 3)) parser.push(Uint8Array.of(byte));
		expect(() => parser.push(lengthWord(length).subarray(3))).toThrow(ProtocolError);
	}
});

test("the largest message passes", () => {
	const { frames, parser } = collect();
	const bytes = encodeStreamFrame(header, new Uint8Array(maxMessageBytes - 24));
	for (let at = 0; at < bytes.length; at += 1_000_000) parser.push(bytes.subarray(at, at + 1_000_000));
	expect(frames[0]?.payload.length).toBe(maxMessageBytes - 24);
});

test("memory grows with what arrives, not with what is announced", () => {
	const { parser } = collect();
	parser.push(lengthWord(maxMessageBytes));
	parser.push(new Uint8Array(100));
	expect(parser.heldBytes).toBeLessThanOrEqual(initialBufferBytes);
	parser.push(new Uint8Array(initialBufferBytes));
	expect(parser.heldBytes).toBeLessThanOrEqual(initialBufferBytes * 4);
});

test("header words out of range are refused", () => {
	const bad = [
		{ ...header, program: 0x20008087 },
		{ ...header, type: 4 },
		{ ...header, type: 5 },
		{ ...header, status: 3 },
	];
	for (const one of bad) expect(() => collect().parser.push(encodeFrame(one))).toThrow(ProtocolError);
	const otherVersion = Buffer.from(encodeFrame(header));
	otherVersion.writeUInt32BE(2, 8);
	expect(() => collect().parser.push(otherVersion)).toThrow(ProtocolError);
});

test("garbage gives frames or a ProtocolError, never anything else", () => {
	fc.assert(
		fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), (chunks) => {
			const { parser } = collect();
			try {
				for (const chunk of chunks) parser.push(chunk);
			} catch (error) {
				expect(error).toBeInstanceOf(ProtocolError);
			}
		}),
		{ numRuns: 500 },
	);
});
