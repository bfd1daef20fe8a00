import { expect, test } from "bun:test";
import { inflateSync } from "node:zlib";
import { encodePng } from "./png.ts";
import { Screenshot } from "./screenshot.ts";

test("signature, header, one filtered row each, checksums", () => {
	const png = Buffer.from(encodePng(2, 2, Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7)));
	expect(png.subarray(0, 8).toString("hex")).toBe("89504e470d0a1a0a");
	expect(png.toString("latin1", 12, 16)).toBe("IHDR");
	expect(png.subarray(16, 29).toString("hex")).toBe("00000002000000020802000000");
	expect(png.readUInt32BE(29)).toBe(Bun.hash.crc32(png.subarray(12, 29)));
	const dataLength = png.readUInt32BE(33);
	expect(png.toString("latin1", 37, 41)).toBe("IDAT");
	expect([...inflateSync(png.subarray(41, 41 + dataLength))]).toEqual([0, 255, 0, 0, 0, 255, 0, 0, 0, 0, 255, 9, 8, 7]);
	// The end chunk is the same in every PNG file.
	expect(png.subarray(-12).toString("hex")).toBe("0000000049454e44ae426082");
});

test("pictures are compared pixel by pixel", () => {
	const black = new Screenshot(2, 1, Uint8Array.of(0, 0, 0, 0, 0, 0));
	const mixed = new Screenshot(2, 1, Uint8Array.of(0, 0, 0, 1, 2, 3));
	expect(black.countDistinctColours()).toBe(1);
	expect(mixed.countDistinctColours()).toBe(2);
	expect(mixed.pixel(1, 0)).toBe(0x010203);
	expect(mixed.countDifferingPixels(black)).toBe(1);
	expect(mixed.differsFrom(black)).toBe(true);
	expect(mixed.differsFrom(black, 2)).toBe(false);
	expect(black.differsFrom(black)).toBe(false);
	expect(black.differsFrom(new Screenshot(1, 1, Uint8Array.of(0, 0, 0)))).toBe(true);
});

test("the wrong amount of data is refused", () => {
	expect(() => encodePng(2, 2, new Uint8Array(11))).toThrow();
	expect(() => new Screenshot(1, 1, new Uint8Array(4))).toThrow();
});
