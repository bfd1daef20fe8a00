import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "./errors.ts";
import { maxStringBytes } from "./limits.ts";
import { readTypedParameters } from "./values.ts";
import { XdrReader } from "./xdr-reader.ts";
import { XdrWriter } from "./xdr-writer.ts";

/** One value of each XDR type, with the way to write and to read it. */
const value = fc.oneof(
	fc.integer().map((v) => ({ v, write: (w: XdrWriter) => w.int(v), read: (r: XdrReader): unknown => r.int() })),
	fc
		.integer({ min: 0, max: 0xffffffff })
		.map((v) => ({ v, write: (w: XdrWriter) => w.uint(v), read: (r: XdrReader): unknown => r.uint() })),
	fc
		.maxSafeInteger()
		.map((v) => ({ v, write: (w: XdrWriter) => w.hyper(v), read: (r: XdrReader): unknown => r.hyper() })),
	fc
		.maxSafeNat()
		.map((v) => ({ v, write: (w: XdrWriter) => w.uhyper(v), read: (r: XdrReader): unknown => r.uhyper() })),
	fc.double().map((v) => ({ v, write: (w: XdrWriter) => w.double(v), read: (r: XdrReader): unknown => r.double() })),
	fc.boolean().map((v) => ({ v, write: (w: XdrWriter) => w.bool(v), read: (r: XdrReader): unknown => r.bool() })),
	fc
		.string({ unit: "binary" })
		.map((v) => ({ v, write: (w: XdrWriter) => w.string(v), read: (r: XdrReader): unknown => r.string() })),
	fc.option(fc.string()).map((v) => ({
		v,
		write: (w: XdrWriter) => w.optionalString(v),
		read: (r: XdrReader): unknown => r.optionalString(),
	})),
	fc.uint8Array({ maxLength: 300 }).map((bytes) => ({
		v: Buffer.from(bytes),
		write: (w: XdrWriter) => w.opaque(bytes, 300),
		read: (r: XdrReader): unknown => r.opaque(300),
	})),
);

test("whatever is written is read back, and every length is a multiple of four", () => {
	fc.assert(
		fc.property(fc.array(value, { maxLength: 40 }), (values) => {
			const writer = new XdrWriter(8);
			for (const { write } of values) write(writer);
			expect(writer.length % 4).toBe(0);
			const reader = new XdrReader(writer.bytes);
			for (const { v, read } of values) expect(read(reader)).toEqual(v);
			reader.end();
		}),
	);
});

test("the encoding is the one of RFC 4506", () => {
	const writer = new XdrWriter();
	writer.int(-2);
	writer.uhyper(0x1_0000_0002);
	writer.string("äb");
	writer.optionalString(null);
	expect(writer.bytes.toString("hex")).toBe("fffffffe" + "0000000100000002" + "00000003c3a46200" + "00000000");
});

test("bytes at random give values or a ProtocolError, never anything else, and never more memory than there is data", () => {
	const readers: ((r: XdrReader) => unknown)[] = [
		(r) => r.string(),
		(r) => r.opaque(65536),
		(r) => r.array(1_000_000, () => r.string()),
		(r) => r.optional(() => r.hyper()),
		(r) => readTypedParameters(r, 262_144),
	];
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...readers), (bytes, read) => {
			try {
				read(new XdrReader(bytes));
			} catch (error) {
				expect(error).toBeInstanceOf(ProtocolError);
			}
		}),
		{ numRuns: 2000 },
	);
});

test("announced lengths are refused before anything is reserved", () => {
	const announcing = (count: number) => {
		const writer = new XdrWriter();
		writer.uint(count);
		return new XdrReader(writer.bytes);
	};
	expect(() => announcing(maxStringBytes + 1).string()).toThrow(ProtocolError);
	expect(() => announcing(100).string()).toThrow(ProtocolError);
	expect(() => announcing(16_384).array(16_384, () => 0)).toThrow(ProtocolError);
	expect(() => announcing(2).bool()).toThrow(ProtocolError);
	expect(() => announcing(1).end()).toThrow(ProtocolError);
});

test("values beyond libvirt's bounds are refused when written", () => {
	expect(() => new XdrWriter().string("x".repeat(maxStringBytes + 1))).toThrow("too long");
	expect(() => new XdrWriter().array([1, 2, 3], 2, () => {})).toThrow("too long");
	const writer = new XdrWriter();
	expect(() => {
		for (let i = 0; i < 9; i++) writer.string("x".repeat(maxStringBytes));
	}).toThrow("too long");
});

test("64-bit numbers are exact up to 2^53 - 1 and rounded beyond", () => {
	const read = (hex: string) => new XdrReader(Buffer.from(hex, "hex"));
	expect(read("001fffffffffffff").uhyper()).toBe(Number.MAX_SAFE_INTEGER);
	expect(read("ffffffffffffffff").uhyper()).toBe(2 ** 64);
	expect(read("ffffffffffffffff").hyper()).toBe(-1);
	expect(read("8000000000000000").hyper()).toBe(-(2 ** 63));
});

test("typed parameters of every type, and names that would reach the prototype", () => {
	const writer = new XdrWriter();
	const entries: [string, number, () => void][] = [
		["int", 1, () => writer.int(-5)],
		["uint", 2, () => writer.uint(5)],
		["llong", 3, () => writer.hyper(-(2 ** 40))],
		["ullong", 4, () => writer.uhyper(2 ** 40)],
		["double", 5, () => writer.double(1.5)],
		["boolean", 6, () => writer.int(1)],
		["__proto__", 7, () => writer.string("text")],
	];
	writer.array(entries, 10, ([name, type, write]) => {
		writer.string(name);
		writer.int(type);
		write();
	});
	const parameters = readTypedParameters(new XdrReader(writer.bytes), 10);
	expect(Object.entries(parameters)).toEqual([
		["int", -5],
		["uint", 5],
		["llong", -(2 ** 40)],
		["ullong", 2 ** 40],
		["double", 1.5],
		["boolean", true],
		["__proto__", "text"],
	]);
	expect(Object.getPrototypeOf(parameters)).toBeNull();
});
