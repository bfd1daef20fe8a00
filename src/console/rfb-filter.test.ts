import { expect, test } from "bun:test";
import fc from "fast-check";
import { RfbClientFilter } from "./rfb-filter.ts";

const bytes = (...parts: (string | number[])[]): Uint8Array =>
	Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...Buffer.from(part, "latin1")] : part)));

const version = "RFB 003.008\n";
const setEncodings = [2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7];
const updateRequest = [3, 1, 0, 0, 0, 0, 4, 0, 3, 0];
const pixelFormat = [0, 0, 0, 0, ...Array<number>(16).fill(9)];
const key = [4, 1, 0, 0, 0, 0, 0, 0x61];
const pointer = [5, 1, 0, 10, 0, 10];
const cutText = [6, 0, 0, 0, 0, 0, 0, 3, 0x61, 0x62, 0x63];
/** Extended clipboard: a negative length. */
const extendedCutText = [6, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4];
const qemuKey = [255, 0, 0, 1, 0, 0, 0, 0x61, 0, 0, 0, 0x1e];
const xvp = [250, 0, 1, 2];
const desktopSize = [251, 0, 4, 0, 3, 0, 1, 0, ...Array<number>(16).fill(1)];
const fence = [248, 0, 0, 0, 0, 0, 0, 1, 2, 7, 7];
const handshake = bytes(version, [1], [0]);
const shared = bytes(version, [1], [1]);

/** Feeds in pieces of the given sizes (repeated); returns everything that went on. */
function pass(filter: RfbClientFilter, input: Uint8Array, sizes: number[]): { out: number[]; error: string | null } {
	const out: number[] = [];
	let at = 0;
	for (let turn = 0; at < input.length; turn++) {
		const size = sizes[turn % sizes.length] ?? 1;
		const result = filter.feed(input.slice(at, at + size));
		out.push(...result.forward);
		if (result.error) return { out, error: result.error };
		at += size;
	}
	return { out, error: null };
}

test("a console passes everything, but always shared", () => {
	const input = bytes(version, [1], [0], setEncodings, key, pointer, cutText, qemuKey, [77, 1, 2]);
	const expected = [...shared, ...bytes(setEncodings, key, pointer, cutText, qemuKey, [77, 1, 2])];
	for (const size of [1, 3, 1000])
		expect(pass(new RfbClientFilter(false), input, [size])).toEqual({ out: expected, error: null });
});

test("view-only drops every message that could reach the guest, however it is cut", () => {
	const input = bytes(
		handshake.length ? [...handshake] : [],
		pixelFormat,
		key,
		setEncodings,
		pointer,
		extendedCutText,
		cutText,
		updateRequest,
		qemuKey,
		xvp,
		desktopSize,
		fence,
		key,
		updateRequest,
	);
	const expected = [...shared, ...bytes(pixelFormat, setEncodings, updateRequest, fence, updateRequest)];
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 }), (sizes) => {
			expect(pass(new RfbClientFilter(true), input, sizes)).toEqual({ out: expected, error: null });
		}),
	);
});

test("view-only never passes a byte of an input message, whatever follows", () => {
	// 0xAB occurs in input messages only; it must not come out.
	const poisonedKey = [4, 1, 0, 0, 0xab, 0xab, 0xab, 0xab];
	const poisonedText = [6, 0, 0, 0, 0, 0, 0, 5, 0xab, 0xab, 0xab, 0xab, 0xab];
	fc.assert(
		fc.property(
			fc.array(fc.constantFrom(poisonedKey, poisonedText, updateRequest, setEncodings, fence), { maxLength: 30 }),
			fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
			(messages, sizes) => {
				const { out } = pass(new RfbClientFilter(true), bytes([...handshake], ...messages), sizes);
				expect(out).not.toContain(0xab);
			},
		),
	);
});

test("what is not RFB is refused", () => {
	expect(new RfbClientFilter(false).feed(bytes("GET / HTTP/1.1\r\n")).error).toContain("not an RFB client");
	expect(new RfbClientFilter(false).feed(bytes(version, [19])).error).toContain("security type");
	expect(pass(new RfbClientFilter(true), bytes([...handshake], [99, 1]), [50]).error).toContain("99");
	expect(pass(new RfbClientFilter(true), bytes([...handshake], [255, 9, 0, 0]), [50]).error).toContain("QEMU");
});
